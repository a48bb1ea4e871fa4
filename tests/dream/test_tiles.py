"""Tiles: windows that sum to one, and crops that behave as if the picture had been rolled."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dreamgan.dream.tiles import Tile, add_back, crop, tile_grid

GRIDS = [
    (height, width, tile_px, overlap_px)
    for height, width in [(1, 1), (1, 7), (2, 3), (5, 4), (16, 16), (17, 23), (64, 41), (97, 50)]
    for tile_px in (1, 2, 5, 16, 40)
    for overlap_px in (0, 1, 2, 7, 100)
]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def places(tile: Tile, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Rows (h, 1) and columns (1, w) of the picture that a tile covers."""
    rows = (tile.top + torch.arange(tile.height)) % height
    columns = (tile.left + torch.arange(tile.width)) % width
    return rows[:, None], columns[None, :]


@pytest.mark.parametrize(("height", "width", "tile_px", "overlap_px"), GRIDS)
def test_the_windows_sum_to_one_everywhere(height: int, width: int, tile_px: int, overlap_px: int) -> None:
    total = torch.zeros(height, width, dtype=torch.float64)
    tiles = tile_grid(height, width, tile_px, overlap_px)

    for tile in tiles:
        assert tile.window.dtype == torch.float64
        assert tile.window.shape == (tile.height, tile.width)
        assert tile.height <= height
        assert tile.width <= width
        assert tile.window.min() > 0
        total.index_put_(places(tile, height, width), tile.window, accumulate=True)

    assert len(tiles) == -(-height // tile_px) * -(-width // tile_px)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


def test_the_window_rises_in_a_straight_line_through_one_half_at_the_border_of_the_core() -> None:
    first, second = tile_grid(1, 8, tile_px=4, overlap_px=1)

    # cores 0-3 and 4-7; the first tile begins one pixel beyond the border
    assert (first.left, first.width) == (-1, 6)
    assert (second.left, second.width) == (3, 6)
    assert first.window[0].tolist() == second.window[0].tolist() == [0.25, 0.75, 1, 1, 0.75, 0.25]


def test_no_window_jumps() -> None:
    for tile in tile_grid(90, 130, tile_px=32, overlap_px=8):
        for dim in (0, 1):
            closed = torch.nn.functional.pad(tile.window, (1, 1, 1, 1))  # the jump from nothing to the edge counts
            assert closed.diff(dim=dim).abs().max() <= 1 / 16 + 1e-12


def test_tiles_without_overlap_are_boxes() -> None:
    tiles = tile_grid(6, 10, tile_px=5, overlap_px=0)

    assert [(tile.top, tile.left, tile.height, tile.width) for tile in tiles] == [
        (0, 0, 3, 5),
        (0, 5, 3, 5),
        (3, 0, 3, 5),
        (3, 5, 3, 5),
    ]
    assert all(bool((tile.window == 1).all()) for tile in tiles)


@pytest.mark.parametrize(("height", "width", "tile_px", "overlap_px"), GRIDS)
def test_tiles_are_equal_to_within_a_pixel(height: int, width: int, tile_px: int, overlap_px: int) -> None:
    tiles = tile_grid(height, width, tile_px, overlap_px)
    for sides in ([tile.height for tile in tiles], [tile.width for tile in tiles]):
        assert max(sides) - min(sides) <= 1
        assert max(sides) <= tile_px + 2 * overlap_px


def test_a_picture_smaller_than_the_tile_is_one_tile() -> None:
    (tile,) = tile_grid(30, 40, tile_px=40, overlap_px=8)

    assert (tile.top, tile.left, tile.height, tile.width) == (0, 0, 30, 40)
    assert bool((tile.window == 1).all())


def test_tiles_of_one_size_share_a_window() -> None:
    # one window per tile would take more memory than the picture
    tiles = tile_grid(750, 1000, tile_px=130, overlap_px=16)

    assert len(tiles) == 48
    assert len({tile.window.data_ptr() for tile in tiles}) == len({(tile.height, tile.width) for tile in tiles}) <= 4


@pytest.mark.parametrize("sizes", [(0, 4, 4, 0), (4, 0, 4, 0), (4, 4, 0, 0), (4, 4, 4, -1)])
def test_sizes_that_make_no_tiles_are_refused(sizes: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least"):
        tile_grid(*sizes)


# --- cutting and adding back -----------------------------------------------------------------------------------

# one per picture: none, small, across both borders, far beyond the picture
OFFSETS = [(0, 0), (3, -5), (-17, 22), (100, -1001)]


@pytest.mark.parametrize(("height", "width", "tile_px", "overlap_px"), [(17, 23, 8, 3), (20, 9, 10, 50), (6, 6, 9, 2)])
def test_a_crop_is_rolled_and_cut(height: int, width: int, tile_px: int, overlap_px: int) -> None:
    images = random(4, 3, height, width)
    given = images.clone()

    for tile in tile_grid(height, width, tile_px, overlap_px):
        rows, columns = places(tile, height, width)
        rolled = [image.roll(offset, dims=(1, 2)) for image, offset in zip(images, OFFSETS, strict=True)]
        assert torch.equal(crop(images, tile, OFFSETS), torch.stack(rolled)[:, :, rows, columns])

    assert torch.equal(images, given)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("overlap_px", [0, 3, 50])
def test_crops_added_back_are_the_picture(channels: int, layout: torch.memory_format, overlap_px: int) -> None:
    images = random(4, channels, 17, 23).contiguous(memory_format=layout)
    before = random(4, channels, 17, 23, seed=1).contiguous(memory_format=layout)
    total = before.clone()

    for tile in tile_grid(17, 23, 8, overlap_px):
        add_back(total, crop(images, tile, OFFSETS), tile, OFFSETS, weight=0.25)

    torch.testing.assert_close(total, before + 0.25 * images, rtol=0, atol=1e-14)


def test_without_overlap_the_picture_comes_back_to_the_bit() -> None:
    images = random(4, 3, 17, 23).float()
    total = torch.zeros_like(images)

    for tile in tile_grid(17, 23, 8, 0):
        add_back(total, crop(images, tile, OFFSETS), tile, OFFSETS)

    assert torch.equal(total, images)


def test_a_part_is_added_where_it_was_cut_under_its_window() -> None:
    tile = tile_grid(17, 23, 8, 3)[0]  # begins beyond both borders
    part = random(4, 3, tile.height, tile.width, seed=2)
    total = torch.zeros(4, 3, 17, 23, dtype=torch.float64)

    add_back(total, part, tile, OFFSETS)

    rows, columns = places(tile, 17, 23)
    for index, (dy, dx) in enumerate(OFFSETS):
        rolled = total[index].roll((dy, dx), dims=(1, 2))
        torch.testing.assert_close(rolled[:, rows, columns], part[index] * tile.window, rtol=0, atol=1e-15)
        rolled[:, rows, columns] = 0
        assert not rolled.any()


def test_a_gradient_in_half_precision_is_added_in_the_precision_of_the_sum() -> None:
    tile = tile_grid(17, 23, 8, 3)[0]
    part = random(1, 3, tile.height, tile.width).bfloat16()
    total = torch.zeros(1, 3, 17, 23)

    add_back(total, part, tile, [(0, 0)])

    cut = crop(total, tile, [(0, 0)])
    torch.testing.assert_close(cut, part.float() * tile.window.float(), rtol=1e-6, atol=0)


def test_offsets_are_one_per_picture() -> None:
    (tile,) = tile_grid(4, 4, 4, 0)
    images = random(2, 3, 4, 4)
    with pytest.raises(ValueError, match="zip"):
        crop(images, tile, [(0, 0)])
    with pytest.raises(ValueError, match="zip"):
        add_back(images, images, tile, [(0, 0)])


class LargestNewTensor(TorchFunctionMode):
    """Bytes of the largest tensor that torch makes, whatever is only a view of those given."""

    def __init__(self, *given: Tensor) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in given}
        self.bytes = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple) else (result,):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in self.known:
                self.bytes = max(self.bytes, tensor.untyped_storage().nbytes())
        return result


def test_nothing_larger_than_a_tile_is_made() -> None:
    images = random(2, 3, 400, 300)
    offsets = [(31, -7), (0, 0)]
    for tile in tile_grid(400, 300, 64, 8):
        with LargestNewTensor(images, tile.window) as made:
            part = crop(images, tile, offsets)
        assert made.bytes == part.nbytes
        with LargestNewTensor(images, tile.window, part) as made:
            add_back(images, part, tile, offsets)
        assert made.bytes <= part.nbytes
