import errno
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageCms

from dreamgan import __version__, cli
from dreamgan import dream as engine
from dreamgan.dream import DreamResult
from dreamgan.images import load_image

MakePhotos = Callable[..., Path]
FEW = ["--weights", "random", "--recipe", "distillable", "--octaves", "1", "--steps", "1", "--device", "cpu"]


def run(photos: Path | str, out: Path, *flags: str) -> int:
    return cli.main(["dream", str(photos), "--out", str(out), *FEW, *flags])


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def is_refused(code: int, capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    line = capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert line.startswith("dreamgan dream: ")
    for part in parts:
        assert part in line


def bomb(path: Path) -> None:
    """A PNG header that promises 40000x40000 px."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82")


def damage(folder: Path, what: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "bad.jpg"
    if what == "text":
        path.write_text("not a picture")
    elif what == "truncated":
        Image.effect_noise((64, 64), 80).convert("RGB").save(path)
        path.write_bytes(path.read_bytes()[:1500])
    elif what == "tiny":
        Image.new("RGB", (1, 1)).save(path)
    elif what == "bomb":
        bomb(path)
    elif what == "empty":
        path.touch()
    return path


BAD = {
    "text": "is not a picture of a known format",
    "truncated": "cannot be decoded: image file is truncated",
    "tiny": "is 1x1 px: each side must be at least 32 px",
    "bomb": "has more than 100000000 pixels: shrink it first",
    "empty": "is empty (0 bytes)",
}


def test_a_folder_of_any_sizes_and_names(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos("a b.jpg", "new\nline.png", "sub/ü 猫.png", "x.jpg", "x.png")
    make_photos("odd.png", size=(47, 33))
    assert run(photos, tmp_path / "out") == 0
    names = ["a b.png", "new\nline.png", "odd.png", "sub/ü 猫.png", "x.jpg.png", "x.png.png"]
    assert files_in(tmp_path / "out") == names
    with Image.open(tmp_path / "out" / "odd.png") as dreamed:
        assert dreamed.size == (47, 33)
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    # One line per photo and octave, and the end.
    assert len(lines) == 7
    assert any(line.startswith("new?line.png: octave 1/1, 48x40 px, score ") for line in lines)
    assert lines[-1] == f"6 dreams in {tmp_path / 'out'}"


def test_the_score_of_every_octave_is_told_and_rises(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos("a.png", size=(96, 96))
    assert run(photos, tmp_path / "out", "--octaves", "2", "--steps", "5", "--layers", "block_2_add") == 0
    told = [line for line in capsys.readouterr().out.splitlines() if ", score " in line]
    assert [line.partition(", score")[0] for line in told] == [
        "a.png: octave 1/2, 69x69 px",
        "a.png: octave 2/2, 96x96 px",
    ]
    for line in told:
        first, last = line.partition("score ")[2].split(" -> ")
        assert float(last) > float(first)


def test_the_png_says_how_it_was_made_and_keeps_the_colour_profile(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = Image.merge("RGB", [Image.effect_noise((48, 40), 60) for _ in range(3)])
    noise.save(tmp_path / "a.jpg", icc_profile=profile)
    layers = "block_2_add,block_6_expand_relu:0.5"
    assert run(tmp_path / "a.jpg", tmp_path / "out", "--seed", "7", "--layers", layers) == 0
    with Image.open(tmp_path / "out" / "a.png") as dreamed:
        found = dreamed.info
    assert found["icc_profile"] == profile
    said = {str(key).removeprefix("dreamgan:"): value for key, value in found.items() if "dreamgan:" in str(key)}
    assert said.pop("recipe_json").startswith("{")
    assert said.pop("weights").startswith("random sha256:")
    assert said == {
        "version": __version__,
        "recipe": "distillable",
        "backbone": "mobilenet_v2",
        "layers": "block_2_add,block_6_expand_relu",
        "seed": "7",
        "photo": "a.jpg",
    }


def test_the_same_seed_gives_the_same_dream_and_another_another(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("a.png")
    for out, seed in (("one", "3"), ("two", "3"), ("three", "4")):
        assert run(photos, tmp_path / out, "--recipe", "gordic", "--steps", "2", "--seed", seed) == 0
    one, two, three = (load_image(tmp_path / out / "a.png").picture.tobytes() for out in ("one", "two", "three"))
    assert one == two
    assert one != three


@pytest.mark.parametrize("what", BAD)
def test_a_bad_photo_alone_is_an_error_and_leaves_nothing(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(damage(tmp_path, what), tmp_path / "out")
    is_refused(code, capsys, "bad.jpg'", BAD[what])
    assert files_in(tmp_path) == ["bad.jpg"]
    assert not (tmp_path / "out").exists()


def test_a_photo_that_no_step_changed_is_told(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos("a.png", "b.png")
    real = engine.dream

    def first_fails(*args: Any, **kwargs: Any) -> DreamResult:
        return replace(real(*args, **kwargs), skipped_steps=torch.tensor([3, 2]))

    monkeypatch.setattr(engine, "dream", first_fails)
    assert run(photos, tmp_path / "out", "--steps", "3") == 0
    said = "a.png: its gradient was zero or not finite in every step; its dream is the photo"
    assert capsys.readouterr().err.splitlines() == [said]


@pytest.mark.parametrize("what", BAD)
def test_a_bad_photo_among_good_ones_is_skipped_and_listed(
    what: str, make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos("a.jpg", "z.jpg")
    damage(photos, what)
    assert run(photos, tmp_path / "out") == 0
    assert files_in(tmp_path / "out") == ["a.png", "rejects.csv", "z.png"]
    listed = (tmp_path / "out" / "rejects.csv").read_text().splitlines()
    assert len(listed) == 2
    assert listed[1].startswith("bad.jpg,")
    assert BAD[what] in listed[1]
    captured = capsys.readouterr()
    assert "skipped: " in captured.err
    assert "1 pictures could not be used" in captured.err
    assert captured.out.splitlines()[-1] == f"2 dreams in {tmp_path / 'out'}"


def test_only_bad_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(tmp_path / "photos", "text").rename(tmp_path / "photos" / "worse.jpg")
    damage(tmp_path / "photos", "tiny")
    code = run(tmp_path / "photos", tmp_path / "out")
    is_refused(code, capsys, "none of the 2 pictures could be used; first: ", "bad.jpg")
    assert not (tmp_path / "out").exists()


def test_nothing_to_dream_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    is_refused(run(tmp_path / "none.jpg", tmp_path / "out"), capsys, "none.jpg' does not exist")
    (tmp_path / "folder").mkdir()
    is_refused(run(tmp_path / "folder", tmp_path / "out"), capsys, "no picture in folder", ".jpg")
    (tmp_path / "folder" / "notes.txt").touch()
    is_refused(run(tmp_path / "folder", tmp_path / "out"), capsys, "no picture in folder")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--recipe", "gordik"], "nearest: 'gordic'"),
        (["--backbone", "vgg17"], "vgg16"),
        (["--layers", "block_6_expand_rulu"], "nearest: 'block_6_expand_relu"),
        (["--layers", "block_6_expand_relu:much"], "layer weight 'much'"),
        (["--layers", "block_6_expand_relu:nan"], "weights of the layers must be finite"),
        (["--layers", ""], "empty layer name"),
        (["--device", "gpu"], "device 'gpu' is not known"),
        (["--device", "cuda:99"], "device 'cuda:99' is not available"),
        (["--device", "meta"], "device 'meta' is not available"),
        (["--steps", "0"], "--steps is 0; it must be at least 1"),
        (["--steps", "-3"], "--steps is -3; it must be at least 1"),
        (["--octaves", "0"], "--octaves is 0; it must be at least 1"),
        (["--octaves", "31"], "octaves must be 1 to 30"),
        (["--octave_scale", "1"], "octave_scale must be above 1"),
        (["--octave_scale", ".nan"], "octave_scale must be above 1"),
        (["--step_size", ".nan"], "step_size must be a finite number"),
        (["--step_size", "0"], "step_size must be a finite number other than 0"),
        (["--batch", "0"], "--batch is 0; it must be at least 1"),
        (["--batch", "-1"], "--batch is -1; it must be at least 1"),
        (["--max_side", "-1"], "--max_side is -1; it must be at least 32"),
        (["--max_side", "31"], "--max_side is 31; it must be at least 32"),
        (["--seed", "9223372036854775807"], "it must fit 64 bits"),
        (["--weights", "none.pth"], "weights file 'none.pth' does not exist"),
        (["--weights", ""], "weights file"),
    ],
)
def test_a_value_that_makes_no_sense(
    flags: list[str], said: str, make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    is_refused(run(make_photos("a.jpg"), tmp_path / "out", *flags), capsys, said)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_none(make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = make_photos("a.jpg")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("no weights")
        code = run(photos, tmp_path / "out", "--weights", str(tmp_path / name))
        is_refused(code, capsys, f"{name}' is not a readable checkpoint")
    torch.save({"conv.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    code = run(photos, tmp_path / "out", "--weights", str(tmp_path / "other.pth"))
    is_refused(code, capsys, "other.pth' does not fit mobilenet_v2", "unexpected conv.weight")
    assert not (tmp_path / "out").exists()


def test_an_out_that_cannot_be(make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = make_photos("a.png")
    (tmp_path / "file").write_text("mine")
    is_refused(run(photos, tmp_path / "file"), capsys, "file' is a file, not a folder; give another --out")
    is_refused(run(photos, photos), capsys, "is the folder of the photos; give another --out")
    before = (photos / "a.png").read_bytes()
    is_refused(run(photos / "a.png", photos), capsys, "a.png' was not written by dreamgan")
    assert (photos / "a.png").read_bytes() == before
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_told_in_one_line_and_finished_dreams_are_kept(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.replace, []

    def second_fails(source: object, target: object) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(source))
        real(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", second_fails)
    code = run(make_photos("a.jpg", "b.jpg", "c.jpg"), tmp_path / "out", "--batch", "1")
    is_refused(code, capsys, "b.png' cannot be written: No space left on device")
    assert files_in(tmp_path / "out") == ["a.png"]


def test_ctrl_c_keeps_what_is_finished(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = engine.dream, []

    def second_is_interrupted(*args: object, **kwargs: object) -> DreamResult:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "dream", second_is_interrupted)
    assert run(make_photos("a.jpg", "b.jpg"), tmp_path / "out", "--batch", "1") == 130
    assert capsys.readouterr().err == "dreamgan dream: interrupted; what was finished is kept\n"
    assert files_in(tmp_path / "out") == ["a.png"]


def test_out_of_memory_halves_the_batch_and_says_so(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sizes = engine.dream, []

    def small(images: torch.Tensor, *args: object, **kwargs: object) -> DreamResult:
        sizes.append(len(images))
        if len(images) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(images, *args, **kwargs)  # type: ignore[arg-type]

    photos = make_photos("a.png", "b.png", "c.png", "d.png")
    assert run(photos, tmp_path / "one", "--batch", "1") == 0
    capsys.readouterr()
    monkeypatch.setattr(engine, "dream", small)
    assert run(photos, tmp_path / "out", "--batch", "4") == 0
    assert sizes == [4, 2, 1, 1, 1, 1]
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "out of memory: going on with 2 pictures at a time",
        "out of memory: going on with 1 pictures at a time",
    ]
    for name in ("a.png", "d.png"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()


def test_out_of_memory_with_one_picture_is_an_error(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **kwargs: object) -> DreamResult:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine, "dream", never)
    is_refused(run(make_photos("a.png"), tmp_path / "out"), capsys, "out of memory with a single picture")
    assert not (tmp_path / "out").exists()
