"""The engine against plain loops written from the published recipes, in float64.

Dreams are chaotic: what differs by a last bit at one step is another picture fifty steps later. So dreams of up to ten
steps are compared whole, and of longer ones a single step from each of ten states on their way.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from dreamgan.backbones import IMAGENET_MEAN, IMAGENET_STD, Extractor, class_index, load_extractor
from dreamgan.dream import RECIPES, DreamRecipe, DreamStep, dream, get_recipe, parse_layers, parse_objective, score
from dreamgan.dream.scoring import Look, Scorer, score_look
from dreamgan.dream.shifts import jitter_sequence, stratified_sequence
from dreamgan.images import load_image, shrink_to, to_unit
from tests.reference import guided, terms
from tests.reference.distillable import distillable
from tests.reference.google import google
from tests.reference.gordic import gordic
from tests.reference.keras import keras
from tests.reference.layers import ascend, layers, stretched
from tests.reference.plain import resize
from tests.reference.styleconv import styleconv
from tests.reference.tiled import Box, tiled
from tests.reference.tutorial import tutorial

TOLERANCE = 1e-10
SEED = 5
PHOTO_ID = "a photo"
STATES = 10

Shift = tuple[int, int]
Network = Callable[[Tensor], Sequence[Tensor]]
PlainLoop = Callable[[Tensor, Network, DreamRecipe, int], Tensor]
GuidedObjective = Callable[[Tensor, tuple[int, int], Shift], Tensor]


# --- pictures, networks and both sides of the comparison -------------------------------------------------------


def with_grain(photo: Image.Image, height: int, width: int) -> Tensor:
    """In flat areas max pooling would choose among equals by the last bit, and so would the dreams."""
    grain = torch.rand(3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return 0.8 * to_unit(photo.resize((width, height))).double() + 0.2 * grain


@pytest.fixture
def photo_unit(photo: Image.Image) -> Tensor:
    return with_grain(photo, 48, 64)


@pytest.fixture
def guide_unit(photo: Image.Image) -> Tensor:
    """The photo upside down in other colours, of another shape."""
    return with_grain(photo, 40, 72).flip(0, 1)


def natural_photo(shared_dir: Path, side_px: int, category: str = "cat") -> Tensor:
    path = sorted((shared_dir / "natural_images" / category).iterdir())[0]
    return to_unit(shrink_to(load_image(path).picture, side_px)).double()


def double_extractor(backbone: str, recipe: DreamRecipe, weights: str | Path = "random") -> Extractor:
    return load_extractor(backbone, recipe.layer_names, weights=weights).double()


def plain(extractor: Extractor) -> Network:
    return lambda images: list(extractor(images).values())


def engine(
    photo_unit: Tensor, extractor: Extractor, recipe: DreamRecipe, seed: int = SEED, guide_unit: Tensor | None = None
) -> Tensor:
    guides = None if guide_unit is None else {"guide": guide_unit[None]}
    result = dream(photo_unit[None], extractor, recipe, seed=seed, photo_ids=[PHOTO_ID], guides=guides)
    assert result.completed
    assert result.dropped_octaves == 0
    assert int(result.skipped_steps) == 0
    assert result.images.dtype == torch.float64
    return result.images[0]


def jitter(recipe: DreamRecipe, seed: int = SEED) -> list[list[Shift]]:
    sequences = [
        jitter_sequence(recipe, seed, PHOTO_ID, octave, steps) for octave, steps in enumerate(recipe.steps_per_octave)
    ]
    return [[(dy, dx) for dy, dx in sequence.tolist()] for sequence in sequences]


def slides(recipe: DreamRecipe, seed: int = SEED) -> list[list[list[Shift]]]:
    sequences = [
        stratified_sequence(recipe, seed, octave, steps) for octave, steps in enumerate(recipe.steps_per_octave)
    ]
    return [[[(dy, dx) for dy, dx in step] for step in sequence.tolist()] for sequence in sequences]


def exponents(recipe: DreamRecipe) -> range:
    return range(recipe.octaves_above - recipe.octaves + 1, recipe.octaves_above + 1)


def assert_same(
    found: Tensor, expected: Tensor, photo_unit: Tensor, *, moved: float = 0.005, tolerance: float = TOLERANCE
) -> None:
    # A dream that hardly moved would pass against anything.
    assert float((expected - photo_unit).abs().mean()) > moved
    assert float((found - expected).abs().max()) <= tolerance


# --- the plain loop of every recipe ----------------------------------------------------------------------------

# From a recipe they take only what a test changes: how many octaves and steps, tiles of fewer pixels. All other numbers
# are the oracles' own.


def plain_gordic(photo_unit: Tensor, network: Network, recipe: DreamRecipe, seed: int) -> Tensor:
    return gordic(photo_unit, network, jitter(recipe, seed))


def plain_keras(photo_unit: Tensor, network: Network, recipe: DreamRecipe, seed: int) -> Tensor:
    stop_at = math.inf if recipe.stop_at is None else recipe.stop_at
    steps = recipe.steps_per_octave
    return keras(photo_unit, network, (1, 1.5, 2, 2.5), steps, max_loss=stop_at, take_last_step=True)


def plain_tutorial(photo_unit: Tensor, network: Network, recipe: DreamRecipe, seed: int) -> Tensor:
    (steps,) = recipe.steps
    return tutorial(photo_unit, network, exponents(recipe), steps)


def plain_tutorial_tiled(photo_unit: Tensor, network: Network, recipe: DreamRecipe, seed: int) -> Tensor:
    return tiled(photo_unit, network, jitter(recipe, seed), exponents=exponents(recipe), tile=recipe.tile_px)


def plain_google(photo_unit: Tensor, network: Network, recipe: DreamRecipe, seed: int) -> Tensor:
    # The notebook lets the sum of photo and detail leave the range until the first step's clamp; the engine does not.
    return google(photo_unit, network, jitter(recipe, seed), clamp_sum=True)


def plain_layers(photo_unit: Tensor, network: Network, recipe: DreamRecipe, seed: int) -> Tensor:
    (steps,) = recipe.steps
    loop = layers if recipe.stretch else ascend
    return loop(photo_unit, network, steps, step_size=0.004, divide_by_std=True)[0]


def plain_styleconv_single(photo_unit: Tensor, network: Network, recipe: DreamRecipe, seed: int) -> Tensor:
    (term,) = recipe.objective  # the paper leaves the map open, and each backbone has its own
    return styleconv(photo_unit, network, recipe.steps_per_octave, channel=term.maps[0], exponents=exponents(recipe))


def plain_styleconv_multi(photo_unit: Tensor, network: Network, recipe: DreamRecipe, seed: int) -> Tensor:
    return styleconv(photo_unit, network, recipe.steps_per_octave, channel=None, exponents=exponents(recipe))


def plain_distillable(photo_unit: Tensor, network: Network, recipe: DreamRecipe, seed: int) -> Tensor:
    return distillable(photo_unit, network, slides(recipe, seed))


PLAIN_LOOPS: dict[str, PlainLoop] = {
    "gordic": plain_gordic,
    "keras": plain_keras,
    "tutorial": plain_tutorial,
    "tutorial_simple": plain_tutorial,
    "tutorial_tiled": plain_tutorial_tiled,
    "google": plain_google,
    "layers_low": plain_layers,
    "layers_high": plain_layers,
    "styleconv_single": plain_styleconv_single,
    "styleconv_multi": plain_styleconv_multi,
    "distillable": plain_distillable,
}

# Where the recipe's own network would take long, or its random weights do not answer, another one.
BACKBONES = {
    "gordic": "vgg16",
    "keras": "squeezenet1_1",
    "tutorial": "inception_v3",
    "tutorial_simple": "inception_v3",
    "tutorial_tiled": "squeezenet1_1",
    "google": "googlenet_bvlc",
    "layers_low": "squeezenet1_1",
    "layers_high": "squeezenet1_1",
    "styleconv_single": "inception_v3",
    "styleconv_multi": "inception_v3",
    "distillable": "squeezenet1_1",
}

# What one step moves a pixel at the mean, at least. In late states most pixels stand at the border of their range.
STEP_MOVES = 2e-4


def one_level(name: str, backbone: str, **changes: object) -> DreamRecipe:
    if name == "keras":
        # The published limit is for InceptionV3's activations; others are ten times as large.
        changes.setdefault("stop_at", 1e9)
    if name == "tutorial_tiled":
        changes["tile_px"] = 64
    return get_recipe(name, backbone, octaves=1, **changes)


def size_for(name: str) -> tuple[int, int]:
    if name == "keras":
        return 96, 128  # the border of 2 locations leaves nothing of smaller ones
    if name == "gordic" or name.startswith("layers"):
        return 32, 40  # VGG16; 900 steps to the last state
    return (100, 140) if name == "tutorial_tiled" else (48, 64)  # four to six tiles


def test_every_recipe_has_a_plain_loop() -> None:
    assert {*PLAIN_LOOPS, "guided"} == set(RECIPES)


@pytest.mark.parametrize(
    ("name", "backbone", "listed", "steps", "above"),
    [
        ("gordic", "vgg16", "relu4_3", (10, 10, 10, 10), 0),
        ("keras", "inception_v3", "mixed4,mixed5,mixed6,mixed7", (20, 20, 20), 0),
        ("tutorial", "inception_v3", "mixed3,mixed5", (50, 50, 50, 50, 50), 2),
        ("tutorial_simple", "inception_v3", "mixed3,mixed5", (100,), 0),
        ("tutorial_tiled", "inception_v3", "mixed3,mixed5", (50, 50, 50, 50, 50), 2),
        ("google", "googlenet_bvlc", "inception_4c", (10, 10, 10, 10), 0),
        ("guided", "googlenet_bvlc", "inception_4c", (10, 10, 10, 10), 0),
        ("layers_low", "vgg16", "block2_conv2,block3_conv1,block3_conv2", (1000,), 0),
        ("layers_high", "vgg16", "block4_conv2,block5_conv1,block3_conv2", (1000,), 0),
        ("styleconv_single", "inception_v3", "mixed5", (30, 30, 30), 0),
        ("styleconv_multi", "inception_v3", "mixed4,mixed5,mixed6,mixed7", (30, 30, 30), 0),
        ("distillable", "squeezenet1_1", "features.9", (4, 4, 6), 0),
    ],
)
def test_what_the_plain_loops_take_from_a_recipe_is_the_published(
    name: str, backbone: str, listed: str, steps: tuple[int, ...], above: int
) -> None:
    recipe = get_recipe(name, backbone)
    assert recipe.layer_names == tuple(listed.split(","))
    assert recipe.steps_per_octave == steps
    assert recipe.octaves_above == above
    assert recipe.tile_px == (512 if name == "tutorial_tiled" else 0)
    assert recipe.stop_at == (15 if name == "keras" else None)
    assert recipe.stretch == name.startswith("layers")
    if recipe.shifts == "jitter":
        assert recipe.shift_px == (512 if name == "tutorial_tiled" else 32)
    if recipe.shifts == "stratified":
        assert (recipe.shift_px, recipe.shifts_per_step) == (16, 1)


# --- one level -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLAIN_LOOPS)
def test_ten_steps_are_the_plain_loops(name: str, photo: Image.Image) -> None:
    backbone = BACKBONES[name]
    (own_steps,) = one_level(name, backbone).steps
    recipe = one_level(name, backbone, steps=(min(own_steps, 10),))
    photo_unit = with_grain(photo, *size_for(name))
    extractor = double_extractor(backbone, recipe)

    expected = PLAIN_LOOPS[name](photo_unit, plain(extractor), recipe, SEED)

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


LONG = [name for name, backbone in BACKBONES.items() if max(get_recipe(name, backbone).steps) > 10]


def saved_states(photo_unit: Tensor, extractor: Extractor, recipe: DreamRecipe) -> list[Tensor]:
    """The dream on its way: as it begins, and after each tenth of its steps but the last."""
    (steps,) = recipe.steps
    tenth = replace(recipe, steps=(steps // STATES,))
    states = [photo_unit]
    while len(states) < STATES:
        states.append(engine(states[-1], extractor, tenth, seed=len(states)))
    return states


@pytest.mark.parametrize("name", LONG)
def test_a_step_from_each_of_ten_states_is_the_plain_loops(name: str, photo: Image.Image) -> None:
    backbone = BACKBONES[name]
    # Stretching is for the photo, not for what has become of it.
    recipe = replace(one_level(name, backbone), stretch=False)
    photo_unit = with_grain(photo, *size_for(name))
    extractor = double_extractor(backbone, recipe)
    states = saved_states(photo_unit, extractor, recipe)
    assert len(states) == STATES
    step = replace(recipe, steps=(1,))

    for seed, state in enumerate(states):
        expected = PLAIN_LOOPS[name](state, plain(extractor), step, seed)
        assert_same(engine(state, extractor, step, seed=seed), expected, state, moved=STEP_MOVES)


def test_gordic_of_two_layers_is_the_peers_mean_of_them(photo_unit: Tensor) -> None:
    # The engine sums, which a gradient of unit deviation does not notice.
    recipe = get_recipe("gordic", "squeezenet1_1", octaves=1, layers=parse_layers("features.7,features.9"))
    assert recipe.steps_per_octave == (10,)
    extractor = double_extractor("squeezenet1_1", recipe)

    expected = gordic(photo_unit, plain(extractor), jitter(recipe))

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


@pytest.mark.parametrize("shifts_per_step", [1, 3])
def test_distillable_averages_the_shifts_of_a_step(shifts_per_step: int, photo_unit: Tensor) -> None:
    recipe = get_recipe("distillable", "squeezenet1_1", octaves=1, steps=(6,), shifts_per_step=shifts_per_step)
    extractor = double_extractor("squeezenet1_1", recipe)

    expected = distillable(photo_unit, plain(extractor), slides(recipe))

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


@pytest.mark.parametrize("name", ["layers_low", "layers_high"])
def test_layers_stretches_the_photo_first_and_finds_the_same_losses(name: str, photo_unit: Tensor) -> None:
    # Pale, and each colour in another range: one minimum and one maximum for all three.
    pale = 0.3 + 0.4 * photo_unit * torch.tensor([1.0, 0.7, 0.5], dtype=torch.float64).view(3, 1, 1)
    recipe = get_recipe(name, "squeezenet1_1", steps=(10,))
    extractor = double_extractor("squeezenet1_1", recipe)
    heard: list[float] = []

    found = dream(pale[None], extractor, recipe, callback=lambda step: heard.append(float(step.scores))).images[0]
    expected, losses = layers(pale, plain(extractor), 10, step_size=0.004, divide_by_std=True)

    assert_same(found, expected, stretched(pale))
    assert float((stretched(pale) - pale).abs().mean()) > 0.1
    assert heard == pytest.approx(losses, rel=1e-10)
    assert losses[-1] > losses[0]


def test_keras_clamps_at_the_end_only(photo: Image.Image) -> None:
    photo_unit = with_grain(photo, 96, 128)
    recipe = one_level("keras", "squeezenet1_1", steps=(10,))
    extractor = double_extractor("squeezenet1_1", recipe)

    expected = plain_keras(photo_unit, plain(extractor), recipe, SEED)
    clamped = engine(photo_unit, extractor, replace(recipe, clamp=True))

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)
    assert float((clamped - expected).abs().max()) > 1e-3


def test_keras_divides_by_no_less_than_its_floor(photo: Image.Image) -> None:
    photo_unit = with_grain(photo, 96, 128)
    recipe = one_level("keras", "squeezenet1_1", steps=(10,))
    extractor = double_extractor("squeezenet1_1", recipe)
    # The mean |g| falls from some 4e-3 to 4e-7.
    faint = replace(recipe, objective=1e-4 * recipe.objective)

    expected = keras(photo_unit, plain(extractor), (1e-4, 1.5e-4, 2e-4, 2.5e-4), (10,))

    assert_same(engine(photo_unit, extractor, faint), expected, photo_unit)
    assert float((engine(photo_unit, extractor, recipe) - expected).abs().max()) > 1e-3


# --- several octaves -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "size", "steps"),
    [
        ("gordic", (64, 80), (1, 2, 2)),
        ("keras", (160, 192), (1, 2, 2)),
        ("google", (64, 80), (1, 2, 2)),
        ("styleconv_single", (96, 112), (1, 2, 2)),
        ("styleconv_multi", (96, 112), (1, 2, 2)),
        ("distillable", (48, 64), (1, 2, 2)),
    ],
)
def test_octaves_follow_each_other_as_in_the_plain_loop(
    name: str, size: tuple[int, int], steps: tuple[int, ...], photo: Image.Image
) -> None:
    backbone = BACKBONES[name]
    recipe = get_recipe(name, backbone, octaves=3, steps=steps)
    recipe = replace(recipe, stop_at=None)
    photo_unit = with_grain(photo, *size)
    extractor = double_extractor(backbone, recipe)

    expected = PLAIN_LOOPS[name](photo_unit, plain(extractor), recipe, SEED)

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


def test_google_keeps_the_sum_of_photo_and_detail_in_range(photo_unit: Tensor) -> None:
    recipe = get_recipe("google", "googlenet_bvlc", octaves=2, steps=(3, 2))
    extractor = double_extractor("googlenet_bvlc", recipe)
    harsh = (1.5 * photo_unit - 0.25).clamp(0, 1)

    expected = plain_google(harsh, plain(extractor), recipe, SEED)
    without = google(harsh, plain(extractor), jitter(recipe), clamp_sum=False)

    assert_same(engine(harsh, extractor, recipe), expected, harsh)
    assert float((expected - without).abs().max()) > 1e-3


@pytest.mark.parametrize("name", ["tutorial", "tutorial_tiled"])
def test_tutorial_climbs_above_the_photo_and_comes_back(name: str, photo_unit: Tensor) -> None:
    recipe = get_recipe(name, "squeezenet1_1", steps=(2,))
    recipe = replace(recipe, tile_px=64 if recipe.tile_px else 0)  # the finest two octaves are larger
    extractor = double_extractor("squeezenet1_1", recipe)
    seen: list[tuple[int, int]] = []

    def watch(step: DreamStep) -> None:
        seen.append(step.size)

    dream(photo_unit[None], extractor, recipe, callback=watch)
    # 48x64 px times 1.3^-2 ... 1.3^2, two steps each
    sizes = [(28, 38), (37, 49), (48, 64), (62, 83), (81, 108)]
    assert seen == [size for size in sizes for _ in range(2)]

    expected = PLAIN_LOOPS[name](photo_unit, plain(extractor), recipe, SEED)
    assert expected.shape == photo_unit.shape
    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


def test_keras_ends_an_octave_with_the_step_that_finds_too_much(photo: Image.Image) -> None:
    photo_unit = with_grain(photo, 160, 192)
    endless = get_recipe("keras", "squeezenet1_1", octaves=2, steps=(6,), stop_at=1e9)
    extractor = double_extractor("squeezenet1_1", endless)
    heard: list[DreamStep] = []

    def losses_of(octave: int) -> list[float]:
        return [float(step.scores) for step in heard if step.octave == octave]

    dream(photo_unit[None], extractor, endless, callback=heard.append)
    losses = losses_of(0)
    assert losses == sorted(losses)
    recipe = replace(endless, stop_at=(losses[2] + losses[3]) / 2)
    heard.clear()
    dream(photo_unit[None], extractor, recipe, callback=heard.append)
    assert len(losses_of(0)) == 4  # the fourth finds too much, and is taken
    assert losses_of(1)  # and the next octave begins anew

    expected = plain_keras(photo_unit, plain(extractor), recipe, SEED)
    without = keras(photo_unit, plain(extractor), (1, 1.5, 2, 2.5), (6, 6), max_loss=recipe.stop_at or math.inf)

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)
    assert float((expected - without).abs().max()) > 1e-3


# --- guides ----------------------------------------------------------------------------------------------------

GUIDED = {
    "one weight per map": "guided(LAYER, guide)",
    "per octave": "guided(LAYER, guide, per_octave=true)",
    "per location": "guided(LAYER, guide, spatial=true)",
    "best match": "guided_match(LAYER, guide)",
}


def plain_objective(kind: str, guide_unit: Tensor, network: Network, full_height: int) -> GuidedObjective:
    height, width = guide_unit.shape[1:]

    def of(activation: Tensor, size: tuple[int, int], roll: Shift) -> Tensor:
        seen = guide_unit
        if kind == "per octave":  # shrunk like the photo
            factor = size[0] / full_height
            seen = resize(guide_unit, round(height * factor), round(width * factor))
        if kind == "per location":  # laid over the photo, and moved with it
            seen = torch.roll(resize(guide_unit, *size), roll, (1, 2))
        (answer,) = guided.guide_activations(seen, network, *seen.shape[1:])
        if kind == "best match":
            return guided.guided_match(activation[0], answer)
        if kind == "per location":
            return guided.guided_by_location(activation[0], guided.location_weights(answer))
        return guided.guided(activation[0], guided.map_weights(answer))

    return of


def guided_dreams(
    kind: str, photo_unit: Tensor, guide_unit: Tensor, backbone: str, weights: str | Path, **changes: object
) -> tuple[Tensor, Tensor]:
    """What the engine dreams, and what the plain loop does."""
    recipe = get_recipe("guided", backbone, **changes)
    (layer,) = recipe.layer_names
    recipe = replace(recipe, objective=parse_objective(GUIDED[kind].replace("LAYER", layer)))
    extractor = double_extractor(backbone, recipe, weights)
    objective = plain_objective(kind, guide_unit, plain(extractor), photo_unit.shape[1])
    expected = google(photo_unit, plain(extractor), jitter(recipe), objective=objective, clamp_sum=True)
    return engine(photo_unit, extractor, recipe, guide_unit=guide_unit), expected


def test_guided_weighs_maps_by_their_share_in_the_guide() -> None:
    assert str(get_recipe("guided", "vgg16").objective) == "guided(relu4_3, guide)"


@pytest.mark.parametrize("kind", GUIDED)
def test_guided_dreams_are_the_plain_loops(kind: str, photo_unit: Tensor, guide_unit: Tensor) -> None:
    found, expected = guided_dreams(kind, photo_unit, guide_unit, "squeezenet1_1", "random", octaves=1)
    assert_same(found, expected, photo_unit)


@pytest.mark.parametrize("kind", GUIDED)
def test_guides_follow_the_octaves(kind: str, photo_unit: Tensor, guide_unit: Tensor) -> None:
    found, expected = guided_dreams(kind, photo_unit, guide_unit, "squeezenet1_1", "random", octaves=2, steps=(2, 2))
    assert_same(found, expected, photo_unit)


def test_guides_follow_the_tiles(photo: Image.Image, guide_unit: Tensor) -> None:
    recipe = one_level(
        "tutorial_tiled", "squeezenet1_1", steps=(10,), objective="guided(features.6, guide, spatial=true)"
    )
    extractor = double_extractor("squeezenet1_1", recipe)
    photo_unit = with_grain(photo, *size_for("tutorial_tiled"))

    def objective(activations: Sequence[Tensor], size: tuple[int, int], roll: Shift, box: Box) -> Tensor:
        top, bottom, left, right = box
        part = torch.roll(resize(guide_unit, *size), roll, (1, 2))[:, top:bottom, left:right]
        (answer,) = guided.guide_activations(part, plain(extractor), *part.shape[1:])
        (a,) = activations
        return guided.guided_by_location(a[0], guided.location_weights(answer))

    expected = tiled(photo_unit, plain(extractor), jitter(recipe), exponents=[0], tile=64, objective=objective)

    assert_same(engine(photo_unit, extractor, recipe, guide_unit=guide_unit), expected, photo_unit)


# --- real weights, real photos ---------------------------------------------------------------------------------

VGG16 = "vgg16_features.fp16.safetensors"
INCEPTION_V3 = "inception_v3_to_mixed_7a.fp16.safetensors"
SQUEEZENET = "squeezenet1_1_features.fp16.safetensors"
GOOGLENET = "googlenet_bvlc.fp16.safetensors"


@pytest.mark.parametrize(
    ("name", "backbone", "weights", "side_px", "steps"),
    [
        ("gordic", "vgg16", VGG16, 64, 10),
        ("layers_low", "vgg16", VGG16, 64, 10),
        ("layers_high", "vgg16", VGG16, 64, 10),
        ("keras", "inception_v3", INCEPTION_V3, 224, 4),
        ("tutorial", "inception_v3", INCEPTION_V3, 80, 10),
        ("tutorial_tiled", "inception_v3", INCEPTION_V3, 170, 4),
        ("styleconv_single", "inception_v3", INCEPTION_V3, 80, 10),
        ("styleconv_multi", "inception_v3", INCEPTION_V3, 80, 10),
        ("google", "googlenet_bvlc", GOOGLENET, 80, 10),
        ("distillable", "squeezenet1_1", SQUEEZENET, 64, 6),
    ],
)
def test_real_weights_dream_a_real_photo_as_the_plain_loop_does(
    name: str, backbone: str, weights: str, side_px: int, steps: int, shared_dir: Path
) -> None:
    photo_unit = natural_photo(shared_dir, side_px)
    recipe = one_level(name, backbone, steps=(steps,), stop_at=get_recipe(name, backbone).stop_at)
    extractor = double_extractor(backbone, recipe, shared_dir / "weights" / weights)

    expected = PLAIN_LOOPS[name](photo_unit, plain(extractor), recipe, SEED)

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


@pytest.mark.parametrize("kind", GUIDED)
def test_real_weights_follow_a_real_guide_as_the_plain_loop_does(kind: str, shared_dir: Path) -> None:
    photo_unit, guide_unit = natural_photo(shared_dir, 80), natural_photo(shared_dir, 72, "dog")
    weights = shared_dir / "weights" / GOOGLENET
    found, expected = guided_dreams(kind, photo_unit, guide_unit, "googlenet_bvlc", weights, octaves=1)
    assert_same(found, expected, photo_unit)


# --- terms: values and gradients -------------------------------------------------------------------------------

# Values before a ReLU: of both signs, and no two maps equally active.
SIGNED_LAYER = "conv2_1"


def assert_same_value_and_gradient(found: Tensor, expected: Sequence[Tensor], of: Tensor) -> None:
    """Hold (B,) against one value per picture, and what both say of each value of ``of``, (B, ...)."""
    together = torch.stack(list(expected))
    assert found.shape == together.shape
    torch.testing.assert_close(found, together, rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad(found.sum(), of)
    (expected_gradient,) = torch.autograd.grad(together.sum(), of)
    assert float(expected_gradient.abs().max()) > 1e-6
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mean(layer)", terms.mean),
        ("l2(layer)", terms.l2),
        ("l2(layer, inset=2)", lambda a: terms.l2(a, inset=2)),
        ("mean(layer, inset=1)", lambda a: a[:, 1:-1, 1:-1].sum() / a.numel()),
        ("channel(layer, 3)", lambda a: terms.channel(a, 3)),
        ("maps(layer, 4, 0, 3)", lambda a: terms.maps(a, [4, 0, 3])),
        ("neuron(layer, 2, 1, 6)", lambda a: terms.neuron(a, 2, 1, 6)),
        ("neuron(layer, 2)", lambda a: terms.neuron(a, 2, 3, 3)),
        ("-2*mean(layer) + 0.5*l2(layer)", lambda a: -2 * terms.mean(a) + 0.5 * terms.l2(a)),
    ],
)
def test_terms_of_activations(text: str, expected: Callable[[Tensor], Tensor]) -> None:
    a = torch.randn(2, 5, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_(True)

    found = score_look(Look({"layer": a}), parse_objective(text))

    assert_same_value_and_gradient(found, [expected(own) for own in a], a)


@pytest.mark.parametrize(("text", "expected"), [("tv()", terms.total_variation), ("norm()", terms.norm)])
def test_terms_of_pixels(text: str, expected: Callable[[Tensor], Tensor]) -> None:
    images = torch.rand(2, 3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_(
        True
    )

    found = score_look(Look({}, images), parse_objective(text))

    assert_same_value_and_gradient(found, [expected(own) for own in images], images)


def two_photos(photo: Image.Image, height: int = 24, width: int = 32) -> Tensor:
    """The second is the first one with next to no red: other maps answer to it."""
    first = with_grain(photo, height, width)
    tint = torch.tensor([0.1, 1.0, 1.0], dtype=torch.float64).view(3, 1, 1)
    return torch.stack([first, first * tint]).requires_grad_(True)


def activations(extractor: Extractor, images: Tensor) -> Tensor:
    """Of the one layer; pixels normalised here, not by the code that is tested."""
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    (answer,) = plain(extractor)((images - mean) / std)
    return answer


def recipe_of(text: str) -> DreamRecipe:
    return DreamRecipe(name="of one objective", objective=parse_objective(text))


@pytest.mark.parametrize("backbone", ["googlenet_bvlc", "squeezenet1_1"])
@pytest.mark.parametrize("label", ["tabby", "7"])
def test_class_is_the_logit_before_the_softmax(backbone: str, label: str, photo: Image.Image) -> None:
    recipe = recipe_of(f"class({label})")
    extractor = double_extractor(backbone, recipe)
    images = two_photos(photo, 32, 40)

    found = score(images, extractor, recipe)

    logits = activations(extractor, images)
    assert logits.shape[1] == 1000
    index = class_index(label, 1000)
    assert index == {"tabby": 281, "7": 7}[label]
    assert_same_value_and_gradient(found, [terms.class_logit(own, index) for own in logits], images)


@pytest.mark.parametrize("kind", GUIDED)
@pytest.mark.parametrize("backbone", ["vgg16", "squeezenet1_1"])
def test_guided_terms(kind: str, backbone: str, photo: Image.Image, guide_unit: Tensor) -> None:
    recipe = recipe_of(GUIDED[kind].replace("LAYER", SIGNED_LAYER if backbone == "vgg16" else "features.6"))
    extractor = double_extractor(backbone, recipe)
    images = two_photos(photo)

    found = score(images, extractor, recipe, guides={"guide": guide_unit[None]})

    expected = plain_objective(kind, guide_unit, plain(extractor), 24)
    own = activations(extractor, images)
    assert_same_value_and_gradient(found, [expected(a[None], (24, 32), (0, 0)) for a in own], images)


@pytest.mark.parametrize("kind", ["select_max", "select_min"])
def test_selected_maps_are_each_photos_own_and_stay(kind: str, photo: Image.Image) -> None:
    objective = parse_objective(f"{kind}({SIGNED_LAYER}, 3)")
    extractor = load_extractor("vgg16", [SIGNED_LAYER], weights="random").double()
    photos = two_photos(photo).detach()
    dreamed = photos.flip(0).requires_grad_(True)  # each has become the other
    of_photos, of_dreams = activations(extractor, photos), activations(extractor, dreamed)
    first, second = (set(terms.selected_maps(a, 3, most=kind == "select_max")) for a in of_photos)
    assert first != second

    found = Scorer(objective, extractor, photos).octave(0, (24, 32), 1.0)(dreamed, lambda images: images)

    term = terms.select_max if kind == "select_max" else terms.select_min
    expected = [term(own, before, 3) for own, before in zip(of_dreams, of_photos, strict=True)]
    assert_same_value_and_gradient(found, expected, dreamed)


@pytest.mark.parametrize(("backbone", "layer"), [("mobilenet_v2", "block_2_expand_relu"), ("resnet50", "layer1.1")])
def test_batch_norm_statistics_are_held_against_each_picture(backbone: str, layer: str, photo: Image.Image) -> None:
    recipe = recipe_of(f"mean({layer}) - 0.3*batch_norm()")
    extractor = load_extractor(backbone, [layer], weights="random", batch_norms=True).double()
    stream = torch.Generator().manual_seed(3)
    for running_mean, running_variance in extractor.batch_norm_statistics.values():
        running_mean.normal_(generator=stream)
        running_variance.uniform_(0.5, 2.0, generator=stream)
    assert len(extractor.batch_norm_statistics) > 5
    images = two_photos(photo)

    found = score(images, extractor, recipe)

    means, variances = zip(*extractor.batch_norm_statistics.values(), strict=True)
    expected = []
    for own in images:
        mean, std = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
        answers = extractor(((own - mean) / std)[None])
        inputs = [answers[f"bn:{path}"][0] for path in extractor.batch_norm_statistics]
        distance = terms.batch_norm_statistics(inputs, means, variances)
        expected.append(terms.mean(answers[layer][0]) - 0.3 * distance)
    assert_same_value_and_gradient(found, expected, images)


def test_terms_weigh_by_octave(photo: Image.Image) -> None:
    objective = parse_objective(f"l2({SIGNED_LAYER}, octaves=1/0.25/0) - 2*norm()")
    extractor = load_extractor("vgg16", [SIGNED_LAYER], weights="random").double()
    images = two_photos(photo)
    scorer = Scorer(objective, extractor, images.detach())

    for octave, weight in enumerate((1.0, 0.25, 0.0)):
        found = scorer.octave(octave, (24, 32), 1.0)(images, lambda images: images)
        squares = [(own**2).sum() / own.numel() for own in activations(extractor, images)]
        expected = [weight * value - 2 * terms.norm(own) for value, own in zip(squares, images, strict=True)]
        assert_same_value_and_gradient(found, expected, images)


def test_a_mask_weighs_locations_by_the_pixels_they_stand_for(photo: Image.Image) -> None:
    recipe = recipe_of(f"channel({SIGNED_LAYER}, 9, mask=sky)")
    extractor = double_extractor("vgg16", recipe)
    images = two_photos(photo)
    mask = torch.rand(1, 1, 24, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(4))

    found = score(images, extractor, recipe, masks={"sky": mask})

    own = activations(extractor, images)
    assert own.shape[2:] == (12, 16)
    weights = torch.stack([mask[0, 0, y : y + 2, x : x + 2].mean() for y in range(0, 24, 2) for x in range(0, 32, 2)])
    expected = [terms.channel(a * weights.view(12, 16), 9) for a in own]
    assert_same_value_and_gradient(found, expected, images)
