"""Large pictures: tiles leave no seams, bound the memory and change nothing where there is only one."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamgan.backbones import Extractor, load_extractor
from dreamgan.dream import DreamRecipe, dream, get_recipe
from dreamgan.dream import engine as engine_module
from dreamgan.dream.shifts import grid_sequence
from dreamgan.dream.tiles import Tile, tile_grid

ROOT = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH, TILE_PX = 300, 400, 128
# Cores of 100x100 px: their borders in a grid that was not moved.
BORDERS = ((0, 100, 200), (0, 100, 200, 300))


def natural(count: int, height: int, width: int) -> Tensor:
    """Detail of every size, the finer the fainter, as in photographs."""
    stream = torch.Generator().manual_seed(0)
    total = torch.zeros(count, 3, height, width)
    for halvings in range(7):
        coarse = torch.rand(count, 3, max(2, height >> halvings), max(2, width >> halvings), generator=stream)
        total += F.interpolate(coarse - 0.5, size=(height, width), mode="bicubic") * 1.7**halvings
    low, high = total.amin(dim=(1, 2, 3), keepdim=True), total.amax(dim=(1, 2, 3), keepdim=True)
    return (total - low) / (high - low)


def squeezenet(recipe: DreamRecipe) -> Extractor:
    """With real weights where they are."""
    weights = ROOT.parent / "shared" / "weights" / "squeezenet1_1_features.fp16.safetensors"
    return load_extractor("squeezenet1_1", recipe.layer_names, weights=weights if weights.is_file() else "random")


# --- seams -----------------------------------------------------------------------------------------------------

Moves = list[list[list[tuple[int, int]]]]


def across_borders(name: str, *, overlap_px: int, moves: bool) -> float:
    """How much a dream changes from pixel to pixel where borders of tiles have been, relative to everywhere else.

    A border that shows may be too strong, where tiles do not fit together, or too weak, since a network sees less of
    what lies at the border of its picture. The mean is over four pictures, both directions and all lines on which a
    border lay at any step.
    """
    recipe = get_recipe(
        name,
        "squeezenet1_1",
        octaves=1,
        octaves_above=0,
        steps=6,
        tile_px=TILE_PX,
        tile_overlap_px=overlap_px,
    )
    photos = natural(4, HEIGHT, WIDTH)
    steps: Moves = []
    real = engine_module._shifts

    def watched(*args: Any, **kwargs: Any) -> Moves:
        found = real(*args, **kwargs)
        steps.extend(found if moves else [[[(0, 0)] * len(photos)]] * len(found))
        return steps

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "_shifts", watched)
        change = dream(photos, squeezenet(recipe), recipe, photo_ids=list("abcd")).images - photos
    assert len(steps) == 6
    ratios = [
        _at_lines_to_elsewhere(change[i] if axis == 1 else change[i].mT, _lines(steps, i, axis))
        for i in range(len(photos))
        for axis in (0, 1)
    ]
    return sum(ratios) / len(ratios)


def _lines(steps: Moves, picture: int, axis: int) -> set[int]:
    """Rows (axis 0) or columns (axis 1) before which a core of a tile began at some step."""
    side = (HEIGHT, WIDTH)[axis]
    moved = [offsets[picture][axis] for shifts in steps for offsets in shifts]
    return {(border - move) % side for border in BORDERS[axis] for move in moved}


def _at_lines_to_elsewhere(change: Tensor, lines: set[int]) -> float:
    across = (change[..., 1:] - change[..., :-1]).abs().mean(dim=(0, 1))
    # Not at the picture's own border: no network sees as much there.
    inner = range(20, len(across) - 20)
    at = [float(across[x]) for x in inner if x + 1 in lines]
    elsewhere = [float(across[x]) for x in inner if x + 1 not in lines]
    return (sum(at) / len(at)) / (sum(elsewhere) / len(elsewhere))


# Measured: 0.92 to 1.04; of dreams that were never cut, on the same lines: 0.94 to 1.06.
NO_SEAM = 1.15


def test_the_measure_of_seams_knows_where_borders_are() -> None:
    assert {(tile.top + 32, tile.left + 32) for tile in tile_grid(HEIGHT, WIDTH, TILE_PX, 32)} == {
        (top, left) for top in BORDERS[0] for left in BORDERS[1]
    }
    steps = torch.zeros(3, HEIGHT, WIDTH)
    steps[..., 93:] = 1
    assert _at_lines_to_elsewhere(steps + 0.01 * torch.rand(steps.shape), {93}) > 50


@pytest.mark.parametrize("name", ["tutorial", "gordic", "distillable"])
def test_no_seams_where_the_grid_moves(name: str) -> None:
    assert 1 / NO_SEAM < across_borders(name, overlap_px=32, moves=True) < NO_SEAM


@pytest.mark.parametrize("name", ["tutorial", "distillable"])
def test_no_seams_where_the_grid_stays_but_tiles_overlap(name: str) -> None:
    assert 1 / NO_SEAM < across_borders(name, overlap_px=32, moves=False) < NO_SEAM


@pytest.mark.parametrize("name", ["tutorial", "distillable"])
def test_tiles_edge_to_edge_in_a_grid_that_stays_would_show(name: str) -> None:
    # What the two tests above are to notice. Measured: 0.3 to 0.7.
    assert across_borders(name, overlap_px=0, moves=False) < 1 / NO_SEAM - 0.05


def test_the_grid_moves_at_every_step_by_any_part_of_a_tile() -> None:
    recipe = get_recipe("tutorial", "squeezenet1_1", tile_px=64)
    moves = grid_sequence(recipe, 0, 1, 500)
    assert moves.shape == (500, 1, 2)
    for axis in (0, 1):
        assert set(moves[:, 0, axis].tolist()) == set(range(64))
    assert not torch.equal(moves[..., 0], moves[..., 1])
    assert torch.equal(moves, grid_sequence(recipe, 0, 1, 500))
    assert not torch.equal(moves, grid_sequence(recipe, 1, 1, 500))
    assert not torch.equal(moves, grid_sequence(recipe, 0, 2, 500))


# --- one tile --------------------------------------------------------------------------------------------------


def small(name: str, **changes: Any) -> DreamRecipe:
    return get_recipe(name, "squeezenet1_1", octaves=2, octaves_above=0, steps=4, **changes)


@pytest.mark.parametrize("name", ["gordic", "tutorial", "google", "distillable"])
def test_a_picture_of_the_size_of_a_tile_is_dreamed_whole(name: str) -> None:
    photo = natural(1, 60, 80)
    extractor = squeezenet(small(name))
    whole = dream(photo, extractor, small(name)).images
    assert torch.equal(dream(photo, extractor, small(name, tile_px=80)).images, whole)
    assert not torch.equal(dream(photo, extractor, small(name, tile_px=79)).images, whole)


@pytest.mark.parametrize("name", ["gordic", "google", "tutorial_tiled"])
def test_one_tile_gives_the_same_as_the_whole_under_the_same_shifts(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = natural(2, 80, 96).double()
    extractor = squeezenet(small(name)).double()
    # Not gordic's smoothing: a rolled picture is blurred as it stands, a tiled one is not rolled, and so reflected
    # at other borders.
    recipe = small(name, tile_px=0, smoothing="none")
    whole = dream(photos, extractor, recipe, photo_ids=["a", "b"]).images

    def one(height: int, width: int, tile_px: int, overlap_px: int) -> Sequence[Tile]:
        return tile_grid(height, width, max(height, width), overlap_px)

    monkeypatch.setattr(engine_module, "tile_grid", one)
    tiled = dream(photos, extractor, replace(recipe, tile_px=64, tile_overlap_px=8), photo_ids=["a", "b"]).images

    assert (whole - photos).abs().mean() > 0.005
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-9)


def test_a_grid_that_moves_a_single_tile_is_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = natural(1, 80, 96).double()
    extractor = squeezenet(small("tutorial")).double()
    jittered = small("tutorial", shifts="jitter", shift_px=64)
    monkeypatch.setattr(
        engine_module, "jitter_sequence", lambda recipe, *_: grid_sequence(small("tutorial", tile_px=64), 0, 0, 4)[:, 0]
    )
    monkeypatch.setattr(
        engine_module, "grid_sequence", lambda recipe, *_: grid_sequence(small("tutorial", tile_px=64), 0, 0, 4)
    )
    monkeypatch.setattr(engine_module, "tile_grid", lambda height, width, *_: tile_grid(height, width, 4096, 0))
    whole = dream(photo, extractor, jittered).images
    torch.testing.assert_close(dream(photo, extractor, small("tutorial", tile_px=64)).images, whole, rtol=0, atol=1e-9)


# --- memory ----------------------------------------------------------------------------------------------------

PEAKS = """
import resource, sys
import torch
torch.set_num_threads(1)
from dreamgan.backbones import load_extractor
from dreamgan.dream import dream, get_recipe

recipe = get_recipe(sys.argv[1], "squeezenet1_1", octaves=int(sys.argv[2]), octaves_above=0, steps=1, tile_px=256)
extractor = load_extractor("squeezenet1_1", recipe.layer_names, weights="random")
for height, width in (1536, 2048), (2560, 3072):
    dream(torch.rand(1, 3, height, width), extractor, recipe)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize(("name", "octaves"), [("google", 1), ("google", 2), ("gordic", 2), ("distillable", 2)])
def test_memory_grows_by_few_copies_of_the_picture_only(name: str, octaves: int) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", PEAKS, name, str(octaves)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    few, many = (1024 * int(line) for line in finished.stdout.split())
    # A picture takes 12 bytes per pixel, activations of the whole would take some thousands.
    assert (many - few) / (2560 * 3072 - 1536 * 2048) < 60
