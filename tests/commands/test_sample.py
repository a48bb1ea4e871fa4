import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageCms
from safetensors.torch import load_file, save_file

from dreamgan import __version__, cli, sampling
from dreamgan.images import load_image
from dreamgan.networks.translator import Translator, TranslatorConfig

MakePhotos = Callable[..., Path]


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("export") / "generator"
    network = Translator(TranslatorConfig(widths=(4, 4, 8, 8, 8)))
    torch.nn.init.normal_(network.head.weight, std=0.5)
    facts = {"recipe": "gordic", "backbone": "vgg16", "layers": ["relu4_3", "relu5_1"], "seed": 3, "epochs": 2}
    sampling.save_generator(folder, network, facts, "card")
    return folder


def run(photos: Path, generator: Path, out: Path, *flags: str) -> int:
    return cli.main(
        ["sample", str(photos), "--generator", str(generator), "--out", str(out), "--device", "cpu", *flags]
    )


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def is_refused(code: int, capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    line = capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert line.startswith("dreamgan sample: ")
    for part in parts:
        assert part in line


def test_photos_of_any_size_keep_it(
    make_photos: MakePhotos, generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos("a.jpg", "sub/b ü.png", "c.png", "d.png")
    make_photos("odd.png", size=(71, 33))
    assert run(photos, generator, tmp_path / "out") == 0
    assert files_in(tmp_path / "out") == ["a.png", "c.png", "d.png", "odd.png", "sub/b ü.png"]
    sizes = {path.name: load_image(path).picture.size for path in (tmp_path / "out").rglob("*.png")}
    assert sizes.pop("odd.png") == (71, 33)
    assert set(sizes.values()) == {(48, 40)}
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith(f"5 dreams in {tmp_path / 'out'}; ")
    assert float(captured.out.partition("; ")[2].split()[0]) > 0
    assert captured.out.endswith("pictures per second in the network, on cpu\n")


def test_it_changes_the_photo(make_photos: MakePhotos, generator: Path, tmp_path: Path) -> None:
    photos = make_photos("a.png")
    assert run(photos, generator, tmp_path / "out") == 0
    assert load_image(photos / "a.png").picture.tobytes() != load_image(tmp_path / "out" / "a.png").picture.tobytes()


def test_the_png_says_how_it_was_made_and_keeps_the_colour_profile(generator: Path, tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.effect_noise((48, 40), 60).convert("RGB").save(tmp_path / "a.jpg", icc_profile=profile)
    assert run(tmp_path / "a.jpg", generator, tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "a.png") as dreamed:
        found = dreamed.info
    assert found["icc_profile"] == profile
    assert {key: value for key, value in found.items() if str(key).startswith("dreamgan:")} == {
        "dreamgan:version": __version__,
        "dreamgan:generator": "generator",
        "dreamgan:recipe": "gordic",
        "dreamgan:backbone": "vgg16",
        "dreamgan:layers": "relu4_3,relu5_1",
        "dreamgan:seed": "3",
        "dreamgan:photo": "a.jpg",
    }


def test_a_bad_photo_is_skipped_and_listed(make_photos: MakePhotos, generator: Path, tmp_path: Path) -> None:
    photos = make_photos("a.jpg")
    (photos / "bad.jpg").write_text("no picture")
    assert run(photos, generator, tmp_path / "out") == 0
    assert files_in(tmp_path / "out") == ["a.png", "rejects.csv"]


def test_max_side(make_photos: MakePhotos, generator: Path, tmp_path: Path) -> None:
    assert run(make_photos("a.png", size=(100, 80)), generator, tmp_path / "out", "--max_side", "50") == 0
    assert load_image(tmp_path / "out" / "a.png").picture.size == (50, 40)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--batch", "0"], "--batch is 0"),
        (["--max_side", "-5"], "--max_side is -5"),
        (["--device", "tpu"], "device 'tpu'"),
        (["--generator", "none"], "none holds no config.json"),
    ],
)
def test_a_value_that_makes_no_sense(
    flags: list[str],
    said: str,
    make_photos: MakePhotos,
    generator: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    is_refused(run(make_photos("a.jpg"), generator, tmp_path / "out", *flags), capsys, said)
    assert not (tmp_path / "out").exists()


def test_a_generator_that_is_none(
    make_photos: MakePhotos, generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photos("a.jpg"), tmp_path / "out"
    is_refused(run(photos, photos, out), capsys, "photos holds no config.json")
    copy = tmp_path / "copy"
    shutil.copytree(generator, copy)
    weights = copy / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    is_refused(run(photos, copy, out), capsys, "copy holds no generator that dreamgan can read")
    weights.write_text("no weights")
    is_refused(run(photos, copy, out), capsys, "copy holds no generator that dreamgan can read")
    weights.write_bytes(whole)
    (copy / "config.json").write_text("{")
    is_refused(run(photos, copy, out), capsys, "copy holds no generator that dreamgan can read")
    (copy / "config.json").write_text(json.dumps({"format": "something"}))
    is_refused(run(photos, copy, out), capsys, "is of format 'something'")
    assert not out.exists()


def test_a_generator_that_gives_nan(
    make_photos: MakePhotos, generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(generator, copy)
    state = load_file(copy / "model.safetensors")
    state["head.bias"] = torch.full_like(state["head.bias"], float("nan"))
    save_file(state, copy / "model.safetensors")
    is_refused(run(make_photos("a.jpg"), copy, tmp_path / "out"), capsys, "gives values that are not finite")
    assert not (tmp_path / "out").exists()


def test_out_of_memory_halves_the_batch_and_says_so(
    make_photos: MakePhotos,
    generator: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = sampling.sample

    def small(loaded: sampling.Generator, photos: torch.Tensor) -> torch.Tensor:
        if len(photos) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(loaded, photos)

    monkeypatch.setattr(sampling, "sample", small)
    photos = make_photos("a.png", "b.png", "c.png", "d.png", "e.png")
    assert run(photos, generator, tmp_path / "out", "--batch", "5") == 0
    assert capsys.readouterr().err == "out of memory: going on with 2 pictures at a time\n"
    assert files_in(tmp_path / "out") == ["a.png", "b.png", "c.png", "d.png", "e.png"]
