from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamgan.backbones import Extractor, load_extractor
from dreamgan.dream import RECIPES, DreamRecipe, DreamStep, dream, get_recipe, score
from dreamgan.dream.engine import scale_gradient
from dreamgan.dream.objectives import layer_scores
from dreamgan.dream.octaves import enlarge_to, octave_sizes, resize
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


def short_recipe(name: str, backbone: str = "squeezenet1_1", octaves: int = 1) -> DreamRecipe:
    """A named recipe with few octaves, none above the photo, of at most 6 steps."""
    return get_recipe(name, backbone, octaves=octaves, octaves_above=0, steps=(6,))


# --- pictures do not depend on their neighbours ----------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_other_neighbours_change_no_bit(name: str) -> None:
    recipe = short_recipe(name, octaves=2)
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch, others = photos(3), photos(3, seed=9)
    others[1] = batch[1]

    first = dream(batch, extractor, recipe, photo_ids=["x", "me", "y"]).images
    second = dream(others, extractor, recipe, photo_ids=["u", "me", "v"]).images

    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], second[0])


@pytest.mark.parametrize("name", RECIPES)
def test_batch_size_and_place_do_not_matter(name: str) -> None:
    recipe = short_recipe(name)
    extractor = extractor_for("squeezenet1_1", recipe.layer_names, torch.float64)
    batch = photos(8, 33, 40, dtype=torch.float64)
    names = [f"photo {i}" for i in range(8)]

    def dreams(of: list[int]) -> Tensor:
        return dream(batch[of], extractor, recipe, photo_ids=[names[i] for i in of]).images

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
    few = get_recipe(name, "squeezenet1_1", octaves=1, octaves_above=0, steps=(2,))

    before = score(batch, extractor, recipe)
    after_2 = score(dream(batch, extractor, few).images, extractor, recipe)
    after_6 = score(dream(batch, extractor, recipe).images, extractor, recipe)

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
        l2 = get_recipe("distillable", "squeezenet1_1", layers=layers, space=space)
        mean_recipe = get_recipe("tutorial", "squeezenet1_1", layers=layers, space=space)
        assert score(batch, extractor, l2).tolist() == pytest.approx(expected(torch.square), rel=1e-10)
        assert score(batch, extractor, mean_recipe).tolist() == pytest.approx(expected(lambda t: t), rel=1e-10)
    averaged = get_recipe("gordic", "squeezenet1_1", layers=layers)
    halves = [value / 2 for value in expected(torch.square)]
    assert score(batch, extractor, averaged).tolist() == pytest.approx(halves, rel=1e-10)


def test_gradients_flow_through_the_score() -> None:
    recipe = short_recipe("distillable")
    extractor = extractor_for("squeezenet1_1", recipe.layer_names)
    batch = photos(1).requires_grad_(True)

    (gradient,) = torch.autograd.grad(score(batch, extractor, recipe).sum(), batch)

    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_scores_of_half_precision_activations_are_float32(dtype: torch.dtype) -> None:
    recipe = get_recipe("distillable", "squeezenet1_1", layers=(("a", 1.0),))
    # mean(a²) is 90,000: above the range of float16
    scores = layer_scores({"a": torch.full((2, 4, 3, 3), 300.0, dtype=dtype)}, recipe)

    assert scores.dtype == torch.float32
    assert scores.tolist() == pytest.approx([90_000, 90_000], rel=0.01)


def test_layers_of_the_head_have_a_score() -> None:
    recipe = get_recipe("distillable", "squeezenet1_1", layers=(("a", 1.0),))
    assert layer_scores({"a": torch.tensor([[1.0, 3.0], [2.0, 2.0]])}, recipe).tolist() == [5.0, 4.0]


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

    def __init__(self, *, not_a_number: bool) -> None:
        super().__init__()
        self.mid_grey = nn.Parameter(torch.tensor([0.0]), requires_grad=False)
        self.not_a_number = not_a_number

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        light = torch.relu(images * std.view(3, 1, 1) + mean.view(3, 1, 1) - 0.5)
        # The root's slope at 0 is infinite, the rectifier's 0, and their product no number.
        return {"light": light.sqrt() if self.not_a_number else light.square()}


@pytest.mark.parametrize("not_a_number", [False, True])
@pytest.mark.parametrize("name", RECIPES)
def test_a_gradient_of_no_use_leaves_its_picture_alone(name: str, not_a_number: bool) -> None:
    recipe = get_recipe(
        name, "squeezenet1_1", octaves=1, octaves_above=0, steps=(2,), layers=(("light", 1.0),), objective="mean"
    )
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
        images = dream(torch.full((1, 3, 32, 32), grey), extractor, recipe).images
        assert images.isfinite().all()
        assert images.min() >= 0
        assert images.max() <= 1


def test_gradients_are_scaled_per_picture() -> None:
    gradient = torch.randn(3, 3, 5, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.3
    gradient[1] *= 1e-6
    for how in ("zscore", "std", "mean_abs"):
        scaled, usable = scale_gradient(gradient, how)
        assert usable.tolist() == [True, True, True]
        for found, g in zip(scaled, gradient, strict=True):
            expected = {
                "zscore": (g - g.mean()) / g.std(),
                "std": g / (g.std(correction=0) + 1e-8),
                "mean_abs": g / g.abs().mean(),
            }[how]
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("how", ["zscore", "std", "mean_abs"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), 0.0])
def test_gradients_of_no_use_become_zero(how: str, bad: float) -> None:
    gradient = torch.randn(3, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    good, _ = scale_gradient(gradient, how)
    if bad == 0.0:
        gradient[1] = 0.0
    else:
        gradient[1, 2, 3, 4] = bad

    scaled, usable = scale_gradient(gradient, how)

    assert usable.tolist() == [True, False, True]
    assert (scaled[1] == 0).all()
    assert torch.equal(scaled[[0, 2]], good[[0, 2]])


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
    rolls = torch.tensor([[1, -2], [0, 0], [-32, 5]])

    rolled = roll_each(images, rolls)

    assert rolled[0, 0, 1, 0] == images[0, 0, 0, 2]
    assert torch.equal(rolled[1], images[1])
    assert not torch.equal(rolled[2], images[2])
    assert torch.equal(roll_each(rolled, -rolls), images)


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
