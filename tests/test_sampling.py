"""Exported generators: what is written is what is read, and what is no generator is refused in one line."""

import copy
import inspect
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

from dreamgan.devices import precision_context
from dreamgan.errors import UserError
from dreamgan.exports import CARD_NAME, CONFIG_NAME, WEIGHTS_NAME
from dreamgan.networks.modulation import Modulation
from dreamgan.networks.tiles import TILE_PX
from dreamgan.networks.translator import EncoderName, Translator, TranslatorConfig
from dreamgan.sampling import (
    FORMAT,
    Generator,
    load_generator,
    sample,
    save_generator,
)
from tests.lively import ENCODERS, lively_translator, pictures

EYES = {
    "recipe": "eyes",
    "layers": ["features.9"],
    "strengths": [0.5, 1.0],
    "measures": {"agreement": 0.5},
    "note": None,
}
STYLES: dict[str, dict[str, Any]] = {"eyes": EYES, "Fur": {"recipe": "Fur", "layers": ["relu4_3"]}}
WIDTHS = (4, 5, 6, 7, 8)


def build(encoder: EncoderName = "squeezenet1_1", *, residual_range: float = 0.5) -> Translator:
    """Everything is as if trained: no value is that of a fresh network."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Translator(
            TranslatorConfig(encoder=encoder, widths=WIDTHS, residual_range=residual_range, styles=len(STYLES))
        )
        nn.init.normal_(network.head.weight, std=0.3)
        for parameter in network.encoder.parameters():
            parameter.data.mul_(1.1)
        for module in network.modules():
            if isinstance(module, Modulation):
                nn.init.normal_(module.table, std=0.3)
    return network.eval()


@pytest.fixture(scope="session")
def network() -> Translator:
    return build()


@pytest.fixture(scope="session")
def exported(network: Translator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Treat as read-only."""
    folder = tmp_path_factory.mktemp("run") / "generator"
    save_generator(folder, network, STYLES, "# A card\n")
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(exported, tmp_path / "generator"))


@pytest.fixture(scope="session")
def generator(exported: Path) -> Generator:
    return load_generator(exported)


# --- there and back


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "squeezenet1_1"])
def test_round_trip_is_exact(encoder: EncoderName, tmp_path: Path) -> None:
    network = build(encoder)
    save_generator(tmp_path / "new" / "folder", network, STYLES, "# A card\n")
    loaded = load_generator(str(tmp_path / "new" / "folder"))
    assert loaded.network.config == network.config
    assert loaded.styles == STYLES
    assert list(loaded.styles) == list(STYLES)
    assert loaded.folder == tmp_path / "new" / "folder"
    before, after = network.state_dict(), loaded.network.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name
    photos = pictures(2, 3, 64, 64)
    with torch.no_grad():
        weights = torch.tensor([[0.0, 1.0]] * 2)
        expected = network.to(memory_format=torch.channels_last)(photos, weights, torch.tensor([1.5, 1.5]))
    assert torch.equal(sample(loaded, photos, "Fur", 1.5), expected)
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
    assert config["network"] == {
        "encoder": "squeezenet1_1",
        "widths": list(WIDTHS),
        "residual_range": 0.5,
        "styles": 2,
    }
    assert config["styles"] == STYLES
    assert config.keys() == {"format", "dreamgan", "network", "styles"}


def test_what_json_does_not_know_is_refused_before_anything_is_written(network: Translator, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_generator(tmp_path / "generator", network, {"eyes": {"dataset": Path("here")}, "Fur": {}}, "")
    assert not (tmp_path / "generator").exists()


def test_every_style_must_be_described(network: Translator, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 styles, 1 were described"):
        save_generator(tmp_path / "generator", network, {"eyes": {}}, "")
    assert not (tmp_path / "generator").exists()


def test_a_second_export_replaces_the_first(folder: Path) -> None:
    save_generator(folder, build(residual_range=0.25), {"a": {"recipe": "a"}, "b": {}}, "# Another\n")
    loaded = load_generator(folder)
    assert loaded.styles == {"a": {"recipe": "a"}, "b": {}}
    assert loaded.network.config.residual_range == 0.25
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("encoder", ENCODERS)
def test_half_the_bytes_dream_the_same_to_a_thousandth(encoder: EncoderName, tmp_path: Path) -> None:
    network = copy.deepcopy(lively_translator(encoder))
    save_generator(tmp_path / "whole", network, STYLES, "")
    save_generator(tmp_path / "half", network, STYLES, "", half=True)
    stored = load_file(tmp_path / "half" / WEIGHTS_NAME)
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    whole, half = load_generator(tmp_path / "whole"), load_generator(tmp_path / "half")
    assert {tensor.dtype for tensor in half.network.state_dict().values()} == {torch.float32}
    for name, tensor in whole.network.state_dict().items():
        torch.testing.assert_close(half.network.state_dict()[name], tensor, rtol=1e-3, atol=1e-6)
    photos = pictures(2, 3, 65, 47)
    expected = sample(whole, photos, "Fur")
    assert (sample(half, photos, "Fur") - expected).abs().mean() < 1e-3
    assert (expected - photos).abs().mean() > 0.05
    # The export left the network alone.
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize(("value", "half"), [(float("nan"), False), (float("inf"), True), (1e5, True)])
def test_weights_that_a_file_cannot_give_back_are_not_exported(
    network: Translator, tmp_path: Path, value: float, half: bool
) -> None:
    spoilt = copy.deepcopy(network)
    with torch.no_grad():
        spoilt.head.weight[0, 0, 0, 0] = value
    with pytest.raises(UserError, match="'head.weight' are not finite"):
        save_generator(tmp_path / "generator", spoilt, STYLES, "", half=half)
    assert not (tmp_path / "generator").exists()


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


@pytest.mark.parametrize("found", ["dreamgan-translator-3", None, 1])
def test_another_format_is_named(folder: Path, found: object) -> None:
    edit_config(folder, format=found)
    message = refusal(folder)
    assert repr(found) in message
    assert repr(FORMAT) in message


def test_the_old_format_is_to_be_trained_again(folder: Path) -> None:
    edit_config(folder, format="dreamgan-translator-1")
    message = refusal(folder)
    assert "old format 'dreamgan-translator-1'" in message
    assert "train it again" in message


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "3", "null", '"text"', "{}", '{"format": ', "\ufeff{}"])
def test_config_that_is_no_config(folder: Path, text: str) -> None:
    (folder / CONFIG_NAME).write_text(text, encoding="utf-8")
    refusal(folder)


