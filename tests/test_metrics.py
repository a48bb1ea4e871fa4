"""Every measure against plain loops, against identities, and against the cheats that are known."""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dreamgan.backbones import Extractor, load_extractor
from dreamgan.backbones.registry import IMAGENET_MEAN, IMAGENET_STD
from dreamgan.dream import DreamRecipe, dream
from dreamgan.dream.objectives import l2, parse_objective
from dreamgan.errors import UserError
from dreamgan.metrics import (
    Measures,
    Measuring,
    Referee,
    cosines,
    equivalent_steps,
    feature_vectors,
    gains,
    kernel_distance,
    load_referee,
    measure,
    other_photos,
    universal_share,
    with_residual_of,
)
from dreamgan.metrics.equivalent import steps_reaching
from dreamgan.metrics.referee import referee_for
from dreamgan.metrics.residuals import UniversalShare, ratio_of_shares
from dreamgan.metrics.spread import ratio_spread, spread
from dreamgan.views import blurred

# Shallow layers of a random SqueezeNet; the deeper one, features.7, is the one whose features are compared.
RECIPE = DreamRecipe(
    name="tiny", objective=l2("features.7") + 0.5 * l2("features.4"), steps=(6,), step_size=(0.03,),
    smoothing="gaussian", smoothing_sigma=1.0, shifts="jitter", shift_px=1,
)  # fmt: skip
LAYERS = {"features.7": 1.0, "features.4": 0.5}
# What takes second dreams, and what takes a referee or more pictures than are here.
NEEDS_CEILING = {
    "second_dream_gain",
    *("robust_gain", "robust_gain_std", "ceiling_cosine", "ceiling_cosine_std"),
    *("agreement", "agreement_std", "agreement_se", "second_over_wrong_photo"),
}
NOT_HERE = {
    *("referee_floor_cosine", "referee_feature_cosine", "referee_ceiling_cosine"),
    *("referee_agreement", "referee_agreement_std", "kid", "kid_std", "kid_floor", "kid_ceiling"),
}


class Sets(NamedTuple):
    photos: Tensor
    dreams: Tensor
    second: Tensor
    generated: Tensor


@functools.cache
def extractor() -> Extractor:
    return load_extractor("squeezenet1_1", RECIPE.layer_names, weights="random")


@functools.cache
def sets(n: int = 6, size: int = 40) -> Sets:
    """Photos, two dreams of each, and something that got about half of the way to the first of them."""
    stream = torch.Generator().manual_seed(0)
    coarse = torch.rand(n, 3, 5, 5, generator=stream)
    photos = F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False) * 0.8 + 0.1
    photos = photos + 0.05 * torch.rand(n, 3, size, size, generator=stream)
    first, second = (dream(photos, extractor(), RECIPE, seed=seed).images for seed in (0, 1))
    share = 0.2 + 0.6 * torch.rand(n, 1, 1, 1, generator=stream)
    noise = 0.03 * torch.randn(n, 3, size, size, generator=stream)
    return Sets(photos, first, second, (photos + share * (first - photos) + noise).clamp(0, 1))


def measured(generated: Tensor, *, second: bool = True, batch: int = 8, referee: Referee | None = None) -> Measures:
    s = sets()
    seconds = s.second if second else None
    return measure(s.photos, s.dreams, seconds, generated, extractor(), RECIPE, referee=referee, batch=batch)


def figures(found: Measures) -> dict[str, Any]:
    """Those that can be taken of the few pictures here."""
    return {name: value for name, value in dataclasses.asdict(found).items() if name not in NOT_HERE}


# --- the oracle: one picture at a time, REFERENCE formulas, no function of the module under test


def eight_bit(image: Tensor) -> Tensor:
    return (image * 255).round() / 255


def activations(image: Tensor) -> dict[str, Tensor]:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    found: dict[str, Tensor] = extractor()(((image - mean) / std)[None])
    return found


def features(image: Tensor) -> Tensor:
    return activations(eight_bit(image))["features.7"].clamp_min(0).flatten().double()


def objective(image: Tensor) -> float:
    found = activations(image)
    return sum(weight * float(found[layer].double().square().mean()) for layer, weight in LAYERS.items())


