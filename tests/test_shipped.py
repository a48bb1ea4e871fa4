"""The generator of the package: how it gets there, and what it must be when it is there."""

import copy
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dreamgan import generators
from dreamgan.errors import UserError
from dreamgan.generators import generator_folder
from dreamgan.generators.ship import MOST_BYTES, ship_generator
from dreamgan.images import load_image, to_unit
from dreamgan.networks.translator import Translator, TranslatorConfig
from dreamgan.noise_sampling import load_noise_generator, noise_samples, save_noise_generator
from dreamgan.sampling import load_generator, sample, save_generator
from tests.lively import lively_translator, pictures
from tests.noisy import noise_generator

ROOT = Path(__file__).resolve().parents[1]


def facts(name: str, backbone: str, layers: list[str], guides: str = "{}") -> dict[str, Any]:
    return {
        "recipe": name,
        "recipe_json": json.dumps({"name": name, "objective": f"l2({layers[0]})"}),
        "backbone": backbone,
        "layers": layers,
        "weights": f"{backbone}.safetensors",
        "weights_sha256": "0123456789abcdef" * 4,
        "guides": guides,
        "seed": 0,
        "size_px": 128,
        "strengths": [0.5, 1.0],
        "labels": ["", "cat", "person"],
        "measures": {},
    }


STYLES = {
    "inception": facts("inception", "inception_v3", ["mixed3", "mixed5"]),
    "petals": facts("petals", "inception_v3", ["mixed5"], '{"guide": "abc"}'),
}


def row(recipe: str, **changes: Any) -> dict[str, Any]:
    figures = {
        "agreement": 0.8123,
        "agreement_std": 0.25,
        "referee_agreement": None,
        "referee_agreement_std": None,
        "floor_cosine": 0.5678,
        "feature_cosine": 0.7995,
        "ceiling_cosine": 0.8551,
        "wrong_photo_cosine": 0.6001,
        "universal_share": 0.034,
        "dream_universal_share": 0.026,
    }
    return {"split": "test", "recipe": recipe, "strength": 1.0, "n": 148, **figures, **changes}


ROWS = [row("inception", label="unseen categories"), row("petals", strength=0.5, agreement=None, robust_gain=0.5)]


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    save_generator(tmp_path / "generator", copy.deepcopy(lively_translator()), STYLES, "# Card of the training\n")
    return tmp_path / "generator"


def ship(generator: Path, rows: Any, out: Path) -> None:
    figures = generator.parent / "figures.json"
    figures.write_text(json.dumps(rows))
    ship_generator(str(generator), str(figures), str(out))


def refusal(generator: Path, rows: Any) -> str:
    out = generator.parent / "out"
    with pytest.raises(UserError) as caught:
        ship(generator, rows, out)
    assert "\n" not in str(caught.value)
    assert not out.exists()
    return str(caught.value)


# --- which folder


def test_a_folder_that_is_given_is_taken(tmp_path: Path) -> None:
    assert generator_folder(str(tmp_path / "own")) == tmp_path / "own"
    assert generator_folder("~/own") == Path.home() / "own"


def test_without_one_it_is_the_package_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generators, "SHIPPED", tmp_path)
    with pytest.raises(UserError, match="carries no generator; give --generator FOLDER"):
        generator_folder(None)
    (tmp_path / "config.json").touch()
    assert generator_folder(None) == tmp_path


def test_it_lies_in_the_package() -> None:
    assert generators.SHIPPED == ROOT / "dreamgan" / "generators" / "dreams"


def test_the_example_of_the_page_runs(
    tmp_path: Path, photo: Image.Image, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "sampling.md").read_text(encoding="utf-8").partition("## In Python")[2]
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    styles: dict[str, dict[str, Any]] = {"inception": {}, "petals": {}}
    save_generator(tmp_path / "generator", copy.deepcopy(lively_translator()), styles, "")
    monkeypatch.setattr(generators, "SHIPPED", tmp_path / "generator")
    monkeypatch.chdir(tmp_path)
    photo.save("photo.jpg")
    exec(compile(code, "sampling.md", "exec"), {})
    assert capsys.readouterr().out == "['inception', 'petals']\n"
    dreamed = load_image(tmp_path / "dream.png").picture
    assert dreamed.size == photo.size
    assert dreamed.tobytes() != load_image(tmp_path / "photo.jpg").picture.tobytes()


# --- shipping


