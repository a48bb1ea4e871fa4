"""Exported generators: what is written is what is read, and what is no generator is refused in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dreamgan.errors import UserError
from dreamgan.networks.translator import EncoderName, Translator, TranslatorConfig
from dreamgan.sampling import (
    CARD_NAME,
    CONFIG_NAME,
    FORMAT,
    WEIGHTS_NAME,
    Generator,
    load_generator,
    sample,
    save_generator,
)

DREAM = {"recipe": "distillable", "layers": ["features.9"], "epochs": 3, "measures": {"agreement": 0.5}, "note": None}
WIDTHS = (4, 5, 6, 7, 8)


def build(encoder: EncoderName = "squeezenet1_1", *, residual_range: float = 0.5) -> Translator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = TranslatorConfig(encoder=encoder, widths=WIDTHS, residual_range=residual_range)
        network = Translator(config)
        nn.init.normal_(network.head.weight, std=0.3)
        for parameter in network.encoder.parameters():  # as if trained: not the values of a fresh encoder
            parameter.data.mul_(1.1)
    return network.eval()


@pytest.fixture(scope="session")
def network() -> Translator:
    return build()


@pytest.fixture(scope="session")
def exported(network: Translator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Treat as read-only."""
    folder = tmp_path_factory.mktemp("run") / "generator"
    save_generator(folder, network, DREAM, "# A card\n")
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(exported, tmp_path / "generator"))


@pytest.fixture(scope="session")
def generator(exported: Path) -> Generator:
    return load_generator(exported)


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


# --- there and back


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "squeezenet1_1"])
def test_round_trip_is_exact(encoder: EncoderName, tmp_path: Path) -> None:
    network = build(encoder)
    save_generator(tmp_path / "new" / "folder", network, DREAM, "# A card\n")
    loaded = load_generator(str(tmp_path / "new" / "folder"))
    assert loaded.network.config == network.config
    assert loaded.dream == DREAM
    assert loaded.folder == tmp_path / "new" / "folder"
    before, after = network.state_dict(), loaded.network.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name
    photos = pictures(2, 3, 64, 64)
    with torch.no_grad():
        expected = network.to(memory_format=torch.channels_last)(photos)
    assert torch.equal(sample(loaded, photos), expected)
    assert (expected - photos).abs().mean() > 0.01


def test_weights_come_from_the_file(folder: Path, network: Translator) -> None:
    weights = load_file(folder / WEIGHTS_NAME)
    assert weights.keys() == network.state_dict().keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, network.state_dict()[name]), name
    weights["head.weight"].zero_()
    weights["head.bias"].zero_()
    save_file(weights, folder / WEIGHTS_NAME)
    photos = pictures(1, 3, 32, 32)
    assert torch.equal(sample(load_generator(folder), photos), photos)  # no residual is left


def test_loaded_generator_is_frozen_and_in_eval_mode(generator: Generator) -> None:
    assert not any(module.training for module in generator.network.modules())
    assert not any(parameter.requires_grad for parameter in generator.network.parameters())