def cosine(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum() / (a * a).sum().sqrt() / (b * b).sum().sqrt())


def gain(photo: Tensor, dreamed: Tensor, other: Tensor) -> float:
    return (objective(other) - objective(photo)) / (objective(dreamed) - objective(photo))


def seen_otherwise(image: Tensor) -> list[Tensor]:
    """Blur of 0.7 px, four shifts, an upscale by 1.25."""
    size = (round(image.shape[1] * 1.25), round(image.shape[2] * 1.25))
    shifts = [(0, 0), (7, 11), (11, 7), (3, 13)]
    larger = F.interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0]
    return [blurred(image[None], 0.7)[0], *(image.roll(shift, (1, 2)) for shift in shifts), larger]


def average(values: list[float]) -> float:
    return sum(values) / len(values)


def deviation(values: list[float]) -> float:
    return math.sqrt(sum((value - average(values)) ** 2 for value in values) / (len(values) - 1))


class PerPhoto(NamedTuple):
    floor: list[float]
    feature: list[float]
    ceiling: list[float]


def per_photo(s: Sets) -> PerPhoto:
    of = [[features(image) for image in images] for images in s]
    photos, dreams, second, generated = of
    return PerPhoto(
        [cosine(a, d) for a, d in zip(photos, dreams, strict=True)],
        [cosine(a, d) for a, d in zip(generated, dreams, strict=True)],
        [cosine(a, d) for a, d in zip(second, dreams, strict=True)],
    )


def agreement_of(cosines_of: PerPhoto, rows: list[int]) -> float:
    floor, feature, ceiling = (average([values[row] for row in rows]) for values in cosines_of)
    return (feature - floor) / (ceiling - floor)


def share_by_loop(residuals: list[Tensor]) -> float:
    together = sum(residuals, torch.zeros_like(residuals[0])) / len(residuals)
    return float((together**2).sum()) / average([float((residual**2).sum()) for residual in residuals])


