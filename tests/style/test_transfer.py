import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dreamgan.backbones.features import Extractor, load_extractor, normalise
from dreamgan.errors import UserError
from dreamgan.images import to_unit
from dreamgan.style import Comparison, Pass, StyleRecipe, get_style_recipe, transfer_style
from dreamgan.style.colour import grey, match_histogram, match_luminance, with_colours_of
from dreamgan.style.plot import loss_plot
from dreamgan.style.recipe import parse_style_layers
from dreamgan.style.transfer import average_pooling, level_sizes
from tests.reference.style import content_of, style_of

LAYERS = {"content_layers": (("features.6", 1.0),), "style_layers": (("features.1", 0.5), ("features.4", 0.5))}


def recipe(**changes: Any) -> StyleRecipe:
    return get_style_recipe("squeezenet1_1", **{**LAYERS, "passes": 4, "levels": 1, **changes})


def extractor_for(one: StyleRecipe) -> Extractor:
    return load_extractor("squeezenet1_1", one.layer_names, weights="random")


@pytest.fixture
def unit(photo: Image.Image) -> Tensor:
    return to_unit(photo)[None]


@pytest.fixture
def texture() -> Tensor:
    noise = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(3))
    return nn.functional.interpolate(noise, size=(56, 60), mode="bilinear")


def test_the_terms_are_the_papers_losses_of_rescaled_features(unit: Tensor, texture: Tensor) -> None:
    one = recipe(content_weight=2.0, style_weight=3.0)
    extractor = extractor_for(one).double()
    unit = unit.double()[..., :32, :36]  # loops are slow
    texture = nn.functional.interpolate(texture.double(), size=(32, 36))
    image = unit.flip(-1)
    terms = Comparison(extractor, one, texture)(image, {"features.6": extractor(normalise(unit))["features.6"]})
    found, photo, style = (extractor(normalise(each)) for each in (image, unit, texture))
    size = photo["features.6"].abs().mean()
    maps = [(each["features.6"][0] / size).tolist() for each in (found, photo)]
    assert float(terms["content"]) == pytest.approx(2 * content_of(*maps) / found["features.6"].numel(), rel=1e-9)
    wanted = 0.0
    for layer, weight in one.style_layers:
        size = style[layer].abs().mean()
        wanted += 3 * weight * style_of((found[layer][0] / size).tolist(), (style[layer][0] / size).tolist())
    assert float(terms["style"]) == pytest.approx(wanted, rel=1e-9)
    assert float(terms["tv"]) == 0


def test_weights_of_any_scale_weigh_the_same(unit: Tensor, texture: Tensor) -> None:
    one = recipe()
    extractor = extractor_for(one)
    image = unit.flip(-1)

    def terms() -> dict[str, Tensor]:
        comparison = Comparison(extractor, one, texture)
        found: dict[str, Tensor] = comparison(image, comparison.content_of(unit))
        return found

    before = terms()
    with torch.no_grad():  # without biases, ReLU networks are linear in their first convolution
        next(extractor.parameters()).mul_(100)
    for name, value in terms().items():
        torch.testing.assert_close(value, before[name], rtol=1e-3, atol=0)


@pytest.mark.parametrize("start", ["photo", "noise"])
def test_the_loss_falls_at_every_pass(unit: Tensor, texture: Tensor, start: str) -> None:
    one = recipe(start=start, passes=12, levels=2, tv_weight=0.1)
    seen: list[Pass] = []
    wide = nn.functional.interpolate(unit, size=(96, 128), mode="bilinear")
    result = transfer_style(wide, texture, extractor_for(one), one, callback=seen.append)
    assert tuple(seen) == result.passes
    assert [at.size for at in seen if at.number == 0] == [(48, 64), (96, 128)]
    assert [at.number for at in seen] == [*range(13)] * 2
    for before, after in itertools.pairwise(seen):
        if after.number:
            assert after.total < before.total
    first, last = seen[13], seen[-1]
    assert last.total < 0.9 * first.total
    assert result.image.shape == wide.shape
    assert 0 <= float(result.image.min()) <= float(result.image.max()) <= 1


