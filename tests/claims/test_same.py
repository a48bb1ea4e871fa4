"""Dreams of a network and of what fine-tuning made of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dreamgan.backbones.features import init_random, load_extractor
from dreamgan.backbones.registry import BACKBONES, build_network
from dreamgan.claims.dreaming import kept_dreams
from dreamgan.claims.same import compare, judged, markdown
from dreamgan.dream import get_recipe
from dreamgan.errors import UserError
from dreamgan.metrics.referee import Referee


@pytest.fixture(scope="module")
def referee() -> Referee:
    return Referee(load_extractor("vgg16", ["relu2_2"], weights="random"), "relu2_2")


def photos(count: int) -> torch.Tensor:
    noise = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(noise, size=(48, 48), mode="bilinear")


def test_a_network_that_has_not_changed_is_at_the_ceiling(referee: Referee) -> None:
    x = photos(6)
    d, second = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2))
    same = judged(x, {"d": d, "second": second, "tuned": second}, referee)
    assert (same["delta"], same["p"], same["agreement"]) == (0, 1, pytest.approx(1))
    other = judged(x, {"d": d, "second": d, "tuned": x}, referee)
    assert other["delta"] > 0
    assert other["agreement"] == pytest.approx(0)
    assert other["ceiling"] == pytest.approx(1)


def test_compare_and_the_table(referee: Referee, tmp_path: Path) -> None:
    network = build_network(BACKBONES["squeezenet1_1"])
    init_random(network)
    state = network.state_dict()
    save_file(state, tmp_path / "original.safetensors")
    changed = {
        key: value.flip(0).contiguous() if key.startswith("features.6.") else value for key, value in state.items()
    }
    save_file(changed, tmp_path / "tuned.safetensors")
    original, tuned = str(tmp_path / "original.safetensors"), str(tmp_path / "tuned.safetensors")
    names = ["a", "b", "c"]
    facts = compare(photos(3), names, "squeezenet1_1", tuned, referee, tmp_path / "out", weights=original)
    assert facts["weight_change"] > 0
    assert facts["tuned"] != facts["ceiling"]
    assert json.loads((tmp_path / "out" / "squeezenet1_1.json").read_text()) == facts
    assert (tmp_path / "out" / "squeezenet1_1.png").is_file()
    assert "| squeezenet1_1 |" in markdown([facts])
    again = compare(photos(3), names, "squeezenet1_1", tuned, referee, tmp_path / "out", weights=original)
    assert again == facts  # of the dreams that were kept
    with pytest.raises(UserError, match="has the weights of the original up to"):
        compare(photos(3), names, "squeezenet1_1", original, referee, tmp_path / "out", weights=original)


def test_dreams_are_kept_but_not_for_other_photos_and_not_damaged(tmp_path: Path) -> None:
    recipe = get_recipe("distillable", "mobilenet_v2", octaves=1, steps=1)
    extractor = load_extractor("mobilenet_v2", recipe.layer_names, weights="random")

    def kept(images: torch.Tensor) -> torch.Tensor:
        return kept_dreams(images, ["a", "b"], extractor, recipe, 0, tmp_path)

    first = kept(photos(2))
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(kept(photos(2)), first)
    written = file.stat().st_mtime_ns
    assert torch.equal(kept(photos(2)), first)
    assert file.stat().st_mtime_ns == written
    assert not torch.equal(kept(photos(2).flip(-1)), first)


def test_weights_that_are_not_finite_are_refused(referee: Referee, tmp_path: Path) -> None:
    network = build_network(BACKBONES["mobilenet_v2"]).to_empty(device="cpu")
    init_random(network)
    state = {
        name: torch.full_like(value, torch.nan) if value.is_floating_point() else value
        for name, value in network.state_dict().items()
    }
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(UserError, match="not finite"):
        compare(
            photos(2),
            ["a", "b"],
            "mobilenet_v2",
            str(tmp_path / "nan.safetensors"),
            referee,
            tmp_path,
            weights="random",
        )