def test_half_of_a_character_in_a_name(folder: Path) -> None:
    text = (folder / CONFIG_NAME).read_text(encoding="utf-8")
    (folder / CONFIG_NAME).write_text(text.replace('"dreamgan": "', '"dreamgan": "\\ud800'), encoding="utf-8")
    assert "surrogates not allowed" in refusal(folder)


def test_config_of_other_bytes(folder: Path) -> None:
    (folder / CONFIG_NAME).write_bytes(b"\xff\xfe\x00\x80")
    refusal(folder)


@pytest.mark.parametrize("key", ["network", "styles"])
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
        ("residual_range", float("nan")),
        ("residual_range", 10**400),
        ("widths", [float("inf")] * 5),
        ("widths", [10**9] * 5),
        ("widths", [10**400] * 5),
        ("styles", 10**9),
        ("styles", 1),
        ("styles", 3),
        ("styles", 0),
        ("styles", "2"),
        ("styles", None),
    ],
)
def test_wrong_values_in_the_network_config(folder: Path, key: str, value: object) -> None:
    edit_network(folder, **{key: value})
    refusal(folder)


@pytest.mark.parametrize("key", ["encoder", "widths", "residual_range", "styles"])
def test_nothing_may_be_missing_in_the_network_config(folder: Path, key: str) -> None:
    config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    del config["network"][key]
    (folder / CONFIG_NAME).write_text(json.dumps(config), encoding="utf-8")
    assert key in refusal(folder)


def test_as_many_styles_as_the_network_has(folder: Path) -> None:
    edit_config(folder, styles={"eyes": EYES})
    assert "its network has 2 styles, 1 are described" in refusal(folder)
    edit_config(folder, styles={})
    assert "0 are described" in refusal(folder)
    edit_config(folder, styles={"eyes": 3, "Fur": None})
    refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_not_finite(folder: Path, value: float) -> None:
    weights = load_file(folder / WEIGHTS_NAME)
    weights["bottom.0.last.bias"][2] = value
    save_file(weights, folder / WEIGHTS_NAME)
    assert "'bottom.0.last.bias' are not finite; train it again" in refusal(folder)


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


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 64), (67, 199), (100, 131), (200, 65)])
@pytest.mark.parametrize("strength", [0.3, 1.5])
def test_any_size(generator: Generator, size: tuple[int, int], strength: float) -> None:
    photos = pictures(2, 3, *size)
    dreams = sample(generator, photos, {"eyes": 1, "Fur": 2}, strength)
    assert dreams.shape == photos.shape
    assert dreams.dtype == torch.float32
    assert 0 <= dreams.min() < dreams.max() <= 1
    assert (dreams - photos).abs().mean() > 0.01


def test_a_large_photo_goes_in_tiles_and_comes_out_the_same(generator: Generator) -> None:
    photos = pictures(1, 3, 71, 950)
    assert TILE_PX == inspect.signature(sample).parameters["tile_px"].default == 1024
    whole, tiled = sample(generator, photos, tile_px=0), sample(generator, photos, tile_px=256)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)
    assert not torch.equal(tiled, whole)  # else it was no tiles


def test_strength_0_is_the_photo_bit_for_bit(generator: Generator) -> None:
    photos = pictures(2, 3, 45, 70)
    for tile_px in (0, 32):
        assert torch.equal(sample(generator, photos, "Fur", 0.0, tile_px), photos)


