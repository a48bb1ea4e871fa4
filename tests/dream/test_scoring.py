"""What terms are worth: of each picture alone, under masks, by octave, with guides, and on the photo's own maps."""

from functools import cache
from types import MappingProxyType
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamgan.backbones import Extractor, load_extractor
from dreamgan.dream import DreamRecipe, dream, get_recipe, parse_objective, score
from dreamgan.dream.objectives import Objective, guided, l2, maps, mean, select_max, select_min
from dreamgan.dream.octaves import resize
from dreamgan.dream.scoring import Look, Scorer, See, check_objective, choose_maps, score_look
from dreamgan.dream.shifts import roll_each, slide
from dreamgan.dream.tiles import crop, tile_grid
from dreamgan.errors import UserError

LAYERS = ("block_2_add", "block_3_expand_relu", "head")
FINE, DEEP = LAYERS[:2]


@cache
def network(dtype: torch.dtype = torch.float64) -> Extractor:
    return load_extractor("mobilenet_v2", LAYERS, weights="random", batch_norms=True).to(dtype)


def photos(count: int, height: int = 40, width: int = 48, *, seed: int = 0) -> Tensor:
    """Blurred noise in float64: no two alike, nowhere flat."""
    noise = torch.rand(count, 3, height + 4, width + 4, generator=torch.Generator().manual_seed(seed)).double()
    return F.avg_pool2d(noise, 5, stride=1)


def as_it_is(images: Tensor) -> Tensor:
    return images


def scored(
    text: str | Objective,
    images: Tensor,
    *,
    extractor: Extractor | None = None,
    guides: dict[str, Tensor] | None = None,
    masks: dict[str, Tensor] | None = None,
    octave: int = 0,
    factor: float = 1.0,
    see: See = as_it_is,
) -> Tensor:
    objective = parse_objective(text) if isinstance(text, str) else text
    scorer = Scorer(objective, extractor or network(), images, guides=guides, masks=masks)
    size = (images.shape[-2], images.shape[-1])
    return scorer.octave(octave, size, factor)(see(images), see)


