"""The engine against plain loops written from the published recipes, in float64."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from dreamgan.backbones import Extractor, load_extractor
from dreamgan.dream import DreamRecipe, DreamStep, dream, get_recipe, parse_layers
from dreamgan.dream.shifts import jitter_sequence, stratified_sequence
from dreamgan.images import load_image, shrink_to, to_unit
from tests.reference.distillable import distillable
from tests.reference.gordic import gordic
from tests.reference.tutorial import tutorial

TOLERANCE = 1e-10
SEED = 5
PHOTO_ID = "a photo"


@pytest.fixture
def photo_unit(photo: Image.Image) -> Tensor:
    """With grain: in flat areas max pooling would choose among equals by the last bit, and so would the dreams."""
    grain = torch.rand(3, 48, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return 0.8 * to_unit(photo).double() + 0.2 * grain


def double_extractor(backbone: str, recipe: DreamRecipe, weights: str | Path = "random") -> Extractor:
    return load_extractor(backbone, recipe.layer_names, weights=weights).double()


def plain(extractor: Extractor) -> Callable[[Tensor], Sequence[Tensor]]:
    return lambda images: list(extractor(images).values())


def engine(photo_unit: Tensor, extractor: Extractor, recipe: DreamRecipe) -> Tensor:
    result = dream(photo_unit[None], extractor, recipe, seed=SEED, photo_ids=[PHOTO_ID])
    assert result.completed
    assert result.dropped_octaves == 0
    assert result.images.dtype == torch.float64
    return result.images[0]


def jitter(recipe: DreamRecipe) -> list[list[tuple[int, int]]]:
    sequences = [
        jitter_sequence(recipe, SEED, PHOTO_ID, octave, steps) for octave, steps in enumerate(recipe.steps_per_octave)
    ]
    return [[(dy, dx) for dy, dx in sequence.tolist()] for sequence in sequences]


def slides(recipe: DreamRecipe) -> list[list[list[tuple[int, int]]]]:
    sequences = [
        stratified_sequence(recipe, SEED, octave, steps) for octave, steps in enumerate(recipe.steps_per_octave)
    ]
    return [[[(dy, dx) for dy, dx in step] for step in sequence.tolist()] for sequence in sequences]


def assert_same(found: Tensor, expected: Tensor, photo_unit: Tensor, tolerance: float = TOLERANCE) -> None:
    # A dream that hardly moved would pass against anything.
    assert float((expected - photo_unit).abs().mean()) > 0.005
    assert float((found - expected).abs().max()) <= tolerance


@pytest.mark.parametrize("layers", ["relu4_3", "relu3_3,relu4_3"])
def test_gordic_is_the_peers_dream(layers: str, photo_unit: Tensor) -> None:
    recipe = get_recipe("gordic", "vgg16", octaves=1, layers=parse_layers(layers))
    assert recipe.steps_per_octave == (10,)
    extractor = double_extractor("vgg16", recipe)

    expected = gordic(photo_unit, plain(extractor), jitter(recipe))

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


def test_gordic_levels_resize_the_current_result(photo_unit: Tensor) -> None:
    recipe = get_recipe("gordic", "squeezenet1_1", octaves=2, steps=(2, 3))
    extractor = double_extractor("squeezenet1_1", recipe)

    expected = gordic(photo_unit, plain(extractor), jitter(recipe))

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


def test_tutorial_is_the_tutorials_dream(photo_unit: Tensor) -> None:
    recipe = get_recipe("tutorial", "vgg16", octaves=1, octaves_above=0, steps=(10,))
    assert len(recipe.layers) == 2
    extractor = double_extractor("vgg16", recipe)

    expected = tutorial(photo_unit, plain(extractor), exponents=[0], steps=10)

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


def test_tutorial_climbs_above_the_photo_and_comes_back(photo_unit: Tensor) -> None:
    recipe = get_recipe("tutorial", "squeezenet1_1", steps=(2,))
    extractor = double_extractor("squeezenet1_1", recipe)
    seen: list[tuple[int, int]] = []

    def watch(step: DreamStep) -> None:
        seen.append(step.size)

    dream(photo_unit[None], extractor, recipe, callback=watch)
    # 48x64 px times 1.3^-2 ... 1.3^2, two steps each
    sizes = [(28, 38), (37, 49), (48, 64), (62, 83), (81, 108)]
    assert seen == [size for size in sizes for _ in range(2)]

    expected = tutorial(photo_unit, plain(extractor), exponents=[-2, -1, 0, 1, 2], steps=2)
    assert expected.shape == photo_unit.shape
    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


@pytest.mark.parametrize("shifts_per_step", [1, 3])
def test_distillable_is_its_published_recipe(shifts_per_step: int, photo_unit: Tensor) -> None:
    recipe = get_recipe("distillable", "squeezenet1_1", octaves=1, steps=(6,), shifts_per_step=shifts_per_step)
    extractor = double_extractor("squeezenet1_1", recipe)

    expected = distillable(photo_unit, plain(extractor), slides(recipe))

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


def test_distillable_gives_lost_detail_back(photo_unit: Tensor) -> None:
    recipe = get_recipe("distillable", "squeezenet1_1", steps=(1, 2, 2))
    extractor = double_extractor("squeezenet1_1", recipe)

    expected = distillable(photo_unit, plain(extractor), slides(recipe))

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


def natural_photo(shared_dir: Path, side_px: int) -> Tensor:
    path = sorted((shared_dir / "natural_images" / "cat").iterdir())[0]
    return to_unit(shrink_to(load_image(path).picture, side_px)).double()


def test_gordic_with_real_weights_on_a_real_photo(shared_dir: Path) -> None:
    photo_unit = natural_photo(shared_dir, 64)
    recipe = get_recipe("gordic", "vgg16", octaves=1)
    extractor = double_extractor("vgg16", recipe, shared_dir / "weights" / "vgg16_features.fp16.safetensors")

    expected = gordic(photo_unit, plain(extractor), jitter(recipe))

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


def test_tutorial_with_real_weights_on_a_real_photo(shared_dir: Path) -> None:
    photo_unit = natural_photo(shared_dir, 80)
    recipe = get_recipe("tutorial", "inception_v3", octaves=1, octaves_above=0, steps=(10,))
    weights = shared_dir / "weights" / "inception_v3_to_mixed_7a.fp16.safetensors"
    extractor = double_extractor("inception_v3", recipe, weights)

    expected = tutorial(photo_unit, plain(extractor), exponents=[0], steps=10)

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)


def test_distillable_with_real_weights_on_a_real_photo(shared_dir: Path) -> None:
    photo_unit = natural_photo(shared_dir, 64)
    recipe = get_recipe("distillable", "squeezenet1_1", octaves=1, steps=(6,))
    weights = shared_dir / "weights" / "squeezenet1_1_features.fp16.safetensors"
    extractor = double_extractor("squeezenet1_1", recipe, weights)

    expected = distillable(photo_unit, plain(extractor), slides(recipe))

    assert_same(engine(photo_unit, extractor, recipe), expected, photo_unit)
