"""Generators that dream from noise: what is written is what is read, a seed means a picture, and what is none is
refused in one line."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from dreamgan.errors import UserError
from dreamgan.exports import CARD_NAME, CONFIG_NAME, NOISE_FORMAT, WEIGHTS_NAME
from dreamgan.latents import MOST_SEED, drawn
from dreamgan.networks.noise import NoiseKind
from dreamgan.noise_sampling import (
    NoiseDreams,
    dream_noise,
    interpolate,
    is_noise_generator,
    load_noise_generator,
    noise_samples,
    save_noise_generator,
)
from dreamgan.sampling import load_generator, save_generator
from tests.lively import lively_translator
from tests.noisy import CLASSES, EYES, STYLES, noise_generator


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Treat as read-only."""
    folder = tmp_path_factory.mktemp("run") / "generator"
    save_noise_generator(folder, noise_generator(), STYLES, CLASSES, "# A card\n")
    return folder


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(exported, tmp_path / "generator"))


@pytest.fixture(scope="session")
def generator(exported: Path) -> NoiseDreams:
    return load_noise_generator(exported)


# --- there and back


@pytest.mark.parametrize("kind", ["dcgan", "residual"])
def test_round_trip_is_exact(kind: NoiseKind, tmp_path: Path) -> None:
    network = noise_generator(kind)
    save_noise_generator(tmp_path / "new" / "folder", network, STYLES, CLASSES, "# A card\n")
    loaded = load_noise_generator(str(tmp_path / "new" / "folder"))
    assert loaded.network.config == network.config
    assert (loaded.styles, list(loaded.classes)) == (STYLES, CLASSES)
    assert loaded.folder == tmp_path / "new" / "folder"
    assert loaded.device == torch.device("cpu")
    before, after = network.state_dict(), loaded.network.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]), name
    assert not any(module.training for module in loaded.network.modules())
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    noise = drawn([0, 1, 2], 16, 3)
    expected = network(noise.latents, torch.tensor([[0.0, 1.0]] * 3), noise.classes)
    assert torch.equal(noise_samples(loaded, [0, 1, 2], style="fur"), expected)


def test_export_is_three_files_of_json_and_numbers(exported: Path) -> None:
    assert {file.name for file in exported.iterdir()} == {WEIGHTS_NAME, CONFIG_NAME, CARD_NAME}
    assert (exported / CARD_NAME).read_text() == "# A card\n"
    config = json.loads((exported / CONFIG_NAME).read_text())
    assert config["format"] == NOISE_FORMAT == "dreamgan-noise-1"
    assert config["network"] == {
        "kind": "residual",
        "size_px": 64,
        "latent": 16,
        "width": 4,
        "styles": 2,
        "classes": 3,
    }
    assert config["styles"]["eyes"] == EYES
    assert config["classes"] == CLASSES


@pytest.mark.parametrize("kind", ["dcgan", "residual"])
def test_half_the_bytes_dream_nearly_the_same(kind: NoiseKind, tmp_path: Path) -> None:
    for half in (False, True):
        save_noise_generator(tmp_path / str(half), noise_generator(kind), STYLES, CLASSES, "card", half=half)
    whole, halved = (load_noise_generator(tmp_path / str(half)) for half in (False, True))
    sizes = [(each.folder / WEIGHTS_NAME).stat().st_size for each in (whole, halved)]
    assert sizes[1] < 0.6 * sizes[0]
    assert all(parameter.dtype == torch.float32 for parameter in halved.network.parameters())
    difference = noise_samples(whole, range(4)) - noise_samples(halved, range(4))
    assert 0 < difference.abs().mean() < 2e-3


def test_loading_draws_no_random_numbers(exported: Path) -> None:
    state = torch.random.get_rng_state()
    load_noise_generator(exported)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_does_not_fit_the_network_is_not_exported(tmp_path: Path) -> None:
    network = noise_generator()
    with pytest.raises(ValueError, match="2 styles, 1 are described"):
        save_noise_generator(tmp_path, network, {"eyes": EYES}, CLASSES, "card")
    with pytest.raises(ValueError, match="3 classes, 2 are described"):
        save_noise_generator(tmp_path, network, STYLES, CLASSES[:2], "card")
    with pytest.raises(ValueError, match="one name"):
        save_noise_generator(tmp_path, network, STYLES, ["cat", "dog", "cat"], "card")
    next(network.parameters())[0] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        save_noise_generator(tmp_path, network, STYLES, CLASSES, "card")
    assert list(tmp_path.iterdir()) == []