def test_every_measure_equals_plain_loops() -> None:
    s = sets()
    n = len(s.photos)
    found = measured(s.generated)
    cosines_of = per_photo(s)
    robust: dict[str, list[float]] = {"generated": [], "second": []}
    for row in range(n):
        x, d, d2, g = (seen_otherwise(eight_bit(images[row])) for images in s)
        for view in range(len(x)):
            robust["generated"].append(gain(x[view], d[view], g[view]))
            robust["second"].append(gain(x[view], d[view], d2[view]))
    wrong: dict[str, list[float]] = {"generated": [], "second": []}
    for row in range(n):
        other = (row - n // 2) % n
        for name, cosines_there in wrong.items():
            pasted = (s.photos[row] + getattr(s, name)[other] - s.photos[other]).clamp(0, 1)
            cosines_there.append(cosine(features(pasted), features(s.dreams[row])))
    means = {
        "dream_gain": [gain(*map(eight_bit, row)) for row in zip(s.photos, s.dreams, s.generated, strict=True)],
        "floor_cosine": cosines_of.floor,
        "feature_cosine": cosines_of.feature,
        "ceiling_cosine": cosines_of.ceiling,
        "wrong_photo_cosine": wrong["generated"],
        "over_wrong_photo": [a - b for a, b in zip(cosines_of.feature, wrong["generated"], strict=True)],
    }
    expected = {
        "n": n,
        **{name: average(values) for name, values in means.items()},
        **{f"{name}_std": deviation(values) for name, values in means.items()},
        "second_dream_gain": average(
            [gain(*map(eight_bit, row)) for row in zip(s.photos, s.dreams, s.second, strict=True)]
        ),
        "robust_gain": average(robust["generated"]) / average(robust["second"]),
        "agreement": agreement_of(cosines_of, list(range(n))),
        "second_over_wrong_photo": average(cosines_of.ceiling) - average(wrong["second"]),
        "universal_share": share_by_loop(list(s.generated - s.photos)),
        "dream_universal_share": share_by_loop(list(s.dreams - s.photos)),
        "universal_ratio": share_by_loop(list(s.generated - s.photos)) / share_by_loop(list(s.dreams - s.photos)),
    }
    actual = figures(found)
    assert actual.pop("robust_gain_std") > 0
    assert actual.pop("universal_ratio_std") > 0
    assert actual.pop("agreement_std") > 0  # these have a test of their own
    assert actual.pop("agreement_se") > 0
    assert actual == pytest.approx(expected, rel=2e-4)
    # The scene is one in which the measures differ: floor below G below ceiling, neither gain 0 nor 1.
    assert found.floor_cosine < found.feature_cosine
    assert found.floor_cosine < found.ceiling_cosine < 1
    assert 0.05 < found.dream_gain < 0.95


def test_standard_error_agrees_with_a_bootstrap() -> None:
    n = 32
    s = sets(n, 32)
    found = measure(*s, extractor(), RECIPE)
    cosines_of = per_photo(s)
    stream = torch.Generator().manual_seed(0)
    draws = [agreement_of(cosines_of, torch.randint(n, (n,), generator=stream).tolist()) for _ in range(1000)]
    assert found.agreement_se == pytest.approx(float(torch.tensor(draws).std()), rel=0.25)
    assert found.agreement == pytest.approx(agreement_of(cosines_of, list(range(n))), rel=1e-3)
    assert found.agreement_std == pytest.approx(found.agreement_se * n**0.5)


def test_standard_error_of_the_ratio_of_universal_shares_agrees_with_a_bootstrap() -> None:
    n, side = 96, 4
    stream = torch.Generator().manual_seed(0)
    dreams = torch.randn(n, 3, side, side, generator=stream) + 0.5 * torch.randn(3, side, side, generator=stream)
    generated = torch.randn(n, 3, side, side, generator=stream) + torch.randn(3, side, side, generator=stream)
    added, dreamed = UniversalShare(), UniversalShare()
    for start in range(0, n, 5):  # batches do not matter
        added.add(generated[start : start + 5])
        dreamed.add(dreams[start : start + 5])
    found = ratio_of_shares(added, dreamed)
    assert found.mean == pytest.approx(share_by_loop(list(generated)) / share_by_loop(list(dreams)), rel=1e-5)
    draws = []
    for _ in range(500):
        rows = torch.randint(n, (n,), generator=stream)
        draws.append(universal_share(generated[rows]) / universal_share(dreams[rows]))
    # Of eight parts it is a rough figure.
    assert found.std / n**0.5 == pytest.approx(deviation(draws), rel=0.5)


def test_a_ratio_of_universal_shares_needs_dreams() -> None:
    added, dreamed = UniversalShare(), UniversalShare()
    added.add(torch.ones(3, 3, 2, 2))
    dreamed.add(torch.zeros(3, 3, 2, 2))
    assert math.isnan(ratio_of_shares(added, dreamed).mean)
    assert ratio_of_shares(dreamed, added) == (0, 0)


# --- identities


def test_the_dream_itself() -> None:
    s = sets()
    found = measured(s.dreams)
    assert found.dream_gain == 1
    assert found.feature_cosine == pytest.approx(1, abs=1e-6)
    gap = found.ceiling_cosine - found.floor_cosine
    assert found.agreement == pytest.approx((1 - found.floor_cosine) / gap, rel=1e-3)
    assert found.agreement > 1
    assert found.universal_share == found.dream_universal_share


def test_the_untouched_photo() -> None:
    found = measured(sets().photos)
    assert found.dream_gain == 0
    assert found.robust_gain == 0
    assert found.agreement == 0
    assert found.feature_cosine == found.floor_cosine
    assert found.wrong_photo_cosine == found.floor_cosine
    assert found.universal_share == 0


def test_the_second_dream() -> None:
    found = measured(sets().second)
    assert found.agreement == 1
    assert found.robust_gain == 1
    assert found.agreement_se == 0
    assert found.feature_cosine == found.ceiling_cosine


# --- cheats


def test_contrast_gains_but_does_not_agree() -> None:
    s = sets()
    mean = s.photos.mean(dim=(1, 2, 3), keepdim=True)
    found = measured((mean + 1.6 * (s.photos - mean)).clamp(0, 1))
    assert found.dream_gain > 0.05
    assert found.agreement < 0.05
    assert found.agreement < found.dream_gain


def test_a_pasted_pattern_shows_in_the_universal_share() -> None:
    s = sets()
    pattern = 0.05 * torch.randn(3, 40, 40, generator=torch.Generator().manual_seed(5))
    found = measured((s.photos + pattern).clamp(0, 1))
    assert found.universal_share > 0.9
    assert found.universal_share > 2 * found.dream_universal_share
    # What belongs to no photo serves all of them alike.
    assert found.wrong_photo_cosine == pytest.approx(found.feature_cosine, abs=2e-3)


def test_the_residual_of_another_photo_is_the_wrong_photo_control() -> None:
    """With two photos there is one other photo: pasting its dream's residual is the control of the dreams."""
    s = Sets(*(images[:2] for images in sets()))
    swapped = (s.photos + (s.dreams - s.photos).flip(0)).clamp(0, 1)
    cheat = measure(s.photos, s.dreams, s.second, swapped, extractor(), RECIPE)
    honest = measure(s.photos, s.dreams, s.second, s.dreams, extractor(), RECIPE)
    assert cheat.feature_cosine == pytest.approx(honest.wrong_photo_cosine, abs=1e-6)
    assert honest.wrong_photo_cosine < honest.feature_cosine - 0.01
    assert cheat.wrong_photo_cosine > cheat.feature_cosine  # the residual fits the other photo better


def test_the_wrong_photo_is_not_a_neighbour() -> None:
    """Neighbours are often two crops of one photo, which would make the control too kind."""
    s = sets()
    crops = Sets(*(images[[0, 0, 1, 1]] for images in s))
    one_each = Sets(*(images[:2] for images in s))
    with_crops = measure(*crops, extractor(), RECIPE)
    assert with_crops.wrong_photo_cosine == pytest.approx(
        measure(*one_each, extractor(), RECIPE).wrong_photo_cosine, abs=1e-6
    )


# --- what must not matter


@pytest.mark.parametrize("batch", [1, 4])
def test_batch_does_not_change_the_result(batch: int) -> None:
    generated = sets().generated
    expected = figures(measured(generated, batch=64))
    assert figures(measured(generated, batch=batch)) == pytest.approx(expected, rel=1e-4)


def test_pictures_are_compared_as_saved() -> None:
    s = sets()
    levels = Sets(*((images * 255).round() / 255 for images in s))
    # Less than half a level aside: the same file.
    nearby = (levels.generated + 0.4 / 255).clamp(0, 1)
    one, two = (
        measure(levels.photos, levels.dreams, levels.second, generated, extractor(), RECIPE)
        for generated in (levels.generated, nearby)
    )
    for name in ("dream_gain", "robust_gain", "feature_cosine", "agreement"):
        assert getattr(one, name) == getattr(two, name), name


def test_without_second_dreams_only_what_needs_a_ceiling_is_missing() -> None:
    generated = sets().generated
    without, complete = (figures(measured(generated, second=second)) for second in (False, True))
    assert {name for name, value in without.items() if math.isnan(value)} == NEEDS_CEILING
    assert not any(math.isnan(value) for value in complete.values())
    for name in without.keys() - NEEDS_CEILING:
        assert without[name] == complete[name], name


def test_guided_dreams_are_measured_by_their_guide() -> None:
    s = sets()
    recipe = dataclasses.replace(RECIPE, objective=parse_objective("guided(features.7, bees)"))
    guides = {"bees": s.photos[5:]}
    found = measure(*s, extractor(), recipe, guides=guides)
    other = measure(*s, extractor(), recipe, guides={"bees": 1 - s.photos[5:]})
    assert math.isfinite(found.robust_gain)
    assert found.dream_gain != other.dream_gain
    assert found.feature_cosine == other.feature_cosine
    with pytest.raises(UserError, match="bees"):
        measure(*s, extractor(), recipe)
    steps = equivalent_steps(s.photos[:2], s.dreams[:2], extractor(), recipe, guides=guides)
    assert steps.isfinite().all()


def test_measures_leave_no_gradient() -> None:
    generated = sets().generated.clone().requires_grad_(True)
    found = measured(generated)
    assert isinstance(found.agreement, float)
    assert generated.grad is None


# --- refusals


def test_wrong_shapes_are_refused() -> None:
    s = sets()
    for changed in (
        s._replace(dreams=s.dreams[:-1]),
        s._replace(second=s.second[:, :, 1:]),
        s._replace(generated=s.generated[..., 1:]),
        s._replace(generated=s.generated[:1]),  # would broadcast
        Sets(*(images[:1] for images in s)),
    ):
        with pytest.raises(ValueError, match="at least 2 pictures of one shape") as caught:
            measure(*changed, extractor(), RECIPE)
        assert all(str(tuple(images.shape)) in str(caught.value) for images in changed)
    with pytest.raises(ValueError, match="at least 2 pictures, got 0"):
        Measuring(extractor(), RECIPE).measures()


# --- parts


def test_features_are_those_of_the_deepest_layer_after_a_relu() -> None:
    objective = parse_objective("l2(features.6.squeeze) + l2(features.3)")
    recipe = dataclasses.replace(RECIPE, objective=objective)
    network = load_extractor("squeezenet1_1", recipe.layer_names, weights="random")
    images = sets().photos[:2]
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    deep = network((images - mean) / std)["features.6.squeeze"]  # a convolution: half of it is negative
    assert deep.min() < 0
    vectors = feature_vectors(images, network, recipe)
    assert vectors.shape == (2, deep[0].numel())
    torch.testing.assert_close(vectors, deep.clamp_min(0).flatten(1))


def test_of_layers_of_one_size_the_last_named_counts() -> None:
    recipe = dataclasses.replace(RECIPE, objective=parse_objective("l2(features.6) + l2(features.7)"))
    network = load_extractor("squeezenet1_1", recipe.layer_names, weights="random")
    images = sets().photos[:2]
    only = dataclasses.replace(RECIPE, objective=parse_objective("l2(features.7)"))
    torch.testing.assert_close(feature_vectors(images, network, recipe), feature_vectors(images, network, only))


def test_small_pictures_are_enlarged_for_the_network() -> None:
    small = sets().photos[:2, :, :6, :8]
    assert min(small.shape[-2:]) < extractor().min_size_px
    assert bool(feature_vectors(small, extractor(), RECIPE).isfinite().all())


def test_gains_by_hand() -> None:
    found = gains(torch.tensor([1.0, 1.0, 2.0]), torch.tensor([3.0, 3.0, 1.0]), torch.tensor([2.0, 5.0, 1.5]))
    assert found.tolist() == [0.5, 2.0, 0.5]
    assert gains(torch.ones(1), torch.ones(1), torch.zeros(1)).isnan().all()  # no rise, no share of it


def test_cosines_by_hand() -> None:
    a = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    b = torch.tensor([[0.0, 2.0], [1.0, 0.0], [-2.0, -4.0]])
    torch.testing.assert_close(cosines(a, b), torch.tensor([0.0, 0.5**0.5, -1.0]))


def test_universal_share_by_hand() -> None:
    residual = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert universal_share(residual.expand(5, 3, 4, 4)) == pytest.approx(1)
    assert universal_share(torch.stack([residual, -residual])) == pytest.approx(0, abs=1e-7)
    assert universal_share(torch.stack([residual, torch.zeros_like(residual)])) == pytest.approx(0.5)
    assert universal_share(torch.zeros(2, 3, 4, 4)) == 0


def test_universal_share_of_batches_is_that_of_all() -> None:
    s = sets()
    share = UniversalShare()
    for start in (0, 1, 4):
        share.add((s.dreams - s.photos)[start : {0: 1, 1: 4, 4: 6}[start]])
    assert share.value == pytest.approx(universal_share(s.dreams - s.photos))


def test_residual_of_another_by_hand() -> None:
    one, other = torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 2, 2), 0.2)
    assert with_residual_of(one, other, other + 0.25).allclose(torch.tensor(0.75))
    assert with_residual_of(one, other, other + 0.75).allclose(torch.tensor(1.0))  # as a file would hold it