def test_export_is_three_files(exported: Path) -> None:
    assert {file.name for file in exported.iterdir()} == {WEIGHTS_NAME, CONFIG_NAME, CARD_NAME}
    assert (exported / CARD_NAME).read_text(encoding="utf-8") == "# A card\n"
    with safe_open(exported / WEIGHTS_NAME, framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_config_holds_json_types_only(exported: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    config = json.loads((exported / CONFIG_NAME).read_text(encoding="utf-8"), parse_constant=refuse)
    assert config["format"] == FORMAT
    assert config["network"] == {"encoder": "squeezenet1_1", "widths": list(WIDTHS), "residual_range": 0.5}
    assert config["dream"] == DREAM
    assert config.keys() == {"format", "dreamgan", "network", "dream"}


def test_what_json_does_not_know_is_refused_before_anything_is_written(network: Translator, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_generator(tmp_path / "generator", network, {"dataset": Path("here")}, "")
    assert not (tmp_path / "generator").exists()


def test_a_second_export_replaces_the_first(folder: Path) -> None:
    save_generator(folder, build(residual_range=0.25), {"recipe": "other"}, "# Another\n")
    loaded = load_generator(folder)
    assert loaded.dream == {"recipe": "other"}
    assert loaded.network.config.residual_range == 0.25
    assert len(list(folder.iterdir())) == 3


# --- what is no generator

Spoil = Callable[[Path], Any]


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_generator(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert 0 < len(message) < 600
    assert str(folder) in message
    return message


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    (folder / CONFIG_NAME).write_text(json.dumps(config | changes), encoding="utf-8")


def edit_network(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    edit_config(folder, network=config["network"] | changes)


def cut_short(file: Path, keep: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep)])


@pytest.mark.parametrize("name", [CONFIG_NAME, WEIGHTS_NAME])
def test_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"holds no {name}" in refusal(folder)


def test_missing_folder(tmp_path: Path) -> None:
    assert f"holds no {CONFIG_NAME}" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("found", ["dreamgan-translator-2", None, 1])
def test_another_format_is_named(folder: Path, found: object) -> None:
    edit_config(folder, format=found)
    message = refusal(folder)
    assert repr(found) in message
    assert repr(FORMAT) in message


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "3", "null", '"text"', "{}", '{"format": ', "\ufeff{}"])
def test_config_that_is_no_config(folder: Path, text: str) -> None:
    (folder / CONFIG_NAME).write_text(text, encoding="utf-8")
    refusal(folder)


def test_config_of_other_bytes(folder: Path) -> None:
    (folder / CONFIG_NAME).write_bytes(b"\xff\xfe\x00\x80")
    refusal(folder)


@pytest.mark.parametrize("key", ["network", "dream"])
@pytest.mark.parametrize("value", [None, 3, "text", [1, 2]])
def test_wrong_types_in_the_config(folder: Path, key: str, value: object) -> None:
    edit_config(folder, **{key: value})
    refusal(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("depth", 3),
        ("encoder", "vgg16"),
        ("encoder", None),
        ("encoder", ["squeezenet1_1"]),
        ("widths", None),
        ("widths", 4),
        ("widths", [4, 5, 6, 7]),
        ("widths", [4, 5, 6, 7, "many"]),
        ("widths", [4, 5, 6, 7, -8]),
        ("widths", [4, 5, 6, 7, None]),
        ("residual_range", None),
        ("residual_range", "wide"),
        ("residual_range", [0.5]),
    ],
)
def test_wrong_values_in_the_network_config(folder: Path, key: str, value: object) -> None:
    edit_network(folder, **{key: value})
    refusal(folder)


@pytest.mark.parametrize("key", ["encoder", "widths", "residual_range"])
def test_nothing_may_be_missing_in_the_network_config(folder: Path, key: str) -> None:
    config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    del config["network"][key]
    (folder / CONFIG_NAME).write_text(json.dumps(config), encoding="utf-8")
    assert key in refusal(folder)


def test_weights_of_other_widths(folder: Path) -> None:
    edit_network(folder, widths=[8, 8, 8, 8, 8])
    assert "size mismatch" in refusal(folder)


def test_weights_of_another_encoder(folder: Path) -> None:
    edit_network(folder, encoder="mobilenet_v2")
    assert "state_dict" in refusal(folder)


@pytest.mark.parametrize("keep", [0, 0.00001, 0.3, 0.99])
def test_truncated_weights(folder: Path, keep: float) -> None:
    cut_short(folder / WEIGHTS_NAME, keep)
    refusal(folder)


def test_weights_that_lack_or_add_a_tensor(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS_NAME)
    save_file({name: tensor for name, tensor in weights.items() if name != "head.bias"}, folder / WEIGHTS_NAME)
    assert "head.bias" in refusal(folder)
    save_file(weights | {"head.extra": torch.zeros(1)}, folder / WEIGHTS_NAME)
    assert "head.extra" in refusal(folder)


# --- sampling


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 64), (100, 131)])
def test_any_size(generator: Generator, size: tuple[int, int]) -> None:
    photos = pictures(2, 3, *size)
    dreams = sample(generator, photos)
    assert dreams.shape == photos.shape
    assert dreams.dtype == torch.float32
    assert 0 <= dreams.min() < dreams.max() <= 1
    assert (dreams - photos).abs().mean() > 0.01


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_any_floating_type(generator: Generator, dtype: torch.dtype) -> None:
    photos = pictures(1, 3, 32, 32).to(dtype)
    dreams = sample(generator, photos)
    assert dreams.dtype == torch.float32
    assert torch.equal(dreams, sample(generator, photos.float()))


@pytest.mark.parametrize(
    ("photos", "why"),
    [
        (torch.zeros(3, 64, 64), r"must be \(B, 3, H, W\)"),
        (torch.zeros(1, 1, 64, 64), r"must be \(B, 3, H, W\)"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "floating"),
        (torch.full((1, 3, 64, 64), 255.0), r"in \[0, 1\]"),
        (torch.full((1, 3, 64, 64), float("nan")), "finite"),
        (torch.zeros(1, 3, 31, 64), "at least 32 px"),
        (torch.zeros(1, 3, 64, 8), "at least 32 px"),
    ],
)
def test_what_is_no_photo_is_refused(generator: Generator, photos: Tensor, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        sample(generator, photos)
