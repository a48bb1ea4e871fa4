from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamgan.backbones import Extractor, load_extractor
from dreamgan.dream import RECIPES, DreamRecipe, DreamStep, dream, get_recipe, score
from dreamgan.dream.engine import scale_gradient
from dreamgan.dream.objectives import l2, mean
from dreamgan.dream.octaves import enlarge_to, octave_sizes, resize
from dreamgan.dream.scoring import Look, score_look
from dreamgan.dream.shifts import jitter_sequence, roll_each, slide, stratified_sequence
from dreamgan.dream.smoothing import gaussian_kernel, smooth, smoothing_kernel


@cache
def extractor_for(backbone: str, layers: tuple[str, ...], dtype: torch.dtype = torch.float32) -> Extractor:
    return load_extractor(backbone, layers, weights="random").to(dtype)


def photos(
    count: int, height: int = 40, width: int = 48, *, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Blurred noise: no two alike, nowhere flat."""
    noise = torch.rand(count, 3, height + 4, width + 4, generator=torch.Generator().manual_seed(seed))
    return F.avg_pool2d(noise, 5, stride=1).to(dtype)


# What tiny pictures and random weights need: maps with an inside, a map that answers, shifts far below the side.
FOR_TINY: dict[str, dict[str, Any]] = {
    "keras": {"objective": "l2(features.4, inset=2)"},
    "styleconv_single": {"objective": "channel(features.9, 2)"},
    "tutorial_tiled": {"shift_px": 2},
}


def guide(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """The guide picture of the recipe ``guided``; the others take no notice of it."""
    return {"guide": photos(1, 37, 45, seed=77, dtype=dtype)}


def short_recipe(name: str, *, octaves: int = 1, steps: int = 6) -> DreamRecipe:
    """A named recipe with few octaves, none above the photo, and few steps."""
    changes = FOR_TINY.get(name, {})
    return get_recipe(name, "squeezenet1_1", octaves=octaves, octaves_above=0, steps=(steps,), **changes)


# --- pictures do not depend on their neighbours ----------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_other_neighbours_change_no_bit(name: str) -> None:
    recipe = short_recipe(name, octaves=2)
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch, others = photos(3), photos(3, seed=9)
    others[1] = batch[1]

    first = dream(batch, extractor, recipe, photo_ids=["x", "me", "y"], guides=guide()).images
    second = dream(others, extractor, recipe, photo_ids=["u", "me", "v"], guides=guide()).images

    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize("name", RECIPES)
def test_batch_size_and_place_do_not_matter(name: str) -> None:
    recipe = short_recipe(name)
    extractor = extractor_for("squeezenet1_1", recipe.layer_names, torch.float64)
    batch = photos(8, 33, 40, dtype=torch.float64)
    names = [f"photo {i}" for i in range(8)]

    def dreams(of: list[int]) -> Tensor:
        return dream(batch[of], extractor, recipe, photo_ids=[names[i] for i in of], guides=guide()).images

    eight = dreams(list(range(8)))
    assert float((eight - batch).abs().mean()) > 0.01
    for of in ([2], [0, 1, 2], [2, 1, 0], [7, 2, 5]):
        torch.testing.assert_close(dreams(of), eight[of], rtol=0, atol=1e-9)


# --- random streams --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gordic", "distillable"])
def test_a_seed_repeats_the_dream_and_another_changes_it(name: str) -> None:
    recipe = short_recipe(name, octaves=2)
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch = photos(2)

    first, again, other = (dream(batch, extractor, recipe, seed=s, photo_ids=["a", "b"]).images for s in (3, 3, 4))

    assert torch.equal(first, again)
    assert (first - other).abs().mean(dim=(1, 2, 3)).min() > 1e-3


def test_jitter_follows_the_photo_id() -> None:
    recipe = short_recipe("gordic")
    extractor = extractor_for("squeezenet1_1", recipe.layer_names, torch.float64)
    twins = photos(1, dtype=torch.float64).repeat(3, 1, 1, 1)

    named = dream(twins, extractor, recipe, photo_ids=["a", "b", "a"]).images
    nameless = dream(twins, extractor, recipe).images

    torch.testing.assert_close(named[0], named[2], rtol=0, atol=1e-9)
    assert (named[0] - named[1]).abs().mean() > 1e-3
    torch.testing.assert_close(nameless[0], nameless[1], rtol=0, atol=1e-9)


def test_stratified_shifts_ignore_the_photo_id() -> None:
    recipe = short_recipe("distillable")
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch = photos(2)

    first = dream(batch, extractor, recipe, photo_ids=["a", "b"]).images

    assert torch.equal(first, dream(batch, extractor, recipe, photo_ids=["c", "d"]).images)


def test_dropped_octaves_leave_the_streams_of_the_others_alone() -> None:
    # The small photo loses an octave; its finest octave must still use the stream of octave 1.
    recipe = short_recipe("gordic", octaves=2)
    extractor = extractor_for("squeezenet1_1", recipe.layer_names, torch.float64)
    photo = photos(1, 24, 24, dtype=torch.float64)

    result = dream(photo, extractor, recipe, seed=1, photo_ids=["a"])

    assert result.dropped_octaves == 1
    rolls = jitter_sequence(recipe, 1, "a", 1, 6)
    same = _with_rolls(photo, extractor, get_recipe("gordic", "squeezenet1_1", octaves=1, steps=(6,)), rolls)
    torch.testing.assert_close(result.images, same, rtol=0, atol=1e-9)


def _with_rolls(photo: Tensor, extractor: Extractor, recipe: DreamRecipe, rolls: Tensor) -> Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dreamgan.dream.engine.jitter_sequence", lambda *_: rolls)
        return dream(photo, extractor, recipe).images


# --- small and odd pictures, and the result --------------------------------------------------------------------

# How many octaves are too small for each network: below 17 px, or below what its layers take.
DROPPED = {
    ("squeezenet1_1", "gordic"): 2,  # 6, 10 | 18, 32
    ("squeezenet1_1", "tutorial"): 0,  # 19, 25, 32, 42, 54
    ("squeezenet1_1", "distillable"): 1,  # 16 | 23, 32
    ("vgg16", "gordic"): 2,
    ("vgg16", "tutorial"): 0,
    ("vgg16", "distillable"): 1,
    ("inception_v3", "gordic"): 3,  # all below 43: the photo's own size remains
    ("inception_v3", "tutorial"): 4,  # 19, 25, 32, 42 | 54
    ("inception_v3", "distillable"): 2,
}


@pytest.mark.parametrize(("backbone", "name"), DROPPED)
def test_small_photos_are_dreamed(backbone: str, name: str) -> None:
    recipe = get_recipe(name, backbone, steps=(3,))
    extractor = extractor_for(backbone, recipe.layer_names)
    batch = photos(2, 32, 32)
    given = batch.clone()

    result = dream(batch, extractor, recipe, photo_ids=["a", "b"])

    dropped = DROPPED[backbone, name]
    # Where nothing is left, one octave is kept: the photo's own size.
    assert result.dropped_octaves == (recipe.octaves - 1 if dropped == recipe.octaves else dropped)
    _assert_a_dream(result.images, batch, extractor, recipe)
    assert result.completed
    assert result.skipped_steps.tolist() == [0, 0]
    assert torch.equal(batch, given)


@pytest.mark.parametrize("backbone", ["squeezenet1_1", "vgg16", "inception_v3"])
@pytest.mark.parametrize("size", [(33, 47), (61, 34)])
def test_odd_sizes_are_dreamed(backbone: str, size: tuple[int, int]) -> None:
    recipe = get_recipe("distillable", backbone, steps=(2,))
    extractor = extractor_for(backbone, recipe.layer_names)
    batch = photos(2, *size)

    result = dream(batch, extractor, recipe)

    _assert_a_dream(result.images, batch, extractor, recipe)


def _assert_a_dream(images: Tensor, batch: Tensor, extractor: Extractor, recipe: DreamRecipe) -> None:
    assert images.shape == batch.shape
    assert images.isfinite().all()
    assert images.min() >= 0
    assert images.max() <= 1
    assert (score(images, extractor, recipe) > 1.05 * score(batch, extractor, recipe)).all()


def test_photos_smaller_than_any_octave_are_dreamed() -> None:
    recipe = get_recipe("distillable", "squeezenet1_1", steps=(2,))
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    for size in ((9, 12), (1, 1), (2, 40)):
        batch = photos(1, *size)
        result = dream(batch, extractor, recipe)
        assert result.images.shape == batch.shape
        assert result.images.isfinite().all()
        assert result.dropped_octaves == 2


@pytest.mark.parametrize("name", RECIPES)
def test_the_score_rises_by_more_with_more_steps(name: str) -> None:
    recipe = short_recipe(name)
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch = photos(2)
    few = short_recipe(name, steps=2)

    def scored(images: Tensor) -> Tensor:
        return score(images, extractor, recipe, guides=guide())

    before = scored(batch)
    after_2 = scored(dream(batch, extractor, few, guides=guide()).images)
    after_6 = scored(dream(batch, extractor, recipe, guides=guide()).images)

    assert (after_2 > 1.1 * before).all()
    assert (after_6 > 1.1 * after_2).all()


def test_a_negative_step_size_lowers_the_score() -> None:
    recipe = get_recipe("tutorial", "squeezenet1_1", octaves=1, octaves_above=0, steps=(4,), step_size=-0.01)
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch = photos(2)

    assert (score(dream(batch, extractor, recipe).images, extractor, recipe) < score(batch, extractor, recipe)).all()


def test_the_dream_has_the_dtype_of_the_extractor() -> None:
    recipe = short_recipe("tutorial")
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)

    assert dream(photos(1, dtype=torch.float64), extractor, recipe).images.dtype == torch.float32


# --- the score -------------------------------------------------------------------------------------------------


def test_the_score_is_the_weighted_objective_of_each_picture() -> None:
    layers = (("features.8", 2.0), ("features.10", 0.5))
    extractor = extractor_for("squeezenet1_1", ("features.8", "features.10"), torch.float64)
    batch = photos(2, dtype=torch.float64)
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    a, b = extractor((batch - mean) / std).values()

    def expected(of: Callable[[Tensor], Tensor]) -> list[float]:
        return [float(2 * of(a[i]).mean() + 0.5 * of(b[i]).mean()) for i in range(2)]

    for space in ("unit", "signed", "imagenet"):
        squares = get_recipe("distillable", "squeezenet1_1", layers=layers, space=space)
        plain = get_recipe("tutorial", "squeezenet1_1", layers=layers, space=space)
        assert score(batch, extractor, squares).tolist() == pytest.approx(expected(torch.square), rel=1e-10)
        assert score(batch, extractor, plain).tolist() == pytest.approx(expected(lambda t: t), rel=1e-10)


def test_gradients_flow_through_the_score() -> None:
    recipe = short_recipe("distillable")
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch = photos(1).requires_grad_(True)

    (gradient,) = torch.autograd.grad(score(batch, extractor, recipe).sum(), batch)

    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_scores_of_half_precision_activations_are_float32(dtype: torch.dtype) -> None:
    # mean(a²) is 90,000: above the range of float16
    scores = score_look(Look({"a": torch.full((2, 4, 3, 3), 300.0, dtype=dtype)}), l2("a"))

    assert scores.dtype == torch.float32
    assert scores.tolist() == pytest.approx([90_000, 90_000], rel=0.01)


def test_layers_of_the_head_have_a_score() -> None:
    assert score_look(Look({"a": torch.tensor([[1.0, 3.0], [2.0, 2.0]])}), l2("a")).tolist() == [5.0, 4.0]


# --- the callback ----------------------------------------------------------------------------------------------


def test_the_callback_hears_of_every_step() -> None:
    recipe = get_recipe("tutorial", "squeezenet1_1", octaves=3, octaves_above=1, steps=(1, 2, 3))
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch = photos(2)
    heard: list[DreamStep] = []

    result = dream(batch, extractor, recipe, callback=heard.append)

    assert result.completed
    assert [(s.octave, s.step) for s in heard] == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]
    assert [(s.octaves, s.steps) for s in heard] == [(3, 1), (3, 2), (3, 2), (3, 3), (3, 3), (3, 3)]
    assert [s.size for s in heard] == [(31, 37), *[(40, 48)] * 2, *[(52, 62)] * 3]
    for step in heard:
        assert step.scores.shape == (2,)
        assert step.scores.isfinite().all()
        assert not step.scores.requires_grad
    assert (heard[-1].scores > heard[-2].scores).all()
    first = score(resize(batch, (31, 37)), extractor, recipe)
    torch.testing.assert_close(heard[0].scores, first, rtol=1e-5, atol=0)


def test_dropped_octaves_keep_their_numbers() -> None:
    recipe = get_recipe("gordic", "squeezenet1_1", steps=(1,))
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    heard: list[tuple[int, int]] = []

    dream(photos(1, 32, 32), extractor, recipe, callback=lambda s: heard.append((s.octave, s.octaves)))

    assert heard == [(2, 4), (3, 4)]


def test_a_callback_that_returns_false_stops_the_dream() -> None:
    recipe = get_recipe("tutorial", "squeezenet1_1", octaves=1, octaves_above=0, steps=(8,))
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch = photos(2)

    stopped = dream(batch, extractor, recipe, callback=lambda s: s.step < 3)

    assert not stopped.completed
    shorter = get_recipe("tutorial", "squeezenet1_1", octaves=1, octaves_above=0, steps=(3,))
    assert torch.equal(stopped.images, dream(batch, extractor, shorter).images)


@pytest.mark.parametrize("at", [(0, 0), (1, 1), (2, 0)])
@pytest.mark.parametrize("name", ["gordic", "tutorial", "distillable"])
def test_what_a_stopped_dream_has_reached_comes_at_full_size(name: str, at: tuple[int, int]) -> None:
    recipe = get_recipe(name, "squeezenet1_1", octaves=3, octave_scale=1.2, steps=(2,))
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch = photos(2)
    last: list[tuple[int, int]] = []

    def stop(step: DreamStep) -> bool:
        last.append((step.octave, step.step))
        return last[-1] != at

    result = dream(batch, extractor, recipe, callback=stop)

    assert last[-1] == at
    assert not result.completed
    assert result.images.shape == batch.shape
    assert result.images.isfinite().all()
    assert result.images.min() >= 0
    assert result.images.max() <= 1


# --- gradients that are of no use ------------------------------------------------------------------------------


class Dim(nn.Module):
    """A network blind to what is darker than mid-grey: no gradient there, or none that is a number."""

    min_size_px = 1
    layers = ("light",)
    widths = MappingProxyType({"light": 3})

    def __init__(self, *, not_a_number: bool) -> None:
        super().__init__()
        self.mid_grey = nn.Parameter(torch.tensor([0.0]), requires_grad=False)
        self.not_a_number = not_a_number

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        above = images * std.view(3, 1, 1) + mean.view(3, 1, 1) - 0.5
        # A rectifier by a product: the root's slope at 0 is infinite, and 0 times that is no number.
        light = above * (above > 0)
        return {"light": light.sqrt() if self.not_a_number else light.square()}


@pytest.mark.parametrize("not_a_number", [False, True])
@pytest.mark.parametrize("name", RECIPES)
def test_a_gradient_of_no_use_leaves_its_picture_alone(name: str, not_a_number: bool) -> None:
    # Without stretching: it would make every picture dark somewhere.
    few = {"octaves": 1, "octaves_above": 0, "steps": (2,), "stretch": False}
    recipe = get_recipe(name, "squeezenet1_1", objective=mean("light"), **few)
    extractor = cast(Extractor, Dim(not_a_number=not_a_number))
    bright = 0.6 + 0.4 * photos(3, 20, 24)
    batch = bright.clone()
    batch[1] = 0.3

    result = dream(batch, extractor, recipe, photo_ids=["a", "b", "c"])

    assert result.skipped_steps.dtype == torch.int64
    assert result.skipped_steps.tolist() == [0, 2, 0]
    torch.testing.assert_close(result.images[1], batch[1], rtol=0, atol=1e-5)
    healthy = dream(bright, extractor, recipe, photo_ids=["a", "b", "c"])
    assert healthy.skipped_steps.tolist() == [0, 0, 0]
    assert torch.equal(result.images[[0, 2]], healthy.images[[0, 2]])
    assert (healthy.images - bright).abs().mean() > 1e-3


@pytest.mark.parametrize("name", RECIPES)
def test_a_flat_grey_picture_stays_finite(name: str) -> None:
    recipe = short_recipe(name, octaves=2)
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)

    for grey in (0.0, 0.5, 1.0):
        images = dream(torch.full((1, 3, 32, 32), grey), extractor, recipe, guides=guide()).images
        assert images.isfinite().all()
        assert images.min() >= 0
        assert images.max() <= 1


def test_gradients_are_scaled_per_picture() -> None:
    gradient = torch.randn(3, 3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.3
    gradient[1] *= 1e-6
    for how in ("none", "zscore", "std", "mean_abs"):
        scaled, usable = scale_gradient(gradient.clone(), how)
        assert usable.tolist() == [True, True, True]
        for found, g in zip(scaled, gradient, strict=True):
            expected = {
                "none": g,
                "zscore": (g - g.mean()) / g.std(),
                "std": g / (g.std(correction=0) + 1e-8),
                "mean_abs": g / g.abs().mean(),
            }[how]
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("how", ["none", "zscore", "std", "mean_abs"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 0.0])
def test_gradients_of_no_use_become_zero(how: str, bad: float) -> None:
    gradient = torch.randn(3, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    good, _ = scale_gradient(gradient.clone(), how)
    if bad == 0.0:
        gradient[1] = 0.0
    else:
        gradient[1, 2, 3, 4] = bad

    scaled, usable = scale_gradient(gradient, how)

    assert usable.tolist() == [True, False, True]
    assert (scaled[1] == 0).all()
    assert torch.equal(scaled[[0, 2]], good[[0, 2]])


@pytest.mark.parametrize("how", ["none", "zscore", "std", "mean_abs"])
def test_a_gradient_is_divided_by_the_floor_at_least(how: str) -> None:
    gradient = torch.randn(2, 3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradient[1] *= 1e-9

    scaled, usable = scale_gradient(gradient.clone(), how, 1e-3)

    assert usable.tolist() == [True, True]
    torch.testing.assert_close(scaled[0], scale_gradient(gradient.clone(), how)[0][0], rtol=0, atol=0)
    small = gradient[1] - gradient[1].mean() if how == "zscore" else gradient[1]
    torch.testing.assert_close(scaled[1], small if how == "none" else small / 1e-3, rtol=1e-12, atol=0)


@pytest.mark.parametrize("how", ["none", "zscore", "std", "mean_abs"])
@pytest.mark.parametrize("tile_px", [0, 64])
def test_no_gradient_scale_spreads_what_is_no_number(how: str, tile_px: int) -> None:
    changes: dict[str, Any] = {"gradient_scale": how, "step_size": (1e-4 if how != "none" else 10.0,)}
    recipe = DreamRecipe(name="x", objective=mean("light"), steps=(3,), tile_px=tile_px, **changes)
    batch = 0.6 + 0.2 * photos(3, 70, 80)
    batch[1, :, 20:30, 30:50] = 0.3  # only there the gradient is no number

    result = dream(batch, cast(Extractor, Dim(not_a_number=True)), recipe)

    assert result.skipped_steps.tolist() == [0, 3, 0]
    torch.testing.assert_close(result.images[1], batch[1], rtol=0, atol=1e-6)
    assert result.images.isfinite().all()
    assert (result.images[[0, 2]] != batch[[0, 2]]).any()


# --- wrong input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 32, 32), r"\(B, 3, H, W\)"),
        (torch.zeros(1, 1, 32, 32), r"\(B, 3, H, W\)"),
        (torch.zeros(0, 3, 32, 32), "empty"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "floating"),
        (torch.full((1, 3, 32, 32), float("nan")), "finite"),
        (torch.full((1, 3, 32, 32), 255.0), r"\[0, 1\]"),
        (torch.full((1, 3, 32, 32), -1.0), r"\[0, 1\]"),
    ],
)
def test_wrong_images_are_refused(images: Tensor, message: str) -> None:
    recipe = short_recipe("gordic")
    with pytest.raises(ValueError, match=message):
        dream(images, extractor_for("squeezenet1_1", recipe.layer_names), recipe)


def test_photo_ids_must_be_one_per_photo() -> None:
    recipe = short_recipe("gordic")
    with pytest.raises(ValueError, match="2 photo_ids for 3 images"):
        dream(photos(3), extractor_for("squeezenet1_1", recipe.layer_names), recipe, photo_ids=["a", "b"])


def test_an_extractor_of_other_layers_is_refused() -> None:
    extractor = extractor_for("squeezenet1_1", ("features.5",))
    with pytest.raises(ValueError, match=r"'features\.9'.*features\.5"):
        dream(photos(1), extractor, short_recipe("gordic"))


# --- shifts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift_px", [2, 16, 30])
def test_four_successive_slides_visit_the_four_half_stride_cells(shift_px: int) -> None:
    recipe = get_recipe("distillable", "squeezenet1_1", shift_px=shift_px)
    sequence = stratified_sequence(recipe, seed=0, octave=1, steps=40)

    assert sequence.shape == (40, 1, 2)
    assert sequence.dtype == torch.int64
    assert sequence.min() >= 0
    assert sequence.max() < shift_px
    cells = (sequence.view(-1, 4, 2) // (shift_px // 2)).tolist()
    assert all(sorted(four) == [[0, 0], [0, 1], [1, 0], [1, 1]] for four in cells)
    assert len({str(four) for four in cells}) > 1  # another order each time around


def test_several_slides_of_a_step_visit_the_cells_too() -> None:
    recipe = get_recipe("distillable", "squeezenet1_1", shifts_per_step=4)
    sequence = stratified_sequence(recipe, seed=0, octave=0, steps=5)

    assert sequence.shape == (5, 4, 2)
    assert all(len({tuple(cell) for cell in step}) == 4 for step in (sequence // 8).tolist())


def test_stratified_sequences_follow_seed_octave_and_recipe() -> None:
    recipe = get_recipe("distillable", "squeezenet1_1")
    other = replace(recipe, name="other")
    sequences = [
        stratified_sequence(r, s, o, 8) for r, s, o in [(recipe, 0, 0), (recipe, 1, 0), (recipe, 0, 1), (other, 0, 0)]
    ]

    assert torch.equal(sequences[0], stratified_sequence(recipe, 0, 0, 8))
    assert len({str(sequence.tolist()) for sequence in sequences}) == 4


def test_jitter_stays_within_bounds_and_reaches_them() -> None:
    recipe = get_recipe("gordic", "squeezenet1_1", shift_px=3)
    sequence = jitter_sequence(recipe, seed=0, photo_id="a", octave=0, steps=400)

    assert sequence.shape == (400, 2)
    for axis in (0, 1):
        assert set(sequence[:, axis].tolist()) == {-3, -2, -1, 0, 1, 2, 3}
    assert not torch.equal(sequence[:, 0], sequence[:, 1])


def test_jitter_follows_photo_seed_octave_and_recipe() -> None:
    recipe = get_recipe("gordic", "squeezenet1_1")
    other = replace(recipe, name="other")
    cases = [(recipe, 0, "a", 0), (recipe, 1, "a", 0), (recipe, 0, "b", 0), (recipe, 0, "a", 1), (other, 0, "a", 0)]
    sequences = [jitter_sequence(*case, steps=10) for case in cases]

    assert torch.equal(sequences[0], jitter_sequence(*cases[0], steps=10))
    assert len({str(sequence.tolist()) for sequence in sequences}) == 5


def test_rolls_move_each_picture_by_its_own_and_back() -> None:
    images = photos(3, 6, 7)
    rolls = [(1, -2), (0, 0), (-32, 5)]

    rolled = roll_each(images, rolls)

    assert rolled[0, 0, 1, 0] == images[0, 0, 0, 2]
    assert torch.equal(rolled[1], images[1])
    assert not torch.equal(rolled[2], images[2])
    assert torch.equal(roll_each(rolled, [(-dy, -dx) for dy, dx in rolls]), images)


def test_slides_keep_every_pixel_in_sight() -> None:
    images = photos(2, 20, 22)
    for dy, dx in ((0, 0), (3, 15), (15, 0)):
        view = slide(images, dy, dx, 16)
        assert view.shape == (2, 3, 36, 38)
        assert torch.equal(view[:, :, dy : dy + 20, dx : dx + 22], images)
    assert view[0, 0, 0, 0] == images[0, 0, 15, 0]  # reflected, not wrapped


# --- smoothing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gordic", "distillable"])
def test_kernels_sum_to_one(name: str) -> None:
    recipe = get_recipe(name, "squeezenet1_1")
    for step in range(10):
        kernel = smoothing_kernel(recipe, step, 10)
        assert kernel is not None
        assert float(kernel.sum()) == pytest.approx(1.0, abs=1e-12)
        assert torch.equal(kernel, kernel.T)
        assert kernel.shape == ((9, 9) if name == "gordic" else (11, 11))
    assert smoothing_kernel(get_recipe("tutorial", "squeezenet1_1"), 0, 10) is None


def test_the_cascade_is_the_mean_of_three_blurs_and_widens() -> None:
    recipe = get_recipe("gordic", "squeezenet1_1")
    gradient = torch.randn(2, 3, 15, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for step, sigma in ((0, 0.7), (9, 2.5)):  # (step + 1) / 10 * 2 + 0.5
        kernel = smoothing_kernel(recipe, step, 10)
        assert kernel is not None
        blurs = [smooth(gradient, gaussian_kernel(factor * sigma, 4)) for factor in (0.5, 1.0, 2.0)]
        torch.testing.assert_close(smooth(gradient, kernel), sum(blurs) / 3, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (3, 20), (20, 21)])
def test_smoothing_keeps_a_constant_at_any_size(size: tuple[int, int]) -> None:
    constant = torch.full((2, 3, *size), -0.7, dtype=torch.float64)
    torch.testing.assert_close(smooth(constant, gaussian_kernel(1.5, 5)), constant, rtol=0, atol=1e-12)


def test_smoothing_flattens_noise_and_mixes_no_channels() -> None:
    gradient = torch.zeros(1, 3, 20, 20)
    gradient[0, 1] = torch.randn(20, 20, generator=torch.Generator().manual_seed(0))

    smoothed = smooth(gradient, gaussian_kernel(1.5, 5))

    assert smoothed[0, 1].std() < 0.4 * gradient[0, 1].std()
    assert (smoothed[0, [0, 2]] == 0).all()


def test_large_gradients_are_blurred_by_strips_and_no_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    gradient = torch.randn(2, 3, 61, 47, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole = smooth(gradient, gaussian_kernel(2.0, 6))
    monkeypatch.setattr("dreamgan.dream.smoothing.LARGE_PX", 60 * 47)
    for strip_px in (128, 61, 60, 20, 7, 1):
        monkeypatch.setattr("dreamgan.dream.smoothing.STRIP_PX", strip_px)
        strips = smooth(gradient.clone(), gaussian_kernel(2.0, 6))
        torch.testing.assert_close(strips, whole, rtol=0, atol=1e-14)


# --- octaves ---------------------------------------------------------------------------------------------------


def test_octave_sizes_of_the_named_recipes() -> None:
    sizes = {name: octave_sizes(300, 401, get_recipe(name, "vgg16")) for name in RECIPES}

    assert sizes["gordic"] == [(51, 69), (93, 124), (167, 223), (300, 401)]
    assert sizes["tutorial"] == [(178, 237), (231, 308), (300, 401), (390, 521), (507, 678)]
    assert sizes["distillable"] == [(153, 205), (214, 286), (300, 401)]


def test_pictures_are_enlarged_to_what_a_network_takes() -> None:
    images = photos(1, 20, 33)
    assert enlarge_to(images, 20) is images
    assert enlarge_to(images, 75).shape == (1, 3, 75, 124)
    assert enlarge_to(images.mT, 75).shape == (1, 3, 124, 75)


def test_resizing_to_the_same_size_changes_nothing() -> None:
    images = photos(1, 20, 33)
    assert resize(images, (20, 33)) is images
    torch.testing.assert_close(resize(torch.full((1, 3, 9, 7), 0.3), (20, 33)), torch.full((1, 3, 20, 33), 0.3))


# --- a network whose gradient is known -------------------------------------------------------------------------


class Slope(nn.Module):
    """Every pixel by itself; the gradient of the mean is the same everywhere, whatever the picture; all above 0."""

    min_size_px = 1
    backbone = "slope"
    layers = ("a",)
    widths = MappingProxyType({"a": 3})

    def __init__(self) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.tensor([0.6, -0.2, 0.1], dtype=torch.float64), requires_grad=False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"a": images * self.factors.view(3, 1, 1) + 2}


SLOPE = cast(Extractor, Slope())
# Of the mean over all values; the network sees (pixels - mean) / std.
STD = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)
GRADIENT = torch.tensor([0.6, -0.2, 0.1], dtype=torch.float64) / STD / 3
DIRECTION = (GRADIENT / GRADIENT.abs().mean()).view(3, 1, 1)


def sloping(**fields: Any) -> DreamRecipe:
    return DreamRecipe(**{"name": "slope", "objective": mean("a"), "steps": (3,), "step_size": (0.01,), **fields})


def climbed(recipe: DreamRecipe, batch: Tensor, **more: Any) -> Tensor:
    return dream(batch, SLOPE, recipe, **more).images - batch


def middling(count: int, height: int = 40, width: int = 48) -> Tensor:
    """Pictures in which a few steps leave room on both sides."""
    return 0.3 + 0.4 * photos(count, height, width, dtype=torch.float64)


def along(lengths: float | Tensor, batch: Tensor) -> Tensor:
    return (lengths * DIRECTION).expand_as(batch)


def assert_close(found: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)


def test_step_sizes_and_their_decay_are_what_is_gone() -> None:
    batch = middling(2)
    assert_close(climbed(sloping(), batch), along(0.03, batch))
    assert_close(climbed(sloping(step_decay=0.25), batch), along(0.01 + 0.005 + 0.0025, batch))
    # From an octave to the next the detail is lost, but not what was gone: "before" gives the detail back.
    octaves = {"octaves": 3, "steps": (1, 3, 2), "step_size": (0.04, 0.02, 0.01), "reinject_detail": "before"}
    assert_close(climbed(sloping(**octaves), batch), along(0.04 + 3 * 0.02 + 2 * 0.01, batch))
    decayed = 0.04 + (0.02 + 0.01 + 0.005) + (0.01 + 0.0025)
    assert_close(climbed(sloping(**octaves, step_decay=0.25), batch), along(decayed, batch))


def test_a_gradient_may_be_taken_as_it_is_and_a_floor_slows_it() -> None:
    batch = middling(2)
    pixels = batch[0].numel()
    as_it_is = (GRADIENT / (40 * 48)).view(3, 1, 1)
    unscaled = climbed(sloping(gradient_scale="none", step_size=(50.0,)), batch)
    assert_close(unscaled, (150 * as_it_is).expand_as(batch))
    size = float(GRADIENT.abs().mean()) * 3 / pixels
    assert_close(climbed(sloping(gradient_floor=size / 2), batch), along(0.03, batch))
    assert_close(climbed(sloping(gradient_floor=size * 2), batch), along(0.015, batch))


@pytest.mark.parametrize("space", ["unit", "signed", "imagenet"])
def test_steps_are_in_the_units_of_the_space(space: str) -> None:
    batch = middling(2)
    std = {"unit": torch.ones(3).double(), "signed": torch.full((3,), 0.5).double(), "imagenet": STD}[space]
    # In the space's pixels p, with images = p * std + mean, the gradient is std times that on the images.
    gradient = GRADIENT * std
    expected = 0.03 * gradient / gradient.abs().mean() * std
    assert_close(climbed(sloping(space=space), batch), expected.view(3, 1, 1).expand_as(batch))


def test_without_clamp_pixels_may_leave_the_range_on_the_way() -> None:
    batch = middling(1)
    there_and_back = {"octaves": 2, "steps": (5, 5), "step_size": (0.2, -0.2), "reinject_detail": "before"}
    assert_close(climbed(sloping(**there_and_back, clamp=False), batch), torch.zeros_like(batch))
    assert climbed(sloping(**there_and_back), batch).abs().mean() > 0.05
    beyond = dream(batch, SLOPE, sloping(step_size=(2.0,), clamp=False)).images
    assert [float(beyond.min()), float(beyond.max())] == [0, 1]


def test_stretching_gives_each_photo_the_whole_range() -> None:
    batch = middling(3)
    batch[1] = batch[1] * 0.1 + 0.2
    batch[2] = 0.7
    tiny = sloping(stretch=True, step_size=(1e-14,))

    found = dream(batch, SLOPE, tiny).images

    for i in range(2):
        low, high = batch[i].min(), batch[i].max()
        assert_close(found[i], (batch[i] - low) / (high - low))
    assert_close(found[2], batch[2])


@pytest.mark.parametrize("reinject", ["none", "before", "after"])
def test_the_photos_detail_is_given_back_before_or_after_an_octaves_steps(reinject: str) -> None:
    batch = 0.3 + 0.4 * torch.rand(1, 3, 40, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    blurred = resize(resize(batch, (29, 34)), (40, 48))
    recipe = DreamRecipe(
        name="x", objective=l2("a"), octaves=2, steps=(2,), step_size=(1e-14,), reinject_detail=cast(Any, reinject)
    )
    scores: list[float] = []

    found = dream(batch, SLOPE, recipe, callback=lambda at: scores.append(float(at.scores[0]))).images

    sharp, soft = (float(score(images, SLOPE, recipe)) for images in (batch, blurred))
    assert sharp > 1.001 * soft
    assert scores[2:] == pytest.approx([sharp if reinject == "before" else soft] * 2, rel=1e-9)
    assert_close(found, blurred if reinject == "none" else batch)


# --- where to dream --------------------------------------------------------------------------------------------


def corner(height: int = 40, width: int = 48) -> Tensor:
    """White in a corner, black elsewhere."""
    mask = torch.zeros(1, 1, height, width, dtype=torch.float64)
    mask[..., : height // 3, : width // 2] = 1
    return mask


ELSEWHERE: dict[str, dict[str, Any]] = {
    "gordic": {},
    "keras": {},
    "tutorial": {"octaves": 3, "octaves_above": 1},
    "google": {},
    "distillable": {},
    "styleconv_multi": {"tile_px": 64, "tile_overlap_px": 8},
    "tutorial_tiled": {"tile_px": 64},
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_outside_of_the_mask_the_photo_comes_back_bit_for_bit(name: str) -> None:
    recipe = replace(short_recipe(name, octaves=2, steps=2), **ELSEWHERE[name])
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch = photos(2, 66, 80)
    here = F.interpolate(corner(66, 80), size=(66, 80))

    dreamed = dream(batch, extractor, recipe, photo_ids=["a", "b"], only_here=here).images

    outside = (here == 0).expand_as(batch)
    assert torch.equal(dreamed[outside], batch[outside])
    assert (dreamed - batch)[~outside].abs().mean() > 0.005


@pytest.mark.parametrize("shifts", ["none", "jitter", "stratified", "tiles", "jittered tiles"])
def test_a_soft_mask_is_the_share_of_what_moves(shifts: str) -> None:
    soft = torch.linspace(0, 1, 70, dtype=torch.float64).expand(1, 1, 66, 70)
    own = torch.cat([soft, soft.flip(3)])
    batch = middling(2, 66, 70)
    changes: dict[str, Any] = {"shifts": shifts, "shift_px": 16}
    if "tiles" in shifts:
        changes = {
            "tile_px": 64,
            "tile_overlap_px": 9,
            "shifts": "jitter" if "jitter" in shifts else "none",
            "shift_px": 9,
        }
    # Reflected borders count twice under slides: there the gradient is not the same everywhere.
    border = 16 if shifts == "stratified" else 0
    inside = (..., slice(border, 66 - border), slice(border, 70 - border))

    for here in (soft, own, soft[0, 0, 0].expand(1, 1, 3, 70)):
        recipe = sloping(**changes)
        moved = climbed(recipe, batch, photo_ids=["a", "b"], only_here=here)
        plain = climbed(recipe, batch, photo_ids=["a", "b"])
        share = resize(here, (66, 70))
        assert_close(moved[inside], (plain * share)[inside])


@pytest.mark.parametrize("name", ["gordic", "google", "keras"])
def test_a_soft_mask_mixes_dream_and_photo_without_a_rim(name: str) -> None:
    """The blur of a recipe that puts no detail back fades with the mask, too."""
    recipe = short_recipe(name, octaves=2, steps=2)
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch = photos(1, 66, 80)
    soft = (torch.linspace(-0.5, 1.5, 80).clamp(0, 1) ** 2).expand(1, 1, 66, 80)
    whole, mixed = (dream(batch, extractor, recipe, only_here=here).images for here in ((soft > 0).float(), soft))
    torch.testing.assert_close(mixed - batch, soft * (whole - batch), rtol=0, atol=1e-5)


def test_a_mask_of_the_objective_follows_the_picture_through_every_shift() -> None:
    batch, masks = middling(2, 66, 80), {"m": corner(66, 80)}
    outside = (masks["m"] == 0).expand_as(batch)
    ways: list[dict[str, Any]] = [
        {},
        {"shifts": "jitter", "shift_px": 30},
        {"shifts": "stratified", "shift_px": 16},
        {"shifts": "stratified", "shift_px": 16, "shifts_per_step": 3},
        {"tile_px": 64, "tile_overlap_px": 8},
        {"tile_px": 64, "shifts": "jitter", "shift_px": 30},
        {"tile_px": 64, "shifts": "stratified", "shift_px": 16},
    ]
    for way in ways:
        recipe = sloping(objective=l2("a").masked("m"), steps=(4,), **way)
        moved = climbed(recipe, batch, photo_ids=["a", "b"], masks=masks)
        assert_close(moved[outside], torch.zeros_like(moved[outside]), 1e-15)
        assert (moved[~outside] != 0).all(), way


@pytest.mark.parametrize("objective", ["guided(a, g, spatial=true)", "l2(a, mask=m)", "l2(a) - 2*norm()"])
def test_a_roll_changes_nothing_for_a_network_that_sees_single_pixels(objective: str) -> None:
    batch = middling(2)
    more = {"guides": {"g": photos(1, 30, 41, seed=4)}, "masks": {"m": corner()}, "photo_ids": ["a", "b"]}
    still = climbed(sloping(objective=objective), batch, **more)
    assert_close(climbed(sloping(objective=objective, shifts="jitter", shift_px=20), batch, **more), still)
    assert still.abs().mean() > 0.01


@pytest.mark.parametrize("overlap", [0, 10])
@pytest.mark.parametrize("objective", ["l2(a)", "l2(a, mask=m)", "guided(a, g)", "guided_match(a, g)", "l2(a)-norm()"])
def test_tiles_change_nothing_for_a_network_that_sees_single_pixels(objective: str, overlap: int) -> None:
    batch = middling(2, 70, 150)
    more = {"guides": {"g": photos(1, 30, 41, seed=4)}, "masks": {"m": corner(70, 150)}, "photo_ids": ["a", "b"]}
    for scale in ("none", "mean_abs"):
        recipe = sloping(objective=objective, gradient_scale=scale, step_size=(200.0 if scale == "none" else 0.01,))
        whole = climbed(recipe, batch, **more)
        tiled = replace(recipe, tile_px=64, tile_overlap_px=overlap, shifts="jitter", shift_px=50)
        assert_close(climbed(tiled, batch, **more), whole)
        assert whole.abs().mean() > 1e-3


# --- pictures that have reached their goal ---------------------------------------------------------------------


def test_only_the_picture_that_reached_the_goal_stops_and_in_each_octave_anew() -> None:
    recipe = sloping(objective=l2("a"), octaves=2, steps=(6,), reinject_detail="before")
    batch = middling(3)
    batch[1] = 0.4 * batch[1]
    heard: list[DreamStep] = []
    dream(batch, SLOPE, recipe, callback=heard.append)
    rising = torch.stack([at.scores for at in heard])  # (12, 3)
    # Where picture 0 is with the third step of the first octave; the others may be anywhere.
    goal = float(rising[2, 0]) - 1e-9
    assert (rising[:, 1] < goal).all()

    heard.clear()
    result = dream(batch, SLOPE, replace(recipe, stop_at=goal), callback=heard.append)
    scores = torch.stack([at.scores for at in heard])

    assert len(heard) == 12  # as long as one picture goes on
    assert torch.equal(scores[:, 1], rising[:, 1])
    first = scores[:, 0]
    # The step that finds it there is still taken; then it stays.
    assert torch.equal(first[:4], rising[:4, 0])
    assert torch.equal(first[4:6], first[3].expand(2))
    # The next octave begins above the goal: one step.
    assert first[6] > goal
    assert first[7] > first[6]
    assert torch.equal(first[8:], first[7].expand(4))
    assert result.skipped_steps.tolist() == [0, 0, 0]
    # And a picture that has stopped is as one that was told to take so many steps.
    alone = dream(batch[:1], SLOPE, replace(recipe, steps=(3, 1)))
    assert_close(result.images[:1], alone.images)


def test_an_octave_ends_when_all_have_reached_their_goal() -> None:
    batch = middling(2)
    heard: list[tuple[int, int]] = []
    recipe = sloping(octaves=3, steps=(5,), stop_at=-100.0)

    dream(batch, SLOPE, recipe, callback=lambda at: heard.append((at.octave, at.step)))

    assert heard == [(0, 0), (1, 0), (2, 0)]


def test_a_stopped_picture_with_a_useless_gradient_is_not_counted_as_skipped() -> None:
    batch = 0.6 + 0.4 * photos(2, 20, 24)
    batch[1] = 0.3  # nothing to be seen there: it has reached the goal, 0, from the start
    recipe = DreamRecipe(name="x", objective=-mean("light"), steps=(5,), step_size=(1e-5,), stop_at=-1e-6)
    result = dream(batch, cast(Extractor, Dim(not_a_number=False)), recipe)
    assert result.skipped_steps.tolist() == [0, 1]
    unstopped = dream(batch, cast(Extractor, Dim(not_a_number=False)), replace(recipe, stop_at=None))
    assert unstopped.skipped_steps.tolist() == [0, 5]


# --- octaves that are dropped ----------------------------------------------------------------------------------


def test_dropped_octaves_take_their_weights_steps_and_sizes_with_them() -> None:
    batch = middling(1, 20, 24)  # 10 px at the first octave
    recipe = sloping(
        objective="mean(a, octaves=1/-1) + 0*l2(a)", octaves=2, octave_scale=2.0, steps=(9, 2), step_size=(0.9, 0.01)
    )
    heard: list[tuple[int, int, int]] = []

    result = dream(batch, SLOPE, recipe, callback=lambda at: heard.append((at.octave, at.step, at.steps)))

    assert result.dropped_octaves == 1
    assert heard == [(1, 0, 2), (1, 1, 2)]
    assert_close(result.images - batch, along(-0.02, batch))


# --- the metric of the step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"colour_decorrelation": True}, {"spectrum_power": 1.0}, {"spectrum_power": 0.5}])
@pytest.mark.parametrize("name", ["tutorial", "gordic", "distillable"])
def test_another_metric_gives_another_dream_that_rises_too(name: str, change: dict[str, Any]) -> None:
    recipe = short_recipe(name)
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch = photos(2)

    plain = dream(batch, extractor, recipe).images
    other = dream(batch, extractor, replace(recipe, **change)).images

    assert (plain - other).abs().mean() > 0.005
    assert (score(other, extractor, recipe) > 1.1 * score(batch, extractor, recipe)).all()
    # Colours that go together, or coarse shapes: what the metric favours.
    if "spectrum_power" in change:
        assert grain(other - batch) < grain(plain - batch)
    else:
        assert colourfulness(other - batch) < colourfulness(plain - batch)


def grain(change: Tensor) -> float:
    """How much of a change is finer than 4 px."""
    fine = change - F.avg_pool2d(change, 5, stride=1, padding=2, count_include_pad=False)
    return float(fine.std() / change.std())


def colourfulness(change: Tensor) -> float:
    return float((change - change.mean(dim=1, keepdim=True)).std() / change.std())


# --- pictures do not depend on their neighbours, whatever is asked ---------------------------------------------

SPATIAL = "guided(features.7, guide, spatial=true)"
VARIANTS: dict[str, dict[str, Any]] = {
    "none": {"gradient_scale": "none", "step_size": 0.5},
    "zscore": {"gradient_scale": "zscore"},
    "std": {"gradient_scale": "std"},
    "mean_abs": {"gradient_scale": "mean_abs", "gradient_floor": 1e-4},
    "tiles": {"tile_px": 64, "tile_overlap_px": 8},
    "jittered tiles": {"tile_px": 64, "shifts": "jitter", "shift_px": 40},
    "stratified tiles": {"tile_px": 64, "shifts": "stratified", "shift_px": 16, "shifts_per_step": 2},
    "guide": {"objective": "guided(features.7, guide)"},
    "guide of each octave": {"objective": "guided(features.7, guide, per_octave=true)"},
    "guide of each location": {
        "objective": "guided(features.7, guide, spatial=true)",
        "shifts": "jitter",
        "shift_px": 9,
    },
    "tiled guide": {"objective": "guided(features.7, guide, spatial=true)", "tile_px": 64},
    "matched guide": {"objective": "guided_match(features.7, guide)", "shifts": "stratified", "shift_px": 16},
    "chosen maps": {"objective": "select_max(features.7, 3) - select_min(features.7, 3)"},
    "masks": {"objective": "l2(features.7, mask=own) + l2(features.7, mask=shared)", "shifts": "jitter", "shift_px": 9},
    "regularisers": {"objective": "l2(features.7) - 0.1*tv() - 0.1*norm()"},
    "metric": {"colour_decorrelation": True, "spectrum_power": 0.7},
    "goal": {"stop_at": 0.5, "clamp": False, "stretch": True},
}


def variant(name: str) -> DreamRecipe:
    fields = {"objective": "l2(features.7)", "octaves": 1, "octaves_above": 0, "steps": 5, **VARIANTS[name]}
    return get_recipe("tutorial", "squeezenet1_1", **fields)


def dreamed_variant(name: str, batch: Tensor, of: list[int], dtype: torch.dtype) -> Tensor:
    recipe = variant(name)
    own = torch.rand(8, 1, 5, 5, generator=torch.Generator().manual_seed(2)).to(dtype)
    return dream(
        batch[of].to(dtype),
        extractor_for("squeezenet1_1", recipe.layer_names, dtype),
        recipe,
        photo_ids=[f"photo {i}" for i in of],
        guides=guide(dtype),
        masks={"own": own[of], "shared": own[:1]},
        only_here=own[of] + 0.1 if name == "masks" else None,
    ).images


@pytest.mark.parametrize("name", VARIANTS)
def test_batch_size_and_place_do_not_matter_whatever_is_asked(name: str) -> None:
    batch = photos(8, 66, 70, dtype=torch.float64)
    eight = dreamed_variant(name, batch, list(range(8)), torch.float64)
    assert (eight - batch).abs().mean(dim=(1, 2, 3)).min() > 0.001
    for of in ([5], [2, 1, 0]):
        torch.testing.assert_close(dreamed_variant(name, batch, of, torch.float64), eight[of], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", VARIANTS)
def test_other_neighbours_change_no_bit_whatever_is_asked(name: str) -> None:
    batch, others = photos(3, 66, 70), photos(3, 66, 70, seed=9)
    others[1] = batch[1]
    first, second = (dreamed_variant(name, images, [0, 1, 2], torch.float32) for images in (batch, others))
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], second[0])
