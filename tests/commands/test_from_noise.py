"""`dreamgan sample` with a generator that dreams from noise: what is written, what it says, what is refused."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from dreamgan import __version__, cli
from dreamgan.commands import from_noise
from dreamgan.commands.animation import save_there_and_back
from dreamgan.images import as_saved, load_image, to_unit
from dreamgan.noise_sampling import dream_noise, interpolate, load_noise_generator, noise_samples, save_noise_generator
from dreamgan.sampling import save_generator
from tests.lively import lively_translator
from tests.noisy import CLASSES, STYLES, noise_generator

MakePhotos = Callable[..., Path]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Treat as read-only."""
    folder = tmp_path_factory.mktemp("export") / "nightmares"
    save_noise_generator(folder, noise_generator(), STYLES, CLASSES, "card")
    return folder


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Treat as read-only."""
    folder = tmp_path_factory.mktemp("export") / "translator"
    save_generator(folder, lively_translator(), STYLES, "card")
    return folder


def run(generator: Path, out: Path, *flags: str) -> int:
    return cli.main(["sample", "--generator", str(generator), "--out", str(out), "--device", "cpu", *flags])


def is_refused(code: int, capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    line = capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert line.startswith("dreamgan sample: ")
    for part in parts:
        assert part in line


def pixels(path: Path) -> Tensor:
    return to_unit(load_image(path).picture)


def facts_in(path: Path) -> dict[str, str]:
    with Image.open(path) as picture:
        text = {str(key): value for key, value in picture.info.items()}
    return {key.removeprefix("dreamgan:"): value for key, value in text.items() if key.startswith("dreamgan:")}


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def level(first: Tensor, second: Tensor) -> float:
    """Largest difference, in levels of 256."""
    return float((first - second).abs().max()) * 255


# --- pictures


def test_pictures_and_their_grid(generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(generator, tmp_path / "out", "--n", "5", "--seed", "7", "--batch", "2") == 0
    names = [f"sample-{seed:04d}.png" for seed in range(7, 12)]
    assert files_in(tmp_path / "out") == ["grid.png", *names]
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith(f"5 dreams in {tmp_path / 'out'}; ")
    assert captured.out.endswith("pictures per second in the network, on cpu\n")
    expected = as_saved(noise_samples(load_noise_generator(generator), range(7, 12)))
    grid = pixels(tmp_path / "out" / "grid.png")
    assert grid.shape == (3, 2 * 66 + 2, 3 * 66 + 2)
    for place, name in enumerate(names):
        picture = pixels(tmp_path / "out" / name)
        # Another size of batch may round a value to the neighbouring level.
        assert level(picture, expected[place]) < 1.5
        top, left = 2 + place // 3 * 66, 2 + place % 3 * 66
        assert torch.equal(grid[:, top : top + 64, left : left + 64], picture)
    assert bool((grid[:, 68:, 134:] == 1).all())  # the sixth place is white


def test_64_from_seed_0_are_the_default(generator: Path, tmp_path: Path) -> None:
    assert run(generator, tmp_path / "out", "--batch", "16") == 0
    assert files_in(tmp_path / "out") == ["grid.png", *(f"sample-{seed:04d}.png" for seed in range(64))]
    assert load_image(tmp_path / "out" / "grid.png").picture.size == (8 * 66 + 2, 8 * 66 + 2)


def test_a_picture_says_how_it_was_made(generator: Path, tmp_path: Path) -> None:
    assert run(generator, tmp_path / "out", "--n", "2", "--truncation", "0.70", "--category", "dog") == 0
    common = {
        "version": __version__,
        "generator": "nightmares",
        "style": "eyes",
        "recipe": "eyes",
        "backbone": "vgg16",
        "layers": "relu4_3,relu5_1",
        "truncation": "0.7",
        "category": "dog",
    }
    assert facts_in(tmp_path / "out" / "sample-0001.png") == {**common, "seed": "1"}
    assert facts_in(tmp_path / "out" / "grid.png") == {**common, "seed": "0 to 1"}


def test_a_seed_that_drew_its_own_category_says_which(generator: Path, tmp_path: Path) -> None:
    assert run(generator, tmp_path / "own", "--n", "6") == 0
    names = [facts_in(tmp_path / "own" / f"sample-000{seed}.png")["category"] for seed in range(6)]
    assert len(set(names)) > 1
    assert "category" not in facts_in(tmp_path / "own" / "grid.png")
    for seed, name in enumerate(names):
        assert run(generator, tmp_path / name, "--n", "1", "--seed", str(seed), "--category", name) == 0
        file = f"sample-000{seed}.png"
        assert level(pixels(tmp_path / name / file), pixels(tmp_path / "own" / file)) < 1.5


def test_style_blend_and_truncation(generator: Path, tmp_path: Path) -> None:
    loaded = load_noise_generator(generator)
    flags = ["--n", "1", "--seed", "3"]
    wishes: dict[str, tuple[list[str], Any, float]] = {
        "fur": (["--style", "fur"], "fur", 1.0),
        "blend": (["--blend", "eyes=3,fur=1"], {"eyes": 0.75, "fur": 0.25}, 1.0),
        "mean": (["--truncation", "0"], "eyes", 0.0),
    }
    for name, (wish, style, truncation) in wishes.items():
        assert run(generator, tmp_path / name, *flags, *wish) == 0
        expected = as_saved(noise_samples(loaded, [3], truncation, style))[0]
        assert level(pixels(tmp_path / name / "sample-0003.png"), expected) < 0.5
    facts = facts_in(tmp_path / "blend" / "sample-0003.png")
    assert facts["blend"] == "eyes=0.75,fur=0.25"
    assert "style" not in facts


def test_a_grid_shows_no_more_than_can_be_looked_at(
    generator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(from_noise, "MOST_IN_GRID", 4)
    assert run(generator, tmp_path / "out", "--n", "6") == 0
    assert len(files_in(tmp_path / "out")) == 7
    assert load_image(tmp_path / "out" / "grid.png").picture.size == (2 * 66 + 2, 2 * 66 + 2)
    assert facts_in(tmp_path / "out" / "grid.png")["seed"] == "0 to 3"


def test_out_of_memory_halves_the_batch_and_says_so(
    generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(loaded: Any, noise: Any, *wish: Any) -> Tensor:
        if len(noise.latents) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return dream_noise(loaded, noise, *wish)

    monkeypatch.setattr(from_noise, "dream_noise", small)
    assert run(generator, tmp_path / "out", "--n", "5", "--batch", "5") == 0
    assert capsys.readouterr().err == "out of memory: going on with 2 pictures at a time\n"
    assert len(files_in(tmp_path / "out")) == 6


def test_bf16_is_near(generator: Path, tmp_path: Path) -> None:
    for precision in ("32", "bf16"):
        assert run(generator, tmp_path / precision, "--n", "1", "--precision", precision) == 0
    whole, rounded = (pixels(tmp_path / precision / "sample-0000.png") for precision in ("32", "bf16"))
    assert 0 < (whole - rounded).abs().mean() < 0.01


def test_the_example_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sampling.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page.partition("## From noise")[2].partition("\n## ")[0], re.DOTALL)
    monkeypatch.chdir(tmp_path)
    save_noise_generator(Path("runs/dcgan/generator"), noise_generator(), STYLES, CLASSES, "card")
    names: dict[str, Any] = {}
    exec(compile(code, "sampling.md", "exec"), names)
    assert capsys.readouterr().out == "['eyes', 'fur'] ['cat', 'dog', 'fruit']\n"
    assert (names["pictures"].shape, names["frames"].shape) == ((2, 3, 64, 64), (48, 3, 64, 64))
    assert torch.allclose(names["frames"][[0, -1]], names["pictures"], atol=1e-5)
    assert torch.equal(pixels(tmp_path / "dream.png"), as_saved(names["pictures"][0]))


# --- animations


def frames_of(path: Path) -> list[Tensor]:
    with Image.open(path) as gif:
        frames = []
        for number in range(gif.n_frames):  # type: ignore[attr-defined]
            gif.seek(number)
            frames.append(to_unit(gif.convert("RGB")))
    return frames


def test_an_animation_goes_there_and_back(generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--interpolate", "3,17", "--frames", "5", "--truncation", "0.8", "--style", "fur"]
    assert run(generator, tmp_path / "out", *flags) == 0
    assert files_in(tmp_path / "out") == ["interpolate-3-17.gif"]
    assert capsys.readouterr().out.startswith("5 dreams in ")
    shown = frames_of(tmp_path / "out" / "interpolate-3-17.gif")
    expected = interpolate(load_noise_generator(generator), 3, 17, 5, 0.8, "fur")
    order = [0, 1, 2, 3, 4, 3, 2, 1]
    assert len(shown) == len(order)
    for frame, number in zip(shown, order, strict=True):
        distances = [float((frame - each).abs().mean()) for each in expected]
        assert min(distances) == distances[number] < 0.05  # 256 colours a frame
    with Image.open(tmp_path / "out" / "interpolate-3-17.gif") as gif:
        assert gif.info["loop"] == 0
        comment = gif.info["comment"].decode().splitlines()
    assert {
        f"dreamgan:version={__version__}",
        "dreamgan:generator=nightmares",
        "dreamgan:style=fur",
        "dreamgan:truncation=0.8",
        "dreamgan:seeds=3,17",
    } <= set(comment)


def test_48_frames_are_the_default(generator: Path, tmp_path: Path) -> None:
    assert run(generator, tmp_path / "out", "--interpolate", "3, 17", "--batch", "16") == 0
    assert len(frames_of(tmp_path / "out" / "interpolate-3-17.gif")) == 48 + 46


def test_an_animation_of_one_picture(tmp_path: Path) -> None:
    save_there_and_back([Image.new("RGB", (8, 8), "red")], tmp_path / "a.gif", {"version": "1"})
    assert len(frames_of(tmp_path / "a.gif")) == 1


# --- what is kept, and what is refused


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("grid.png", ["--n", "2"]),
        ("sample-0001.png", ["--n", "2"]),
        ("interpolate-0-1.gif", ["--interpolate", "0,1", "--frames", "3"]),
    ],
)
def test_what_dreamgan_did_not_write_is_kept(
    name: str, flags: list[str], generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    Image.new("RGB", (8, 8)).save(out / name)
    before = (out / name).read_bytes()
    is_refused(run(generator, out, *flags), capsys, name, "was not written by dreamgan")
    assert (out / name).read_bytes() == before
    assert files_in(out) == [name]
    (out / name).unlink()
    for _ in range(2):  # its own it writes again
        assert run(generator, out, *flags) == 0


def test_a_photo_is_no_use_to_noise(
    make_photos: MakePhotos, generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = make_photos("a.png") / "a.png"
    said = ("generator 'nightmares' dreams from noise and takes no photo", "a.png' out and say how many", "--n")
    is_refused(run(generator, tmp_path / "out", str(photo)), capsys, *said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--strength", "0.5"], "--strength is for generators that take photos; 'nightmares' dreams from noise"),
        (["--max_side", "100"], "--max_side is for generators that take photos"),
        (["--tile", "0"], "--tile is for generators that take photos"),
        (["--n", "0"], "--n is 0; it must be from 1 to 100000"),
        (["--n", "100001"], "--n is 100001"),
        (["--n", "many"], "--n: 'many' is not a whole number"),
        (["--seed=-1"], "the seeds are -1 to 62; they must be from 0 to 4294967295"),
        (["--seed", "4294967290"], "they must be from 0 to 4294967295"),
        (["--truncation", "1.5"], "the truncation is 1.5; it must be from 0 (all pictures alike) to 1"),
        (["--truncation", "nan"], "--truncation: 'nan' is not a number"),
        (["--style", "furr"], "no style 'furr'; nearest: 'fur' (known: eyes, fur)"),
        (["--style", "all"], "no style 'all'"),
        (["--blend", "eyes=0"], "add up to 0"),
        (["--category", "dogs"], "no category 'dogs'; nearest: 'dog' (known: cat, dog, fruit)"),
        (["--frames", "5"], "say between which seeds, as in --interpolate 3,17"),
        (["--interpolate", "3"], "--interpolate is '3'; give two seeds, as in 3,17"),
        (["--interpolate", "3,-1"], "give two seeds"),
        (["--interpolate", "3,4,5"], "give two seeds"),
        (["--interpolate", "3,03"], "names the seed 3 twice, and nothing would move; give two different seeds"),
        (["--interpolate", "3,4294967296"], "the seed is 4294967296; it must be from 0 to 4294967295"),
        (["--interpolate", "3,17", "--frames", "1"], "--frames is 1; it must be from 2 to 1000"),
        (["--interpolate", "3,17", "--frames", "1001"], "--frames is 1001"),
        (["--interpolate", "3,17", "--n", "4"], "leave --n out"),
        (["--interpolate", "3,17", "--seed", "4"], "leave --seed out"),
    ],
)
def test_a_wish_that_makes_no_sense(
    flags: list[str], said: str, generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    is_refused(run(generator, tmp_path / "out", *flags), capsys, said)
    assert not (tmp_path / "out").exists()


def test_categories_where_there_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_noise_generator(tmp_path / "plain", noise_generator(styles=1, classes=0), {"eyes": {}}, [], "card")
    is_refused(run(tmp_path / "plain", tmp_path / "out", "--category", "cat"), capsys, "knows no categories")
    assert run(tmp_path / "plain", tmp_path / "out", "--n", "1") == 0
    assert "category" not in facts_in(tmp_path / "out" / "sample-0000.png")
    assert run(tmp_path / "plain", tmp_path / "out", "--interpolate", "0,1", "--frames", "2") == 0


@pytest.mark.parametrize(
    "flags",
    [
        ["--n", "64"],
        ["--seed", "0"],
        ["--truncation", "1"],
        ["--category", "cat"],
        ["--interpolate", "0,1"],
        ["--frames", "48"],
    ],
)
def test_noise_is_no_use_to_a_translator(
    flags: list[str], translator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = (
        f"{flags[0]} is for generators that dream from noise; 'translator' dreams photos: leave it out and give a photo"
    )
    is_refused(run(translator, tmp_path / "out", *flags), capsys, said)


def test_a_translator_needs_a_photo(translator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = "generator 'translator' dreams photos; give a photo or a folder of photos"
    is_refused(run(translator, tmp_path / "out"), capsys, said)
    is_refused(run(tmp_path / "none", tmp_path / "out", "--n", "3"), capsys, "none holds no config.json")


def test_a_generator_that_is_none_or_gives_nan(
    generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt, out = Path(shutil.copytree(generator, tmp_path / "copy")), tmp_path / "out"
    config = (spoilt / "config.json").read_text()
    weights = load_file(spoilt / "model.safetensors")
    (spoilt / "config.json").write_text(json.dumps(json.loads(config) | {"format": "dreamgan-noise-9"}))
    is_refused(run(spoilt, out), capsys, "copy holds no generator", "'dreamgan-noise-9'")
    (spoilt / "config.json").write_text(config)
    for value, said in ((float("nan"), "are not finite; train it again"), (3e38, "gives values that are not finite")):
        # What is finite may still have sums that are not.
        bad = {name: tensor.fill_(value) for name, tensor in load_file(spoilt / "model.safetensors").items()}
        save_file(bad, spoilt / "model.safetensors")
        is_refused(run(spoilt, out), capsys, said)
        save_file(weights, spoilt / "model.safetensors")
    assert not out.exists()