def test_adam_gets_there_too(unit: Tensor, texture: Tensor) -> None:
    one = recipe(optimizer="adam", passes=25, start="noise")
    passes = transfer_style(unit, texture, extractor_for(one), one).passes
    assert passes[-1].total < 0.5 * passes[0].total


def test_an_optimiser_that_is_stuck_begins_anew(unit: Tensor, texture: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[torch.optim.Optimizer] = []

    class StuckAtFirst(torch.optim.LBFGS):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(self)

        def step(self, closure: Any) -> Any:  # type: ignore[override]
            return closure() if self is made[0] else super().step(closure)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(torch.optim, "LBFGS", StuckAtFirst)
    one = recipe(passes=5)
    losses = [at.total for at in transfer_style(unit, texture, extractor_for(one), one).passes]
    assert losses == sorted(losses, reverse=True)
    assert losses[1] < losses[0]
    assert len(made) > 1


def test_content_is_found_again_from_noise(unit: Tensor) -> None:
    one = recipe(content_layers=(("features.1", 1.0),), style_weight=0.0, start="noise", passes=60)
    extractor = extractor_for(one)
    assert extractor.layers == ("features.1",)
    result = transfer_style(unit, None, extractor, one)
    assert result.passes[-1].content < 0.02 * result.passes[0].content
    assert all(at.style == 0 for at in result.passes)
    grey_distance = (0.5 - unit).square().mean()
    assert (result.image - unit).square().mean() < 0.2 * grey_distance


def test_style_alone_forgets_the_photo(unit: Tensor, texture: Tensor) -> None:
    one = recipe(content_weight=0.0, start="noise")
    extractor = extractor_for(one)
    same = [transfer_style(photo, texture, extractor, one).image for photo in (unit, unit.flip(-1))]
    assert torch.equal(*same)


def test_seeds_reproduce(unit: Tensor, texture: Tensor) -> None:
    one = recipe(start="noise")
    extractor = extractor_for(one)
    images = [transfer_style(unit, texture, extractor, one, seed=seed).image for seed in (1, 1, 2)]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_luminance_keeps_the_photos_colours(unit: Tensor, texture: Tensor) -> None:
    # Dull, so that nothing is clamped.
    unit = 0.4 + 0.2 * unit
    one = recipe(colour="luminance", passes=6)
    painted = transfer_style(unit, 0.4 + 0.2 * texture, extractor_for(one), one).image
    assert (painted - unit).abs().max() > 0.01
    for a, b in ((0, 2), (1, 2)):  # differences of channels are colours alone
        torch.testing.assert_close(painted[:, a] - painted[:, b], unit[:, a] - unit[:, b], rtol=0, atol=2e-3)


def test_histogram_gives_mean_and_covariance(unit: Tensor, texture: Tensor) -> None:
    unit, texture = 0.4 + 0.2 * unit, 0.3 + 0.3 * texture
    found = match_histogram(texture, unit)
    for of in (found, unit):
        assert 0 < float(of.min()) < float(of.max()) < 1
    ours, theirs = (of[0].double().flatten(1) for of in (found, unit))
    torch.testing.assert_close(ours.mean(dim=1), theirs.mean(dim=1), rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.cov(correction=0), theirs.cov(correction=0), rtol=0, atol=1e-4)
    assert not torch.allclose(texture.mean(dim=(2, 3)), unit.mean(dim=(2, 3)), atol=1e-2)


def test_colours_there_and_back(unit: Tensor) -> None:
    torch.testing.assert_close(with_colours_of(unit, unit), unit, rtol=0, atol=1e-5)
    dark = match_luminance(grey(unit), 0.2 * grey(unit) + 0.1)
    torch.testing.assert_close(dark, 0.2 * grey(unit) + 0.1, rtol=0, atol=1e-5)
    assert bool(match_histogram(torch.full((1, 3, 8, 8), 0.5), unit).isfinite().all())


def test_average_pooling_leaves_no_maxima() -> None:
    extractor = extractor_for(recipe())
    assert any(isinstance(module, nn.MaxPool2d) for module in extractor.modules())
    images = torch.rand(1, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    shapes = {layer: found.shape for layer, found in extractor(normalise(images)).items()}
    average_pooling(extractor)
    assert not any(isinstance(module, nn.MaxPool2d) for module in extractor.modules())
    assert {layer: found.shape for layer, found in extractor(normalise(images)).items()} == shapes


def test_levels() -> None:
    assert level_sizes(200, 300, 3) == [(50, 75), (100, 150), (200, 300)]
    assert level_sizes(200, 300, 5) == [(50, 75), (100, 150), (200, 300)]
    assert level_sizes(200, 300, 3, least_px=75) == [(100, 150), (200, 300)]
    assert level_sizes(40, 40, 3) == [(40, 40)]


def test_a_photo_too_small_for_the_layer() -> None:
    one = StyleRecipe(content_layers=(("mixed5", 1.0),), style_weight=0.0)
    extractor = load_extractor("inception_v3", one.layer_names, weights="random")
    with pytest.raises(UserError, match="the photo is 40x34 px, and mixed5 of inception_v3 needs .* px a side"):
        transfer_style(torch.rand(1, 3, 34, 40), None, extractor, one)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"content_weight": -1.0}, "content_weight is -1.0; it must be at least 0"),
        ({"style_weight": float("nan")}, "style_weight is nan"),
        ({"tv_weight": float("inf")}, "tv_weight is inf"),
        ({"step_size": 0.0}, "step_size is 0.0; it must be above 0"),
        ({"passes": 0}, "passes is 0; it must be from 1 to"),
        ({"levels": 9}, "levels is 9; it must be from 1 to 8"),
        ({"content_weight": 0.0, "style_weight": 0.0}, "are both 0"),
        ({"style_layers": (("features.1", 0.0),)}, "no layer of the style has a weight above 0"),
        ({"style_layers": (("features.1", -1.0),)}, "the weight of style layer 'features.1' is -1.0"),
    ],
)
def test_values_out_of_range(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        recipe(**changes)


def test_a_network_without_layers_of_our_own() -> None:
    with pytest.raises(UserError, match="no content_layers of its own for resnet50; name them, or use vgg16"):
        get_style_recipe("resnet50")


def test_layers_as_text() -> None:
    assert parse_style_layers("relu4_2") == (("relu4_2", 1.0),)
    assert parse_style_layers("a, b:3,c,d") == (("a", 0.25), ("b", 3.0), ("c", 0.25), ("d", 0.25))
    for text, said in (("a,,b", "an empty name"), ("a,a:2", "named twice"), ("a:x", "'x' of layer 'a'")):
        with pytest.raises(UserError, match=said):
            parse_style_layers(text)


def test_a_recipe_in_one_line() -> None:
    one = recipe()
    assert json.loads(one.to_json()) == json.loads(json.dumps(dataclasses.asdict(one)))


@pytest.mark.parametrize("values", [[3.0, 2.0, 1.0], [1.0], [0.0, 0.0], [5e-9, 4e4], [float("nan"), 1.0]])
def test_a_plot_of_any_losses(values: list[float]) -> None:
    picture = loss_plot("title", {"total": values, "style": values[::-1]}, breaks=[1])
    assert picture.mode == "RGB"
    assert len(picture.getcolors(1000) or ()) > 2


def test_a_falling_line_is_drawn_falling() -> None:
    picture = loss_plot("", {"x": [100.0, 10.0, 1.0]})
    black = [(x, y) for y in range(picture.height) for x in range(64, 624) if picture.getpixel((x, y)) == (20, 20, 20)]
    left = [y for x, y in black if x < 70]
    right = [y for x, y in black if x > 618]
    assert max(left) < min(right)


@pytest.mark.slow
def test_vgg16_transfer_on_real_weights(shared_dir: Path, unit: Tensor, texture: Tensor) -> None:
    weights = shared_dir / "weights" / "vgg16_features.fp16.safetensors"
    if not weights.is_file():
        pytest.skip("needs shared/weights/vgg16_features.fp16.safetensors")
    one = get_style_recipe("vgg16", passes=10, levels=1)
    extractor = load_extractor("vgg16", one.layer_names, weights=weights)
    passes = transfer_style(unit, texture, extractor, one).passes
    assert all(after.total < before.total for before, after in itertools.pairwise(passes))
    assert passes[-1].total < 0.8 * passes[0].total