@pytest.mark.parametrize(
    ("sources", "others"),
    [
        ("abcd", [2, 3, 0, 1]),
        ("abcde", [3, 4, 0, 1, 2]),
        ("ab", [1, 0]),
        ("aabb", [2, 3, 0, 1]),
        ("abab", [3, 0, 1, 2]),  # half the way round is the same photograph: the next
        ("aaab", [3, 3, 3, 1]),
        ("aaaa", None),
        ("a", None),
    ],
)
def test_the_other_photo_is_of_another_photograph(sources: str, others: list[int] | None) -> None:
    assert other_photos(sources) == others


def test_spread_by_hand() -> None:
    assert tuple(spread(torch.tensor([1.0, 3.0, float("nan")]))) == pytest.approx((2, 2**0.5))
    one = spread(torch.tensor([3.0]))
    assert one.mean == 3
    assert math.isnan(one.std)
    assert all(map(math.isnan, spread(torch.tensor([float("nan")]))))


def test_spread_of_a_ratio_by_hand() -> None:
    # The ratio is 1; what the photos contribute is (1 - 2) / 2 and (3 - 2) / 2.
    found = ratio_spread(torch.tensor([1.0, 3.0, float("nan")]), torch.tensor([2.0, 2.0, 5.0]))
    assert tuple(found) == pytest.approx((1, 0.5**0.5))
    # A photo without a rise would make a mean of ratios infinite.
    assert ratio_spread(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0])).mean == 0.5