def test_no_style_is_the_first(generator: Generator) -> None:
    photos = pictures(1, 3, 48, 48)
    assert torch.equal(sample(generator, photos), sample(generator, photos, "eyes"))
    assert not torch.equal(sample(generator, photos), sample(generator, photos, "Fur"))


def test_a_blend_of_one_is_that_style(generator: Generator) -> None:
    photos = pictures(2, 3, 48, 48)
    fur = sample(generator, photos, "Fur", 0.7)
    assert torch.equal(sample(generator, photos, {"Fur": 1}, 0.7), fur)
    assert torch.equal(sample(generator, photos, {"Fur": 30.5}, 0.7), fur)
    assert torch.equal(sample(generator, photos, {"Fur": 0.2, "eyes": 0.0}, 0.7), fur)


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (None, [1.0, 0.0]),
        ("Fur", [0.0, 1.0]),
        ({"Fur": 3, "eyes": 1}, [0.25, 0.75]),
        ({"Fur": 1e-300}, [0.0, 1.0]),
    ],
)
def test_weights_add_up_to_1(generator: Generator, style: str | dict[str, float] | None, expected: list[float]) -> None:
    weights = generator.weights(style)
    assert weights.dtype == torch.float32
    assert weights.tolist() == [expected]


@pytest.mark.parametrize(
    ("style", "said"),
    [
        ("eye", "no style 'eye'; nearest: 'eyes' (known: eyes, Fur)"),
        ("FURS", "nearest: 'Fur' (known: eyes, Fur)"),
        ("", "no style ''"),
        ({"eyes": 1, "frr": 1}, "no style 'frr'; nearest: 'Fur'"),
        ({"eyes": float("nan")}, "weight of style 'eyes' is nan"),
        ({"eyes": float("inf")}, "weight of style 'eyes' is inf"),
        ({"eyes": 1, "Fur": -0.5}, "weight of style 'Fur' is -0.5; it must be a number of at least 0"),
        ({"eyes": 0, "Fur": 0.0}, "add up to 0"),
        ({}, "add up to 0"),
        ({"eyes": 1e308, "Fur": 1e308}, "add up to inf"),
    ],
)
def test_a_style_that_makes_no_sense(generator: Generator, style: str | dict[str, float], said: str) -> None:
    with pytest.raises(UserError) as caught:
        sample(generator, pictures(1, 3, 32, 32), style)
    assert said in str(caught.value)


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), -0.1, 1.51])
def test_a_strength_out_of_range(generator: Generator, strength: float) -> None:
    with pytest.raises(UserError, match="it must be from 0 .the photo. to 1.5"):
        sample(generator, pictures(1, 3, 32, 32), "eyes", strength)


def test_a_dream_does_not_depend_on_its_neighbours(generator: Generator) -> None:
    photo, some, others = pictures(1, 3, 48, 64), pictures(3, 3, 48, 64, seed=1), pictures(3, 3, 48, 64, seed=2)
    for tile_px in (0, 96, 32):  # all at once; three and one; in tiles
        one = sample(generator, torch.cat([photo, some]), "Fur", 1.2, tile_px)
        other = sample(generator, torch.cat([photo, others]), "Fur", 1.2, tile_px)
        assert torch.equal(one[0], other[0])
        assert not torch.equal(one[1], other[1])


def test_bfloat16_is_near(tmp_path: Path) -> None:
    save_generator(tmp_path, copy.deepcopy(lively_translator()), STYLES, "")
    generator, photos = load_generator(tmp_path), pictures(2, 3, 65, 80)
    for tile_px in (1024, 32):
        expected = sample(generator, photos, "Fur", 1.0, tile_px)
        with precision_context(torch.device("cpu"), "bf16"):
            found = sample(generator, photos, "Fur", 1.0, tile_px)
        assert found.dtype == torch.float32
        assert 0 < (found - expected).abs().mean() < 0.01
        assert (expected - photos).abs().mean() > 0.05


@pytest.mark.parametrize("tile_px", [1024, 32])
def test_how_the_photos_lie_in_memory_changes_nothing(generator: Generator, tile_px: int) -> None:
    photos = pictures(2, 3, 48, 80)
    expected = sample(generator, photos, tile_px=tile_px)
    wide = torch.zeros(2, 3, 50, 160)
    wide[..., 1:49, ::2] = photos
    odd = {
        "channels last": photos.contiguous(memory_format=torch.channels_last),
        "transposed": photos.transpose(2, 3).contiguous().transpose(2, 3),
        "rows of pixels": photos.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
        "part of a larger one": wide[..., 1:49, ::2],
    }
    for name, same in odd.items():
        assert torch.equal(same, photos), name
        torch.testing.assert_close(sample(generator, same, tile_px=tile_px), expected, rtol=0, atol=1e-6)
    one = photos[:1].expand(2, -1, -1, -1)
    twice = sample(generator, one, tile_px=tile_px)
    torch.testing.assert_close(twice, expected[:1].expand(2, -1, -1, -1), rtol=0, atol=1e-6)


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