# --- what is no generator


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_noise_generator(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    assert str(folder) in message
    return message


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / CONFIG_NAME).read_text())
    (folder / CONFIG_NAME).write_text(json.dumps(config | changes))


def edit_network(folder: Path, **changes: Any) -> None:
    edit_config(folder, network=json.loads((folder / CONFIG_NAME).read_text())["network"] | changes)


def test_which_generator_a_folder_holds(exported: Path, folder: Path, tmp_path: Path) -> None:
    assert is_noise_generator(exported)
    edit_config(folder, format="dreamgan-noise-2")
    assert is_noise_generator(folder)
    assert "format 'dreamgan-noise-2'; this version dreams from noise with 'dreamgan-noise-1'" in refusal(folder)
    save_generator(tmp_path / "translator", lively_translator(), STYLES, "card")
    assert not is_noise_generator(tmp_path / "translator")
    assert "'dreamgan-translator-2'" in refusal(tmp_path / "translator")
    with pytest.raises(UserError, match=r"holds no config\.json"):
        is_noise_generator(tmp_path / "none")
    with pytest.raises(UserError, match="dreams from noise and takes no photos; use it with `dreamgan sample"):
        load_generator(exported)


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "null", "{}", "[" * 100_000])
def test_config_that_is_no_config(folder: Path, text: str) -> None:
    (folder / CONFIG_NAME).write_text(text)
    refusal(folder)
    with pytest.raises(UserError, match="holds no generator that dreamgan can read"):
        is_noise_generator(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("depth", 3),
        ("kind", "stylegan"),
        ("kind", None),
        ("size_px", 96),
        ("size_px", "64"),
        ("latent", 10**9),
        ("latent", 0),
        ("latent", 16.0),
        ("width", 10**400),
        ("width", -4),
        ("width", 256),  # as large as is allowed, but not what the file holds
        ("styles", 1),
        ("styles", 10**9),
        ("classes", 2),
        ("classes", None),
    ],
)
def test_wrong_values_in_the_network_config(folder: Path, key: str, value: object) -> None:
    edit_network(folder, **{key: value})
    refusal(folder)


@pytest.mark.parametrize("key", ["kind", "size_px", "latent", "width", "styles", "classes"])
def test_nothing_may_be_missing_in_the_network_config(folder: Path, key: str) -> None:
    config = json.loads((folder / CONFIG_NAME).read_text())
    del config["network"][key]
    (folder / CONFIG_NAME).write_text(json.dumps(config))
    assert f"does not say its {key}" in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": "cat"}, "no list of names"),
        ({"classes": [1, 2, 3]}, "no list of names"),
        ({"classes": ["cat", "dog"]}, "3 classes, 2 are described"),
        ({"classes": ["cat", "dog", "cat"]}, "one name"),
        ({"styles": {"eyes": {}}}, "2 styles, 1 are described"),
        ({"styles": {"eyes": 3, "fur": None}}, ""),
        ({"styles": []}, ""),
        ({"network": None}, ""),
    ],
)
def test_wrong_values_in_the_config(folder: Path, changes: dict[str, Any], said: str) -> None:
    edit_config(folder, **changes)
    assert said in refusal(folder)


def test_spoilt_weights(folder: Path) -> None:
    file = folder / WEIGHTS_NAME
    weights = load_file(file)
    name = next(iter(weights))
    for spoilt, said in (
        ({**weights, name: torch.full_like(weights[name], float("inf"))}, "not finite; train it again"),
        ({**weights, name: weights[name].int()}, "are of type torch.int32"),
        ({**weights, "extra": torch.zeros(1)}, "extra"),
        ({key: tensor for key, tensor in weights.items() if key != name}, name),
        ({**weights, name: torch.zeros(1, 2, 3)}, "size mismatch"),
    ):
        save_file(spoilt, file)
        assert said in refusal(folder)
    save_file(weights, file)
    file.write_bytes(file.read_bytes()[:-10])
    refusal(folder)
    file.unlink()
    assert f"holds no {WEIGHTS_NAME}" in refusal(folder)


# --- dreaming


def test_pictures_are_pictures(generator: NoiseDreams) -> None:
    pictures = noise_samples(generator, range(6))
    assert pictures.shape == (6, 3, 64, 64)
    assert pictures.dtype == torch.float32
    assert 0 <= pictures.min() < pictures.max() <= 1
    assert pictures.std(dim=0).mean() > 0.01  # they differ