# --- the referee


@functools.cache
def referee() -> Referee:
    return Referee(load_extractor("mobilenet_v2", ["block_2_expand"], weights="random"), "block_2_expand")


def test_referee_agreement_is_agreement_in_another_network() -> None:
    s = sets()
    found = measured(s.generated, referee=referee())
    vectors = []
    for images in s:
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        answers = referee().extractor((eight_bit(images) - mean) / std)["block_2_expand"]
        assert answers.min() < 0  # a convolution: the ReLU matters
        vectors.append(answers.clamp_min(0).flatten(1).double())
    floor, second, feature = (
        average([cosine(a, d) for a, d in zip(vectors[kind], vectors[1], strict=True)]) for kind in (0, 2, 3)
    )
    assert found.referee_agreement == pytest.approx((feature - floor) / (second - floor), rel=1e-4)
    assert found.referee_floor_cosine == pytest.approx(floor, rel=1e-4)
    assert found.referee_feature_cosine == pytest.approx(feature, rel=1e-4)
    assert found.referee_ceiling_cosine == pytest.approx(second, rel=1e-4)
    assert found.referee_agreement_std > 0
    assert found.referee_agreement != found.agreement
    assert measured(s.second, referee=referee()).referee_agreement == 1
    assert measured(s.photos, referee=referee()).referee_agreement == 0


