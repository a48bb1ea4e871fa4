import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamgan.backbones.registry import BACKBONES, BackboneSpec, build_network
from dreamgan.backbones.weights import load_state
from dreamgan.errors import UserError

SPEC = BACKBONES["squeezenet1_1"]
KEY = "features.4.squeeze.weight"


@pytest.fixture
def state() -> dict[str, Tensor]:
    """A whole SqueezeNet; values that float16 holds exactly."""
    stream = torch.Generator().manual_seed(0)
    shapes = {key: value.shape for key, value in build_network(SPEC).state_dict().items()}
    return {key: torch.randn(shape, generator=stream).half().float() for key, shape in shapes.items()}


def features(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key.startswith("features.")}


@pytest.mark.parametrize("nest", [None, "state_dict", "model"])
def test_a_whole_network_in_a_pth(tmp_path: Path, state: dict[str, Tensor], nest: str | None) -> None:
    path = tmp_path / "whole.pth"
    torch.save({nest: state, "epoch": 3} if nest else state, path)
    found = load_state(SPEC, path)
    assert found.state is not None
    assert all(torch.equal(found.state[key], value) for key, value in state.items())
    assert (found.name, found.torchvision_published, found.classes) == ("whole.pth", False, 1000)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_features_only_in_float16_safetensors(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "features.safetensors"
    save_file({key: value.half() for key, value in features(state).items()}, path)
    found = load_state(SPEC, str(path)).state
    assert found is not None
    assert set(found) == set(features(state))
    assert all(value.dtype == torch.float32 for value in found.values())
    assert all(torch.equal(value, state[key]) for key, value in found.items())


def test_the_old_file_format_the_prefix_of_data_parallel_and_other_classes(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    state["classifier.1.weight"], state["classifier.1.bias"] = torch.zeros(365, 512, 1, 1), torch.zeros(365)
    path = tmp_path / "places.pth.tar"
    old = {f"module.{key}": value for key, value in state.items()}
    torch.save({"state_dict": old}, path, _use_new_zipfile_serialization=False)
    found = load_state(SPEC, path)
    assert found.classes == 365
    assert set(found.state or {}) == set(state)


def test_a_missing_inner_key_is_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    del state[KEY]
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=f"does not fit squeezenet1_1: missing {KEY}$"):
        load_state(SPEC, tmp_path / "w.safetensors")


def test_unexpected_keys_are_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(state | {f"extra{i}": torch.zeros(1) for i in range(5)}, tmp_path / "w.safetensors")
    expected = "does not fit squeezenet1_1: unexpected extra0, unexpected extra1, unexpected extra2 and 2 more$"
    with pytest.raises(UserError, match=expected):
        load_state(SPEC, tmp_path / "w.safetensors")


def test_a_wrong_shape_is_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    state[KEY] = torch.zeros(16, 128, 3, 3)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=rf"{KEY} has shape \(16, 128, 3, 3\) instead of \(16, 128, 1, 1\)"):
        load_state(SPEC, tmp_path / "w.safetensors")


def test_the_file_of_another_backbone_is_recognised(tmp_path: Path, state: dict[str, Tensor]) -> None:
    save_file(features(state), tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="does not fit vgg16; it fits squeezenet1_1: unexpected ") as error:
        load_state(BACKBONES["vgg16"], tmp_path / "w.safetensors")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"this is a text, not a checkpoint\n" * 9])
def test_a_file_that_is_no_checkpoint(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"is not a readable checkpoint; give a \.pth") as error:
        load_state(SPEC, path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"epoch": 3}, {0: torch.zeros(1)}, {}])
def test_a_checkpoint_without_weights(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(UserError, match="holds no weights by name"):
        load_state(SPEC, tmp_path / "w.pth")


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.pth' does not exist"):
        load_state(SPEC, tmp_path / "nothing.pth")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint folder of an empty hub cache, without a network."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    return tmp_path / "hub" / "checkpoints"


@pytest.mark.parametrize("name", [name for name, spec in BACKBONES.items() if spec.published])
def test_an_unreachable_download_says_which_file_to_put_where(name: str, hub: Path) -> None:
    with pytest.raises(UserError) as error:
        load_state(BACKBONES[name], None)
    file = BACKBONES[name].published.url.rpartition("/")[2]
    assert "no route to host" in str(error.value)
    assert str(error.value).endswith(f"put {file} into {hub} or pass --weights FILE")
    assert "\n" not in str(error.value)


def test_a_backbone_without_published_weights_asks_for_a_file(hub: Path) -> None:
    expected = "^googlenet_bvlc has no published weights to download; give your file by --weights FILE$"
    with pytest.raises(UserError, match=expected):
        load_state(BACKBONES["googlenet_bvlc"], None)


def test_a_file_for_a_backbone_without_published_weights(tmp_path: Path) -> None:
    spec = BACKBONES["googlenet_bvlc"]
    shapes = {key: value.shape for key, value in build_network(spec).state_dict().items()}
    save_file({key: torch.zeros(shape) for key, shape in shapes.items()}, tmp_path / "w.safetensors")
    found = load_state(spec, tmp_path / "w.safetensors")
    assert (set(found.state or {}), found.torchvision_published, found.classes) == (set(shapes), False, 1000)
    # torchvision's GoogLeNet is another network, and the message says whose file this is.
    with pytest.raises(UserError, match="does not fit googlenet; it fits googlenet_bvlc: unexpected "):
        load_state(BACKBONES["googlenet"], tmp_path / "w.safetensors")


def test_a_damaged_file_in_the_cache_is_to_be_deleted(hub: Path) -> None:
    hub.mkdir(parents=True)
    path = hub / "squeezenet1_1-b8a52dc0.pth"
    path.write_bytes(b"half a download")
    with pytest.raises(UserError, match=r"is damaged \(its sha256 begins [0-9a-f]{8}\); delete it") as error:
        load_state(SPEC, None)
    assert str(path) in str(error.value)


def test_a_file_in_the_cache_is_used_in_silence(
    hub: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    hub.mkdir(parents=True)
    torch.save(state, hub / "new.pth")
    sha256 = hashlib.sha256((hub / "new.pth").read_bytes()).hexdigest()
    name = f"squeezenet1_1-{sha256[:8]}.pth"
    (hub / "new.pth").rename(hub / name)
    published = SimpleNamespace(url=f"https://example.org/{name}")
    monkeypatch.setattr(BackboneSpec, "published", published)
    found = load_state(SPEC, None)
    assert (found.name, found.sha256, found.torchvision_published) == (name, sha256, True)
    assert set(found.state or {}) == set(state)
    assert capfd.readouterr() == ("", "")


def test_random_needs_no_file() -> None:
    found = load_state(SPEC, "random")
    assert (found.state, found.name) == (None, "random")
    assert found.sha256 == hashlib.sha256(b"random").hexdigest()


def test_the_published_mobilenet_where_it_is_in_the_cache() -> None:
    spec = BACKBONES["mobilenet_v2"]
    if not (Path(torch.hub.get_dir()) / "checkpoints" / "mobilenet_v2-b0353104.pth").exists():
        pytest.skip("mobilenet_v2-b0353104.pth is not in the hub cache; `make setup` puts it there")
    found = load_state(spec, None)
    assert found.sha256.startswith("b0353104")
    assert found.torchvision_published