class Toy(nn.Module):
    """A network whose maps move with the picture, around its borders too: ``a`` looks at 3x3 pixels, ``b`` at one."""

    min_size_px = 1
    backbone = "toy"
    layers = ("a", "b")
    widths = MappingProxyType({"a": 5, "b": 4})

    def __init__(self) -> None:
        super().__init__()
        stream = torch.Generator().manual_seed(3)
        self.wide = nn.Parameter(torch.randn(5, 3, 3, 3, generator=stream).double(), requires_grad=False)
        self.point = nn.Parameter(torch.randn(4, 3, 1, 1, generator=stream).double(), requires_grad=False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        around = F.pad(images, (1, 1, 1, 1), mode="circular")
        return {"a": F.conv2d(around, self.wide).relu(), "b": F.conv2d(images, self.point).square()}


TOY = cast(Extractor, Toy())


def normalised(images: Tensor) -> Tensor:
    mean, std = (images.new_tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (images - mean) / std


# --- every picture by itself -----------------------------------------------------------------------------------

ALONE = [
    f"mean({FINE})",
    f"l2({DEEP}, inset=1)",
    f"channel({DEEP}, 3)",
    f"maps({DEEP}, 3, 5)",
    f"neuron({FINE}, 3)",
    "class(tabby)",
    "mean(head)",
    f"guided({DEEP}, guide)",
    f"guided({DEEP}, guide, spatial=true)",
    f"guided({DEEP}, guide, per_octave=true)",
    f"guided_match({DEEP}, guide)",
    f"select_max({DEEP}, 3)",
    f"select_min({DEEP}, 120)",
    f"l2({DEEP}, mask=shared)",
    f"l2({DEEP}, mask=own)",
    "tv()",
    "norm()",
    "batch_norm()",
    f"l2({FINE}) - 0.1*tv() - 0.01*batch_norm() + 2*select_max({DEEP}, 2, mask=own)",
]


def score_and_gradient(text: str, images: Tensor) -> tuple[Tensor, Tensor]:
    images = images.clone().requires_grad_(True)
    own = (images.detach().mean(dim=1, keepdim=True) > 0.5).to(images)
    masks = {"shared": torch.linspace(0, 1, 48, dtype=torch.float64).expand(1, 1, 40, 48), "own": own}
    scores = scored(text, images, guides={"guide": photos(1, 44, 52, seed=5)}, masks=masks, factor=0.7)
    (gradient,) = torch.autograd.grad(scores.sum(), images)
    return scores.detach(), gradient


@pytest.mark.parametrize("text", ALONE)
def test_neighbours_change_no_bit_of_a_score_or_gradient(text: str) -> None:
    batch, others = photos(3), photos(3, seed=9)
    others[1] = batch[1]

    scores, gradient = score_and_gradient(text, batch)
    other_scores, other_gradient = score_and_gradient(text, others)

    assert scores.shape == (3,)
    assert scores[1] == other_scores[1]
    assert torch.equal(gradient[1], other_gradient[1])
    assert scores[0] != other_scores[0]
    assert bool(gradient[1].any())


@pytest.mark.parametrize("text", ALONE)
def test_the_batch_size_does_not_matter(text: str) -> None:
    batch = photos(3)
    scores, gradient = score_and_gradient(text, batch)
    for i in range(3):
        alone, alone_gradient = score_and_gradient(text, batch[i : i + 1])
        torch.testing.assert_close(alone[0], scores[i], rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(alone_gradient[0], gradient[i], rtol=1e-8, atol=1e-12)


def test_weights_and_signs_add_up() -> None:
    batch = photos(2)
    parts = [scored(text, batch) for text in (f"l2({FINE})", f"mean({DEEP})", "tv()")]
    together = scored(f"2*l2({FINE}) - (mean({DEEP}) - 0.5*tv()) + 0*norm()", batch)
    torch.testing.assert_close(together, 2 * parts[0] - parts[1] + 0.5 * parts[2], rtol=1e-12, atol=0)


def test_the_engines_score_is_that_of_the_last_octave() -> None:
    recipe = DreamRecipe(name="x", objective=parse_objective(f"l2({FINE}, octaves=1/3) + mean({DEEP})"), octaves=2)
    batch = photos(2)
    expected = 3 * scored(f"l2({FINE})", batch) + scored(f"mean({DEEP})", batch)
    torch.testing.assert_close(score(batch, network(), recipe), expected, rtol=1e-12, atol=0)


# --- masks -----------------------------------------------------------------------------------------------------


def left(share: float, height: int = 40, width: int = 48) -> Tensor:
    """A mask that is white over the left part."""
    white = torch.arange(width) < share * width
    return white.double().expand(1, 1, height, width).clone()


@pytest.mark.parametrize("kind", ["mean", "l2"])
def test_a_mask_counts_what_lies_under_it(kind: str) -> None:
    batch = photos(2)
    answers = TOY(normalised(batch))["a"]
    values = answers if kind == "mean" else answers.square()
    # The mean is over all locations, white or not: half a mask gives half of the mean of that half.
    expected = values[..., :24].mean(dim=(1, 2, 3)) / 2
    found = scored(f"{kind}(a, mask=m)", batch, extractor=TOY, masks={"m": left(0.5)})
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


MASKED = ["l2", "mean", "channel", "maps", "guided", "guided_match", "select_max", "select_min"]
ARGUMENTS = {"channel": ", 3", "maps": ", 3, 5", "guided": ", g", "guided_match": ", g", "select_max": ", 3"}
ARGUMENTS["select_min"] = ", 120"


@pytest.mark.parametrize("kind", MASKED)
def test_a_mask_and_its_inverse_share_out_the_whole(kind: str) -> None:
    batch = photos(2)
    soft = torch.linspace(0, 1, 48, dtype=torch.float64).expand(1, 1, 40, 48)
    masks = {"m": soft, "n": 1 - soft, "white": torch.ones(1, 1, 7, 9, dtype=torch.float64)}

    def of(mask: str) -> Tensor:
        text = f"{kind}({DEEP}{ARGUMENTS.get(kind, '')}{mask})"
        return scored(text, batch, masks=masks, guides={"g": photos(1, seed=5)})

    torch.testing.assert_close(of(", mask=m") + of(", mask=n"), of(""), rtol=1e-10, atol=1e-12)
    assert torch.equal(of(", mask=white"), of(""))
    assert (of(", mask=m") < of("")).all()


@pytest.mark.parametrize("kind", MASKED)
def test_no_gradient_reaches_far_from_the_mask(kind: str) -> None:
    batch = photos(2, 40, 160).requires_grad_(True)
    text = f"{kind}({DEEP}{ARGUMENTS.get(kind, '')}, mask=m)"
    found = scored(text, batch, masks={"m": left(0.25, 40, 160)}, guides={"g": photos(1, seed=5)})
    (gradient,) = torch.autograd.grad(found.sum(), batch)
    # block_3_expand_relu looks at 27 px around: beyond that nothing.
    assert bool(gradient[..., :40].any())
    assert not bool(gradient[..., 40 + 27 :].any())


def test_each_picture_may_have_its_own_mask_of_any_size() -> None:
    batch = photos(2)
    small = torch.stack([left(0.5, 20, 24)[0], 1 - left(0.5, 20, 24)[0]])
    first, second = scored("l2(a, mask=m)", batch, extractor=TOY, masks={"m": small})
    large = [scored("l2(a, mask=m)", batch, extractor=TOY, masks={"m": resize(m[None], (40, 48))}) for m in small]
    assert first == large[0][0]
    assert second == large[1][1]
    assert first != large[1][0]


# --- octaves ---------------------------------------------------------------------------------------------------


def test_octave_weights_switch_terms_on_and_off() -> None:
    batch = photos(2)
    text = f"l2({FINE}, octaves=1/0/0) + mean({DEEP}, octaves=0/2/0) - tv() + 0.5*norm(octaves=0/0/4)"
    plain = {kind: scored(f"{kind}", batch) for kind in (f"l2({FINE})", f"mean({DEEP})", "tv()", "norm()")}
    l2s, means, tvs, norms = plain.values()
    for octave, expected in enumerate([l2s - tvs, 2 * means - tvs, 2 * norms - tvs]):
        torch.testing.assert_close(scored(text, batch, octave=octave), expected, rtol=1e-12, atol=1e-14)


def test_a_guide_of_each_octave_is_shrunk_like_the_photo() -> None:
    batch, guide = photos(2), photos(1, 60, 80, seed=5)
    each = guided(DEEP, "g", per_octave=True)
    once = guided(DEEP, "g")

    shrunk = scored(each, batch, guides={"g": guide}, factor=0.6)

    assert torch.equal(shrunk, scored(once, batch, guides={"g": resize(guide, (36, 48))}))
    assert torch.equal(scored(each, batch, guides={"g": guide}), scored(once, batch, guides={"g": guide}))
    assert not torch.equal(shrunk, scored(once, batch, guides={"g": guide}))
    # Not even a guide shrunk below what the network takes stops it.
    assert scored(each, batch, guides={"g": guide}, factor=0.01).isfinite().all()


# --- guides ----------------------------------------------------------------------------------------------------


def test_the_weights_of_a_guide_are_its_mean_activations_over_their_sum() -> None:
    batch, guide = photos(2), photos(1, 30, 31, seed=5)
    weights = TOY(normalised(guide))["a"][0].mean(dim=(1, 2))
    weights = weights / weights.abs().sum()
    expected = (TOY(normalised(batch))["a"].mean(dim=(2, 3)) * weights).sum(dim=1)
    found = scored("guided(a, g)", batch, extractor=TOY, guides={"g": guide})
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_a_guide_that_excites_nothing_weighs_nothing() -> None:
    class Blind(Toy):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            return {name: 0 * answer for name, answer in super().forward(images).items()}

    blind = cast(Extractor, Blind())
    for option in ("", ", spatial=true", ", per_octave=true"):
        assert scored(f"guided(a, g{option})", photos(1), extractor=blind, guides={"g": photos(1)}).tolist() == [0.0]


def test_a_guide_matters() -> None:
    batch = photos(2)
    for kind in ("guided(a, g)", "guided(a, g, spatial=true)", "guided_match(a, g)"):
        one, other = (
            scored(kind, batch, extractor=TOY, guides={"g": guide})
            for guide in (photos(1, seed=5), photos(1, seed=6) ** 3)
        )
        assert (one != other).all()


@pytest.mark.parametrize("text", ["guided(a, g, spatial=true)", "l2(a, mask=m)", "guided(a, g, spatial=true, mask=m)"])
def test_spatial_guides_and_masks_are_rolled_with_each_picture(text: str) -> None:
    batch, guides, masks = photos(2), {"g": photos(1, 30, 36, seed=5)}, {"m": left(0.3)}
    rolls = [(7, -5), (-12, 30)]

    def rolled(images: Tensor) -> Tensor:
        return roll_each(images.expand(2, -1, -1, -1), rolls)

    still = scored(text, batch, extractor=TOY, guides=guides, masks=masks)
    moved = scored(text, batch, extractor=TOY, guides=guides, masks=masks, see=rolled)
    torch.testing.assert_close(moved, still, rtol=1e-10, atol=0)
    # And it would not be so if they stayed behind.
    size = (40, 48)
    behind = Scorer(parse_objective(text), TOY, batch, guides=guides, masks=masks).octave(0, size, 1.0)
    assert ((behind(rolled(batch), as_it_is) - still).abs() > 1e-4 * still).all()


@pytest.mark.parametrize("text", ["guided(a, g, spatial=true)", "l2(a, mask=m)"])
def test_spatial_guides_and_masks_slide_and_are_cut_like_the_picture(text: str) -> None:
    batch, guide, mask = photos(2), photos(1, seed=5), left(0.3)
    tile = tile_grid(40, 48, 24, 4)[1]

    def slid(images: Tensor) -> Tensor:
        return slide(images.expand(2, -1, -1, -1), 3, 11, 16)

    def cut_out(images: Tensor) -> Tensor:
        return crop(images.expand(2, -1, -1, -1), tile, [(5, 9), (-30, 2)])

    for see in (slid, cut_out):
        moved = scored(text, batch, extractor=TOY, guides={"g": guide}, masks={"m": mask}, see=see)
        for i in range(2):
            # The same as of a picture, a guide and a mask that were moved or cut beforehand.
            own = {"g": see(guide)[i : i + 1]}, {"m": see(mask)[i : i + 1]}
            alone = scored(text, see(batch)[i : i + 1], extractor=TOY, guides=own[0], masks=own[1])
            torch.testing.assert_close(moved[i], alone[0], rtol=1e-10, atol=0)


# --- maps chosen on the photo ----------------------------------------------------------------------------------


@pytest.mark.parametrize("choose", [select_max, select_min])
def test_each_photo_has_its_own_choice_which_maps_would_give_too(choose: object) -> None:
    batch = photos(3)
    batch[1, 0] *= 0.2
    batch[2] = 1 - batch[2]
    objective = select_max(DEEP, 7) if choose is select_max else select_min(DEEP, 7)
    (term,) = objective
    chosen = choose_maps(batch, network(), term)

    means = network()(normalised(batch))[DEEP].mean(dim=(2, 3))
    for i in range(3):
        outside = [float(m) for c, m in enumerate(means[i]) if c not in chosen[i].tolist()]
        if choose is select_max:
            assert means[i][chosen[i]].min() >= max(outside)
        else:
            assert means[i][chosen[i]].max() <= min(outside)
    assert len({tuple(sorted(own)) for own in chosen.tolist()}) > 1

    found = scored(objective, batch)
    for i, own in enumerate(chosen.tolist()):
        assert found[i] == pytest.approx(float(scored(maps(DEEP, *own), batch)[i]), rel=1e-12)


def test_the_choice_is_made_on_the_photo_not_on_the_dream() -> None:
    photo, another = photos(1), 1 - photos(1, seed=4)
    scorer = Scorer(select_max(DEEP, 3), network(), photo)
    (chosen,) = choose_maps(photo, network(), select_max(DEEP, 3).terms[0]).tolist()
    found = scorer.octave(0, (40, 48), 1.0)(another, as_it_is)
    torch.testing.assert_close(found, scored(maps(DEEP, *chosen), another), rtol=1e-12, atol=0)


def test_a_large_photo_is_chosen_on_shrunk() -> None:
    seen: list[tuple[int, ...]] = []

    class Watching(Toy):
        def forward(self, images: Tensor) -> dict[str, Tensor]:
            seen.append(tuple(images.shape[-2:]))
            return super().forward(images)

    choose_maps(photos(1, 300, 1024), cast(Extractor, Watching()), select_max("a", 1).terms[0])
    assert seen == [(150, 512)]


# --- single values ---------------------------------------------------------------------------------------------


def test_a_class_by_name_is_the_class_by_index() -> None:
    batch = photos(2)
    by_name = scored("class(tabby)", batch)
    assert torch.equal(by_name, scored("class(281)", batch))
    torch.testing.assert_close(by_name, network()(normalised(batch))["head"][:, 281], rtol=1e-10, atol=0)
    assert not torch.equal(by_name, scored("class(282)", batch))


def test_a_neuron_is_one_value_and_in_the_middle_by_default() -> None:
    batch = photos(2, 6, 9)
    values = TOY(normalised(batch))["a"]
    assert torch.equal(scored("neuron(a, 2, 5, 8)", batch, extractor=TOY), values[:, 2, 5, 8])
    assert torch.equal(scored("neuron(a, 2, 0, 1)", batch, extractor=TOY), values[:, 2, 0, 1])
    assert torch.equal(scored("neuron(a, 2)", batch, extractor=TOY), values[:, 2, 3, 4])


def test_an_inset_leaves_the_border_out_but_not_of_the_divisor() -> None:
    batch = photos(2, 6, 9)
    values = TOY(normalised(batch))["a"]
    expected = values[:, :, 2:-2, 2:-2].square().sum(dim=(1, 2, 3)) / (5 * 6 * 9)
    torch.testing.assert_close(scored("l2(a, inset=2)", batch, extractor=TOY), expected, rtol=1e-12, atol=0)
    # As on maps without an inside: nothing, not NaN.
    assert scored("l2(a, inset=3)", batch, extractor=TOY).tolist() == [0.0, 0.0]


def test_pictures_too_small_for_the_network_are_enlarged() -> None:
    tall = load_extractor("squeezenet1_1", ("features.9",), weights="random").double()
    batch = photos(2, 5, 6)
    assert tall.min_size_px > 5
    assert scored("l2(features.9)", batch, extractor=tall).isfinite().all()


# --- mistakes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"channel({DEEP}, 144)", rf"channel\({DEEP}, 144\): there is no map 144; {DEEP} has 144 maps, 0 to 143"),
        (f"maps({DEEP}, 3, 999, 1000)", "there is no map 999"),
        (f"neuron({DEEP}, 144)", "there is no map 144"),
        (f"neuron({DEEP}, 3, 10, 0)", rf"neuron\({DEEP}, 3, 10, 0\): the maps of {DEEP} are 10x12 here; y and x count"),
        (f"neuron({DEEP}, 3, 0, 12)", "are 10x12 here"),
        ("channel(head, 1000)", "there is no map 1000; head has 1000 maps"),
        ("neuron(head, 3, 0, 0)", r"neuron\(head, 3, 0, 0\): head has no locations; leave out mask, inset, position"),
        ("mean(head, inset=1)", "head has no locations"),
        ("l2(head, mask=m)", "head has no locations"),
        ("guided(head, g, spatial=true)", "head has no locations"),
        (f"select_max({DEEP}, 145)", rf"select_max\({DEEP}, 145\): {DEEP} has 144 maps only"),
        ("class(tabbby)", "class 'tabbby' is not one of ImageNet's; nearest: 'tabby'"),
        ("class(1000)", "class 1000 is out of range; give an index from 0 to 999"),
        ("class(-1)", "class -1 is out of range"),
        (f"guided({DEEP}, bees)", rf"guided\({DEEP}, bees\) needs a guide picture named 'bees'; given: g, tiny"),
        (f"guided_match({DEEP}, tiny)", "guide 'tiny' is 9x1 px; mobilenet_v2 needs "),
        (f"l2({DEEP}, mask=sea)", rf"l2\({DEEP}, mask=sea\) needs a mask named 'sea'; given: m"),
    ],
)
def test_a_mistake_is_told_in_one_line(text: str, message: str) -> None:
    guides = {"g": photos(1, seed=5), "tiny": photos(1, 1, 9)}
    # One of the layers needs more than a pixel, so the tiny guide is too small.
    tall = load_extractor("mobilenet_v2", LAYERS, weights="random").double()
    tall.min_size_px = 2
    with pytest.raises(UserError, match=message) as caught:
        scored(text, photos(1), extractor=tall, guides=guides, masks={"m": left(0.5)})
    assert "\n" not in str(caught.value)


def test_what_is_missing_altogether_is_said() -> None:
    for text, message in ((f"guided({DEEP}, g)", "given: none"), (f"l2({DEEP}, mask=m)", "given: none")):
        with pytest.raises(UserError, match=message):
            check_objective(parse_objective(text), network())


def test_a_layer_that_does_not_exist_is_told_with_the_nearest() -> None:
    recipe = get_recipe("gordic", "vgg16", objective="l2(relu4_33) - tv()")
    with pytest.raises(UserError, match=r"relu4_33.*nearest: 'relu4_3'") as caught:
        load_extractor("vgg16", recipe.layer_names, weights="random")
    assert "\n" not in str(caught.value)


def test_what_a_programmer_forgot_is_said() -> None:
    a = torch.rand(1, 2, 3, 3)
    with pytest.raises(ValueError, match="the extractor has no layer 'b', only a"):
        score_look(Look({"a": a}), l2("b"))
    with pytest.raises(ValueError, match="the extractor has no layer 'c', only a, b"):
        check_objective(l2("c"), TOY)
    with pytest.raises(ValueError, match="terms on pixels need the pictures"):
        score_look(Look({"a": a}), parse_objective("l2(a) - tv()"))
    with pytest.raises(ValueError, match=r"batch_norm\(\) needs an extractor that was loaded with batch_norms=True"):
        score_look(Look({"a": a}), parse_objective("l2(a) - batch_norm()"))
    with pytest.raises(ValueError, match="all terms of .* have the weight 0 here"):
        score_look(Look({"a": a}), mean("a") * 0)


def test_a_dream_names_what_is_missing() -> None:
    recipe = DreamRecipe(name="x", objective=parse_objective("guided(a, bees)"))
    with pytest.raises(UserError, match="needs a guide picture named 'bees'; given: none"):
        dream(photos(1), TOY, recipe)