def test_a_vgg_is_judged_by_another_network() -> None:
    assert referee_for("mobilenet_v2") == referee_for("inception_v3") == ("vgg16", "relu4_3")
    assert referee_for("vgg16") == referee_for("vgg19") == ("inception_v3", "mixed5")


def test_a_referee_from_a_file_and_none_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, reason = load_referee("mobilenet_v2", "random")
    assert reason == ""
    assert found is not None
    assert found.label == "vgg16 relu4_3, random"
    assert found.vectors(sets().photos[:2]).shape == (2, 512 * 5 * 5)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found, reason = load_referee("mobilenet_v2")
    assert found is None
    for said in ("vgg16-397923af.pth", str(tmp_path), "--referee_weights vgg16=FILE", "vgg16=download", "528 MB"):
        assert said in reason
    with pytest.raises(UserError, match="does not exist"):
        load_referee("mobilenet_v2", tmp_path / "none.pth")


# --- kernel distance


def test_kernel_distance_by_loops_of_one_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many pictures as a subset holds, every subset is the whole set: the formula can be written down."""
    monkeypatch.setattr("dreamgan.metrics.kid.SUBSET", 5)
    stream = torch.Generator().manual_seed(0)
    real, fake = torch.randn(5, 3, generator=stream), torch.randn(5, 3, generator=stream) + 1

    def kernel(a: Tensor, b: Tensor) -> float:
        return (float(a @ b) / 3 + 1) ** 3

    within = sum(kernel(s[i], s[j]) for s in (real, fake) for i in range(5) for j in range(5) if i != j) / (5 * 4)
    across = sum(kernel(a, b) for a in real for b in fake) / 25
    found = kernel_distance(real, fake)
    assert found.mean == pytest.approx(within - 2 * across, rel=1e-4)
    assert found.std == pytest.approx(0, abs=1e-5)


def test_kernel_distance_tells_sets_apart_and_leaves_the_stream_alone() -> None:
    stream = torch.Generator().manual_seed(0)
    real, alike = torch.rand(2, 64, 8, generator=stream)
    before = torch.get_rng_state()
    same, other = kernel_distance(real, alike), kernel_distance(real, alike + 0.5)
    assert torch.equal(torch.get_rng_state(), before)
    assert abs(same.mean) < 0.05 < other.mean
    assert 0 < same.std < 0.05
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        assert kernel_distance(real, alike) == same


def test_kernel_distance_wants_enough_pictures() -> None:
    assert all(map(math.isnan, kernel_distance(torch.rand(49, 4), torch.rand(60, 4))))


def test_kernel_distance_needs_no_torch_fidelity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchmetrics.image.kid._TORCH_FIDELITY_AVAILABLE", False)
    assert kernel_distance(torch.zeros(50, 2), torch.zeros(50, 2)).mean == 0


def test_measures_have_the_kernel_distance_of_pooled_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamgan.metrics.kid.SUBSET", 6)
    s = sets()
    found = measured(s.generated)
    with torch.no_grad():
        means = [feature_vectors(eight_bit(images), extractor(), RECIPE).view(6, 256, -1).mean(2) for images in s]
    for value, other in ((found.kid, means[3]), (found.kid_floor, means[0]), (found.kid_ceiling, means[2])):
        assert value == pytest.approx(kernel_distance(means[1], other).mean, rel=1e-3)
    assert found.kid < found.kid_floor


# --- equivalent steps


def test_where_a_curve_comes_to_a_height() -> None:
    curve = torch.tensor([[1.0, 2.0, 4.0]]).expand(6, 3)
    heights = torch.tensor([0.5, 1.0, 1.5, 3.0, 4.0, 9.0])
    assert steps_reaching(curve, [0, 4, 10], heights).tolist() == [0, 0, 2, 7, 10, 10]
    # Up, down and up again: the first time counts.
    assert steps_reaching(torch.tensor([[0.0, 2.0, 1.0, 3.0]]), [0, 2, 4, 6], torch.tensor([1.5])).tolist() == [1.5]


def test_equivalent_steps_of_dreams_that_were_stopped_early() -> None:
    photos = sets().photos[:3]
    recipe = dataclasses.replace(RECIPE, octaves=2, steps=(4,))  # 8 steps in all: SHARES of them are 1, 2, 4, 6 and 8
    for steps in (1, 2, 4, 6, 8):
        stopped = dream(photos, extractor(), recipe, seed=3, strength=steps / 8).images
        found = equivalent_steps(photos, stopped, extractor(), recipe, seed=3)
        assert found.tolist() == pytest.approx([steps] * 3, abs=1e-3)
    assert equivalent_steps(photos, photos, extractor(), recipe).tolist() == [0, 0, 0]
    between = dream(photos, extractor(), recipe, seed=3, strength=5 / 8).images
    found = equivalent_steps(photos, between, extractor(), recipe, seed=3)
    assert 4 < found.min() <= found.max() < 6
    assert equivalent_steps(photos[1:2], between[1:2], extractor(), recipe, seed=3)[0] == pytest.approx(float(found[1]))


def test_equivalent_steps_are_of_pictures_as_saved() -> None:
    photos = sets().photos[:2]
    levels = (sets().generated[:2] * 255).round() / 255
    one, two = (
        equivalent_steps(photos, images, extractor(), RECIPE) for images in (levels, (levels + 0.4 / 255).clamp(0, 1))
    )
    assert torch.equal(one, two)
    assert one.min() > 0


def test_equivalent_steps_of_a_recipe_of_one_step() -> None:
    photos = sets().photos[:2]
    recipe = dataclasses.replace(RECIPE, steps=(1,))
    dreams = dream(photos, extractor(), recipe).images
    assert equivalent_steps(photos, dreams, extractor(), recipe).tolist() == pytest.approx([1, 1])
