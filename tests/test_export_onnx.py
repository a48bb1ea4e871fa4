"""Generators as ONNX files: what ONNX Runtime dreams is what PyTorch dreams, at any size."""

import functools
import importlib.util
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dreamgan import __version__
from dreamgan.cli import main
from dreamgan.exporting import runtime
from dreamgan.exporting.baked import OneStyle, baked
from dreamgan.exporting.graph import Graph, as_onnx
from dreamgan.exporting.runtime import Session, largest_difference
from dreamgan.images import load_image, to_unit
from dreamgan.networks.modulation import Modulation
from dreamgan.networks.translator import EncoderName, Translator, TranslatorConfig
from dreamgan.sampling import Generator, load_generator, save_generator

for package in ("onnx", "onnxruntime", "onnxscript"):
    pytest.importorskip(package, reason='needs pip install "dreamgan[onnx]"')

ENCODERS: tuple[EncoderName, ...] = ("squeezenet1_1", "mobilenet_v2")
STYLES = ("eyes", "rings", "petals")
SIZES = ((64, 64), (65, 97), (128, 128), (200, 131), (32, 33))
BLEND = {"eyes": 1.0, "petals": 3.0}


def lively(encoder: EncoderName) -> Translator:
    """A small translator that changes pictures as much as a trained one does, each style in its own way."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = TranslatorConfig(encoder=encoder, widths=(4, 6, 6, 7, 8), styles=len(STYLES))
        network = Translator(config)
        nn.init.normal_(network.head.weight, std=0.1)
        for module in network.modules():
            if isinstance(module, Modulation):
                nn.init.normal_(module.table, std=0.3)
            elif isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
    return network.eval().requires_grad_(False)


@functools.cache
def generator_of(encoder: EncoderName) -> Generator:
    return Generator(lively(encoder), {name: {"recipe": name} for name in STYLES}, Path("nowhere"))


@functools.cache
def graph_of(encoder: EncoderName, style: str | None = None) -> Graph:
    return as_onnx(generator_of(encoder), style)


def pictures(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def dreams_of(generator: Generator, photos: Tensor, styles: Tensor, strength: Tensor) -> Tensor:
    with torch.no_grad():
        dreams: Tensor = generator.network(photos, styles, strength)
    return dreams


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_any_batch_size_strength_and_blend_is_what_pytorch_makes_of_it(encoder: EncoderName) -> None:
    generator, session = generator_of(encoder), Session(graph_of(encoder).model, threads=1)
    assert session.inputs == ("photos", "styles", "strength")
    blends = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.2, 0.3, 0.5]])
    strengths = torch.tensor([0.0, 0.5, 1.5])
    for batch in (1, 3):
        for place, (height, width) in enumerate(SIZES):
            photos = pictures(batch, 3, height, width, seed=place)
            styles, strength = blends.roll(place, 0)[:batch], strengths.roll(place // 2)[:batch]
            expected = dreams_of(generator, photos, styles, strength)
            dreams = session(photos=photos, styles=styles, strength=strength)
            torch.testing.assert_close(dreams, expected, rtol=0, atol=1e-4)
            changed = (dreams - photos).abs().mean(dim=(1, 2, 3))
            assert ((changed > 0.02) == (strength > 0)).all(), "a network that changes nothing would prove nothing"


@pytest.mark.slow
@pytest.mark.parametrize(("style", "strength"), [("rings", None), (BLEND, 1.2)])
def test_what_is_given_is_worked_in(style: str | Mapping[str, float], strength: float | None) -> None:
    generator = generator_of("squeezenet1_1")
    graph = graph_of("squeezenet1_1", "rings") if style == "rings" else as_onnx(generator, style, strength)
    session = Session(graph.model, threads=1)
    assert session.inputs == graph.inputs == (("photos",) if strength else ("photos", "strength"))
    photos, strengths = pictures(2, 3, 45, 70), torch.tensor([0.4, 1.3])
    if strength:
        strengths = torch.full((2,), strength)
    expected = dreams_of(generator, photos, generator.weights(style).expand(2, -1), strengths)
    dreams = session(photos=photos, strength=strengths)
    torch.testing.assert_close(dreams, expected, rtol=0, atol=1e-4)
    other = dreams_of(generator, photos, generator.weights("eyes").expand(2, -1), strengths)
    assert (dreams - other).abs().max() > 0.01

    facts = session.metadata
    blend = {"rings": 1.0} if style == "rings" else {"eyes": 0.25, "petals": 0.75}
    assert json.loads(facts["blend"]) == graph.styles == blend
    assert facts.get("strength") == (None if strength is None else "1.2")


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0, 1.5])
def test_a_baked_network_makes_of_photos_alone_what_the_whole_one_makes(encoder: EncoderName, strength: float) -> None:
    generator = generator_of(encoder)
    styles, photos = generator.weights(BLEND), pictures(2, 3, 48, 67)
    before = {name: value.clone() for name, value in generator.network.state_dict().items()}
    network = baked(generator.network, styles, strength)
    assert not any(isinstance(module, Modulation) for module in network.modules())
    maps = [cast(nn.Conv2d, each.ups[-1].conv).in_channels for each in (generator.network, network)]
    assert maps == [6 + 3, 12], "ONNX Runtime is slow with 9"
    expected = dreams_of(generator, photos, styles.expand(2, -1), torch.full((2,), strength))
    torch.testing.assert_close(network(photos), expected, rtol=0, atol=1e-5)
    assert (expected == photos).all() == (strength == 0)
    after = generator.network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_one_style_takes_a_strength_for_each_photo() -> None:
    generator = generator_of("squeezenet1_1")
    styles, photos, strength = generator.weights("rings"), pictures(3, 3, 32, 48), torch.tensor([0.0, 1.0, 1.5])
    expected = dreams_of(generator, photos, styles.expand(3, -1), strength)
    assert torch.equal(OneStyle(generator.network, styles)(photos, strength), expected)


@pytest.mark.slow
def test_a_file_says_what_it_is_and_nothing_of_the_machine_that_wrote_it() -> None:
    graph = graph_of("squeezenet1_1")
    facts = Session(graph.model, threads=1).metadata
    assert facts["format"] == "dreamgan-onnx-1"
    assert facts["dreamgan"] == __version__
    assert json.loads(facts["styles"]) == list(STYLES)
    assert not {"blend", "strength"} & facts.keys()
    for trace in (str(Path(__file__).resolve().parents[1]), str(Path(torch.__file__).parents[1]), ".py"):
        assert trace.encode() not in graph.model


@pytest.mark.slow
def test_the_example_of_the_documentation_runs(
    photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).resolve().parents[1] / "docs" / "speed.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("inception.onnx").write_bytes(graph_of("squeezenet1_1", "rings").model)
    photo.save("photo.jpg", quality=100)
    exec(code, {})
    generator = generator_of("squeezenet1_1")
    seen = to_unit(load_image(Path("photo.jpg")).picture)[None]
    expected = dreams_of(generator, seen, generator.weights("rings"), torch.ones(1))
    dreamed = to_unit(load_image(Path("dream.png")).picture)[None]
    torch.testing.assert_close(dreamed, expected, rtol=0, atol=0.51 / 255)


@pytest.mark.slow
def test_the_check_sees_another_network() -> None:
    generator = generator_of("squeezenet1_1")
    graph = graph_of("squeezenet1_1")
    assert 0 < largest_difference(graph, generator) < 1e-5
    other = lively("squeezenet1_1")
    other.head.weight *= 1.01
    assert largest_difference(graph, Generator(other, generator.styles, generator.folder)) > 1e-4
    other.head.weight[0, 0, 0, 0] = math.nan
    assert math.isnan(largest_difference(graph, Generator(other, generator.styles, generator.folder)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = generator_of("squeezenet1_1")
    folder = tmp_path_factory.mktemp("run") / "generator"
    save_generator(folder, generator.network, generator.styles, "# A card\n")
    return folder


@pytest.mark.slow
def test_the_command_writes_a_checked_file_and_says_no_more_than_that(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "dreams.onnx"
    assert main(["export_onnx", "--generator", str(folder), "--out", str(out)]) == 0
    told = capfd.readouterr()
    assert told.err == ""
    written, checked = told.out.splitlines()
    assert written == f"{out}: {out.stat().st_size / 1e6:.1f} MB; inputs photos, styles (eyes, rings, petals), strength"
    assert checked.startswith("largest difference from PyTorch in 5 batches of several sizes: ")
    assert [file.name for file in out.parent.iterdir()] == [out.name]
    photos, strength = pictures(1, 3, 40, 50), torch.ones(1)
    generator = load_generator(folder)
    styles = generator.weights("rings")
    expected = dreams_of(generator, photos, styles, strength)
    dreams = Session(out.read_bytes(), threads=1)(photos=photos, styles=styles, strength=strength)
    torch.testing.assert_close(dreams, expected, rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("difference", [2e-4, math.nan])
def test_a_file_that_differs_is_not_written(
    folder: Path,
    difference: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("dreamgan.exporting.graph.as_onnx", lambda *_: graph_of("squeezenet1_1"))
    monkeypatch.setattr(runtime, "largest_difference", lambda *_: difference)
    out = tmp_path / "dreams.onnx"
    out.write_text("an earlier file")
    assert main(["export_onnx", "--generator", str(folder), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"by up to {difference:.2g}, more than 0.0001; nothing was written" in line
    assert out.read_text() == "an earlier file"
    # Not compared, it is written.
    assert main(["export_onnx", "--generator", str(folder), "--out", str(out), "--check", "false"]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: 3.")
    assert out.read_bytes() == graph_of("squeezenet1_1").model


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(
    missing: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    assert main(["export_onnx", "--generator", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f'dreamgan export_onnx: {missing} is not installed; run: pip install "dreamgan[onnx]"'


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--style", "eye"], "knows no style 'eye'"),
        (["--style", "eyes", "--blend", "eyes=1"], "--style and --blend exclude each other"),
        (["--blend", "eyes"], "'eyes' is not STYLE=WEIGHT"),
        (["--strength", "1"], "--strength is worked in only together with a style"),
        (["--style", "eyes", "--strength", "2"], "the strength is 2; it must be from 0"),
        (["--style", "eyes", "--strength", ".nan"], "the strength is nan; it must be from 0"),
        (["--out", "."], "--out is '.', a folder"),
    ],
)
def test_mistakes_are_told_in_one_line(
    flags: list[str], problem: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export_onnx", "--generator", str(folder), *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line