def test_it_is_shipped_as_float16_and_dreams_the_same(
    generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ship(generator, ROWS, tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert {tensor.dtype for tensor in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.float16}
    before, after = load_generator(generator), load_generator(tmp_path / "out")
    assert after.styles == STYLES
    photos = pictures(1, 3, 48, 48)
    assert (sample(after, photos, "petals") - sample(before, photos, "petals")).abs().mean() < 1e-3
    assert capsys.readouterr().out.startswith("inception, petals: ")


def test_the_card_says_what_it_is(generator: Path, tmp_path: Path) -> None:
    ship(generator, ROWS, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    for part in (
        "# One-pass dreams: inception, petals",
        "| `inception` | `l2(mixed3)` | inception_v3 | mixed3, mixed5 | 0.5, 1 | "
        "inception_v3.safetensors (0123456789ab…) |",
        "of 2 classes (cat, person)",
        "128 px",
        "| inception | test, unseen categories | 1.00 | 148 | 0.81 +- 0.25 | - | - | 0.568 / 0.799 / 0.855 | 0.199 | "
        "0.034 (0.026) |",
        "| petals | test | 0.50 | 148 | - | - | 0.50 | 0.568 / 0.799 / 0.855 | 0.199 | 0.034 (0.026) |",
        "InceptionV3: Apache-2.0",
        "SqueezeNet 1.1: MIT / BSD",  # its encoder
        "The dreams of `petals` were guided by `flower.jpg` of scikit-learn, CC BY 2.0",
        "## Limits",
    ):
        assert part in card
    assert "VGG16" not in card
    assert "of `inception` were guided" not in card
    assert "None" not in card
    assert str(tmp_path) not in card


def test_a_bar_in_a_name_starts_no_column(tmp_path: Path) -> None:
    styles = {"a|b": facts("a|b", "vgg16", ["relu4_3"])}
    save_generator(tmp_path / "generator", copy.deepcopy(lively_translator(styles=1)), styles, "")
    ship(tmp_path / "generator", [row("a|b")], tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "| a\\|b | test |" in card


def test_figures_and_styles_must_be_the_same(generator: Path) -> None:
    assert "no row of style 'petals'" in refusal(generator, ROWS[:1])
    assert "rows of 'vgg', a style that the generator does not know" in refusal(generator, [*ROWS, row("vgg")])
    no_figures: list[Any] = [{}, [1], [{"recipe": "inception"}], "text"]
    for rows in no_figures:
        assert "holds no figures" in refusal(generator, rows)
    with pytest.raises(UserError, match=r"no\.json' cannot be read"):
        ship_generator(str(generator), str(generator.parent / "no.json"))
    with pytest.raises(UserError, match="--figures is missing"):
        ship_generator(str(generator))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("inception", {"backbone": "resnet50"}, "licence of resnet50's weights is not known"),
        ("inception", {"guides": '{"guide": "abc"}'}, "licence of 'inception''s guide is not known"),
    ],
)
def test_a_licence_that_is_not_known_is_asked_for(
    generator: Path, name: str, change: dict[str, Any], said: str
) -> None:
    styles = {**STYLES, name: STYLES[name] | change}
    save_generator(generator, copy.deepcopy(lively_translator()), styles, "")
    assert said in refusal(generator, ROWS)


def test_a_style_must_say_what_it_is(generator: Path) -> None:
    lacking = {key: value for key, value in STYLES["petals"].items() if key != "labels"}
    save_generator(generator, copy.deepcopy(lively_translator()), {**STYLES, "petals": lacking}, "")
    assert "style 'petals'" in refusal(generator, ROWS)
    assert "does not say its labels" in refusal(generator, ROWS)


def test_more_than_6_mb_are_not_shipped(generator: Path) -> None:
    network = Translator(TranslatorConfig(widths=(4, 4, 8, 8, 400), styles=2))
    save_generator(generator, network, STYLES, "")
    assert "more than 6; train narrower" in refusal(generator, ROWS)


def test_the_default_shape_with_four_styles_fits() -> None:
    network = Translator(TranslatorConfig(styles=4))
    assert 2 * sum(tensor.numel() for tensor in network.state_dict().values()) < 0.9 * MOST_BYTES


# --- the script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ship_generator", ROOT / "scripts" / "ship_generator.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_ships(script: ModuleType, generator: Path, tmp_path: Path) -> None:
    (tmp_path / "figures.json").write_text(json.dumps(ROWS))
    flags = ["--figures", str(tmp_path / "figures.json"), "--out", str(tmp_path / "out")]
    assert script.main([str(generator), *flags]) == 0
    assert load_generator(tmp_path / "out").styles == STYLES


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["none", "--figures", "x.json"], "none holds no config.json"),
        (["none"], "--figures is missing"),
        ([], "generator"),
        (["none", "--figurs", "x"], "--figurs"),
    ],
)
def test_the_script_refuses_in_one_line(
    script: ModuleType, args: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ship_generator: ")
    assert said in line


# --- what is there


@pytest.fixture(scope="module")
def shipped() -> Path:
    if not (generators.SHIPPED / "config.json").is_file():
        pytest.skip("no generator ships yet: scripts/ship_generator.py puts it into dreamgan/generators/dreams")
    return generators.SHIPPED


def test_the_shipped_generator_is_small(shipped: Path) -> None:
    assert sorted(file.name for file in shipped.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert sum(file.stat().st_size for file in shipped.iterdir()) <= MOST_BYTES


def test_the_shipped_generator_has_its_styles(shipped: Path) -> None:
    assert set(load_generator(shipped).styles) == {"inception", "petals", "squeezenet", "vgg"}


def test_the_card_of_the_shipped_generator_is_about_it(shipped: Path) -> None:
    card = (shipped / "README.md").read_text(encoding="utf-8")
    for style in load_generator(shipped).styles:
        assert f"| `{style}` |" in card
        assert f"\n| {style} | test" in card


def test_the_shipped_generator_dreams_a_photograph_visibly_and_in_each_style_differently(shipped: Path) -> None:
    data = pytest.importorskip("skimage.data")
    generator = load_generator(shipped)
    photo = to_unit(Image.fromarray(data.chelsea()).resize((225, 150)))[None]
    dreams = {style: sample(generator, photo, style) for style in generator.styles}
    for style, dream in dreams.items():
        half, bold = (sample(generator, photo, style, strength) for strength in (0.5, 1.5))
        changes = [float((picture - photo).abs().mean()) for picture in (half, dream, bold)]
        # A change of 0.03 is 8 of 256 levels at every pixel.
        assert changes[1] > 0.03, style
        assert changes[0] < changes[1] < changes[2], style
        for other, picture in dreams.items():
            assert other == style or (picture - dream).abs().mean() > 0.01, (style, other)


NOISE_ROW = {
    "style": "inception",
    "n": 200,
    "dream_share": 0.8,
    "categories_trained": {"cat": 0.5, "person": 0.5},
    "networks": [
        {
            "network": "vgg16 relu4_3",
            **{name: 0.5 for name in ("kid_dreams", "kid_halves", "kid_between", "kid_photos", "nearest")},
            **{name: 0.75 for name in ("density", "density_halves", "coverage", "coverage_halves")},
            "kid_dreams_std": 0.025,
        }
    ],
}


@pytest.fixture
def nightmares(tmp_path: Path) -> Path:
    style = {"inception": {**STYLES["inception"], "likeness": ["squeezenet1_1", "mobilenet_v2"]}}
    save_noise_generator(tmp_path / "nightmares", noise_generator(styles=1, classes=0), style, [], "# Card\n")
    return tmp_path / "nightmares"


def test_a_generator_of_noise_is_shipped_with_its_figures(nightmares: Path, tmp_path: Path) -> None:
    ship(nightmares, [NOISE_ROW], tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    line = "| inception | vgg16 relu4_3 | 0.5 +- 0.025 | 0.5 | 0.5 | 0.5 | 0.5 | 0.75 (0.75) | 0.75 (0.75) | 0.80 |"
    for part in (
        line,
        "--generator noise",
        "SqueezeNet 1.1: MIT",
        "MobileNetV2: BSD",
        "InceptionV3: Apache-2.0",
        "of 2 classes",
    ):
        assert part in card
    first, again = (load_noise_generator(folder) for folder in (nightmares, tmp_path / "out"))
    one, other = (noise_samples(each, range(3)) for each in (first, again))
    assert (one - other).abs().max() < 0.01
    weights = load_file(tmp_path / "out" / "model.safetensors")
    assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float16}


def test_figures_of_another_generator_of_noise(nightmares: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the figures are of petals, the generator knows inception"):
        ship(nightmares, [{**NOISE_ROW, "style": "petals"}], tmp_path / "out")
    with pytest.raises(UserError, match="holds no figures"):
        ship(nightmares, ROWS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_name_noise_stands_for_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "package").mkdir()
    monkeypatch.setattr(generators, "SHIPPED_NOISE", tmp_path / "package")
    assert generator_folder("noise") == Path("noise")  # it carries none
    (tmp_path / "package" / "config.json").write_text("{}")
    assert generator_folder("noise") == tmp_path / "package"
    (tmp_path / "noise").mkdir()
    assert generator_folder("noise") == Path("noise")


def test_the_generator_of_noise_that_ships() -> None:
    folder = generators.SHIPPED_NOISE
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 8_000_000
    made = noise_samples(load_noise_generator(folder), range(16))
    assert made.shape == (16, 3, 64, 64)
    # Pictures of their own, with the contrast of dreams.
    assert torch.pdist(made.flatten(1)).min() > 0.1 * (3 * 64 * 64) ** 0.5
    assert 0.15 < float(made.std(dim=(1, 2, 3)).mean()) < 0.45
    card = (folder / "README.md").read_text()
    assert "KID to dreams" in card
    assert "dreamgan sample --generator noise" in card