def test_a_picture_depends_on_its_seed_alone(generator: NoiseDreams) -> None:
    together = noise_samples(generator, [4, 9, 4, MOST_SEED])
    assert torch.equal(together[0], together[2])
    for row, seed in enumerate([4, 9, 4, MOST_SEED]):
        torch.manual_seed(row)
        assert torch.allclose(noise_samples(generator, [seed])[0], together[row], atol=1e-5)


def test_truncation_draws_pictures_together(generator: NoiseDreams) -> None:
    spreads = [
        float(noise_samples(generator, range(8), truncation, category="dog").std(dim=0).mean())
        for truncation in (1.0, 0.5, 0.0)
    ]
    assert spreads[0] > 1.3 * spreads[1] > 0
    assert spreads[2] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("truncation", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_truncation_out_of_range(generator: NoiseDreams, truncation: float) -> None:
    with pytest.raises(UserError, match="it must be from 0"):
        noise_samples(generator, [0], truncation)


def test_styles(generator: NoiseDreams) -> None:
    first, eyes, fur, both = (noise_samples(generator, [0], style=s) for s in (None, "eyes", "fur", {"fur": 2.0}))
    assert torch.equal(first, eyes)
    assert (eyes - fur).abs().mean() > 0.001
    assert torch.equal(fur, both)
    blend = noise_samples(generator, [0], style={"eyes": 3, "fur": 1})
    expected = generator.network(drawn([0], 16, 3).latents, torch.tensor([[0.75, 0.25]]), drawn([0], 16, 3).classes)
    assert torch.equal(blend, expected)
    with pytest.raises(UserError, match=r"no style 'furr'; nearest: 'fur' \(known: eyes, fur\)"):
        noise_samples(generator, [0], style="furr")


def test_categories(generator: NoiseDreams) -> None:
    own = drawn(range(9), 16, 3).classes.argmax(dim=1).tolist()
    assert set(own) == {0, 1, 2}
    pictures = noise_samples(generator, range(9))
    asked = {name: noise_samples(generator, range(9), category=name) for name in CLASSES}
    assert (asked["cat"] - asked["dog"]).abs().mean() > 0.001
    for row, number in enumerate(own):
        assert torch.equal(pictures[row], asked[CLASSES[number]][row])
    with pytest.raises(UserError, match=r"no category 'dogs'; nearest: 'dog' \(known: cat, dog, fruit\)"):
        noise_samples(generator, [0], category="dogs")


def test_a_generator_without_styles_and_categories(tmp_path: Path) -> None:
    save_noise_generator(tmp_path, noise_generator(styles=1, classes=0), {"eyes": EYES}, [], "card")
    generator = load_noise_generator(tmp_path)
    assert torch.equal(noise_samples(generator, [0, 1]), noise_samples(generator, [0, 1], style="eyes"))
    assert interpolate(generator, 0, 1, 3).shape == (3, 3, 64, 64)
    with pytest.raises(UserError, match="knows no categories"):
        noise_samples(generator, [0], category="cat")


def test_interpolation_starts_and_ends_at_the_seeds_pictures(generator: NoiseDreams) -> None:
    frames = interpolate(generator, 3, 17, 12, 0.7, "fur")
    assert frames.shape == (12, 3, 64, 64)
    ends = noise_samples(generator, [3, 17], 0.7, "fur")
    assert torch.allclose(frames[[0, -1]], ends, atol=1e-5)
    # No step is a jump: each is a small part of the way.
    steps = (frames[1:] - frames[:-1]).abs().mean(dim=(1, 2, 3))
    assert steps.max() < 0.4 * steps.sum()
    assert (frames[6] - frames[0]).abs().mean() > 0.001


def test_interpolation_keeps_the_category_asked_for(generator: NoiseDreams) -> None:
    frames = interpolate(generator, 3, 17, 3, category="dog")
    assert torch.allclose(frames[[0, -1]], noise_samples(generator, [3, 17], category="dog"), atol=1e-5)


def test_a_part_of_the_noise_gives_a_part_of_the_dreams(generator: NoiseDreams) -> None:
    noise = drawn(range(5), 16, 3)
    assert torch.allclose(dream_noise(generator, noise[2:4]), dream_noise(generator, noise)[2:4], atol=1e-5)
