import errno
import json
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image, ImageCms

from dreamgan import __version__, cli
from dreamgan import dream as engine
from dreamgan.dream import DreamRecipe, DreamResult
from dreamgan.images import load_image, to_unit

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
    said = "a.png: its gradient was zero or not finite in every step; nothing was dreamed"
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
        (["--layers", "block_6_expand_relu:nan"], "weights must be finite"),
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
    flags: list[str],
    said: str,
    make_photos: MakePhotos,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos = make_photos("a.jpg")
    (photos / "a.yml").write_text("- no fields")
    monkeypatch.chdir(tmp_path)
    is_refused(run(photos, tmp_path / "out", *flags), capsys, said)
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


# --- objectives, guides, masks, tiles, noise and recipes in files ----------------------------------------------


def info(path: Path) -> dict[str, str]:
    with Image.open(path) as picture:
        found = {str(key): str(value) for key, value in picture.info.items()}
    return {key.removeprefix("dreamgan:"): value for key, value in found.items() if key.startswith("dreamgan:")}


def dreamed(folder: Path, name: str = "a.png") -> bytes:
    return load_image(folder / name).picture.tobytes()


def test_an_objective_takes_the_place_of_the_recipes(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("a.png")
    text = "channel(block_2_add, 3) + 1e-3*class(tabby) - 0.5*tv()"
    assert run(photos, tmp_path / "one", "--objective", text) == 0
    assert run(photos, tmp_path / "other", "--objective=-mean(block_2_add)") == 0
    said = info(tmp_path / "one" / "a.png")
    assert json.loads(said["recipe_json"])["objective"] == "channel(block_2_add, 3) + 0.001*class(tabby) - 0.5*tv()"
    assert said["layers"] == "block_2_add,head"
    assert dreamed(tmp_path / "one") != dreamed(tmp_path / "other")


def test_batch_norms_are_loaded_where_they_are_needed(make_photos: MakePhotos, tmp_path: Path) -> None:
    assert run(make_photos("a.png"), tmp_path / "out", "--objective", "l2(block_2_add) - 0.1*batch_norm()") == 0


def test_a_guide_is_dreamed_after_and_may_have_a_name(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("a.png")
    bees, ants = (make_photos(name, size=(70, 50), folder="guides") / name for name in ("bees.jpg", "a,b=c.jpg"))
    flags = ["--layers", "block_2_add", "--steps", "3"]
    assert run(photos, tmp_path / "bees", "--recipe", "guided", "--guide", str(bees), *flags) == 0
    assert run(photos, tmp_path / "ants", "--recipe", "guided", "--guide", str(ants), *flags) == 0
    assert (
        run(photos, tmp_path / "named", "--recipe", "guided", "--guide", f" guide = {bees}".replace(" = ", "="), *flags)
        == 0
    )
    assert dreamed(tmp_path / "bees") == dreamed(tmp_path / "named")
    assert dreamed(tmp_path / "bees") != dreamed(tmp_path / "ants")
    two = "guided(block_2_add, one) + guided_match(block_2_add, two)"
    assert run(photos, tmp_path / "two", "--objective", two, "--guide", f"one={bees},two={bees}") == 0


def test_a_mask_keeps_the_rest_of_the_photo(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("a.png", "b.png")
    mask = Image.new("L", (96, 80), 0)
    mask.paste(255, (0, 0, 48, 80))
    mask.save(tmp_path / "mask.png")
    assert run(photos, tmp_path / "out", "--mask", str(tmp_path / "mask.png"), "--steps", "3") == 0
    for name in ("a.png", "b.png"):
        before, after = (load_image(folder / name).picture for folder in (photos, tmp_path / "out"))
        left, right = (0, 0, 24, 40), (24, 0, 48, 40)  # the mask is twice as large
        assert after.crop(right).tobytes() == before.crop(right).tobytes()
        assert after.crop(left).tobytes() != before.crop(left).tobytes()


def test_a_mask_of_the_objective_by_name(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("a.png")
    Image.new("L", (60, 60), 255).save(tmp_path / "white.png")
    Image.new("L", (60, 60), 0).save(tmp_path / "black.png")
    flags = ["--objective", "l2(block_2_add, mask=sky)", "--steps", "2"]
    assert run(photos, tmp_path / "white", "--mask", f"sky={tmp_path / 'white.png'}", *flags) == 0
    assert run(photos, tmp_path / "none", "--layers", "block_2_add", "--steps", "2") == 0
    assert run(photos, tmp_path / "black", "--mask", f"sky={tmp_path / 'black.png'}", *flags) == 0
    assert dreamed(tmp_path / "white") == dreamed(tmp_path / "none")
    assert dreamed(tmp_path / "black") == load_image(photos / "a.png").picture.tobytes()


def test_large_photos_are_dreamed_in_tiles_unless_told_otherwise(
    make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos("a.png", size=(1040, 40))
    seen: list[tuple[int, int]] = []
    real = engine.dream

    def watched(images: torch.Tensor, extractor: Any, recipe: DreamRecipe, **kwargs: Any) -> DreamResult:
        seen.append((recipe.tile_px, recipe.tile_overlap_px))
        return real(images, extractor, recipe, **kwargs)

    monkeypatch.setattr(engine, "dream", watched)
    for flags in ([], ["--tile", "0"], ["--tile", "64"], ["--tile", "300"], ["--max_side", "1024"]):
        assert run(photos, tmp_path / "out", "--max_side", "0", *flags) == 0
    assert seen == [(512, 32), (0, 0), (64, 32), (300, 32), (0, 0)]
    # What the picture says of itself is what was done.
    assert json.loads(info(tmp_path / "out" / "a.png")["recipe_json"])["tile_px"] == 0
    assert run(photos, tmp_path / "out", "--recipe", "tutorial_tiled", "--max_side", "0") == 0
    assert seen[-1] == (512, 0)


def test_tiles_change_the_dream_a_little_only(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("a.png", size=(150, 90))
    flags = ["--recipe", "gordic", "--layers", "block_2_add"]
    assert run(photos, tmp_path / "whole", *flags) == 0
    assert run(photos, tmp_path / "tiles", *flags, "--tile", "64") == 0
    photo, whole, tiles = (
        to_unit(load_image(folder / "a.png").picture) for folder in (photos, tmp_path / "whole", tmp_path / "tiles")
    )
    assert not torch.equal(whole, tiles)
    assert (whole - tiles).abs().mean() < 0.5 * (whole - photo).abs().mean()


def test_a_dream_from_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out, seed in (("one", "3"), ("two", "3"), ("three", "4")):
        assert run("noise:48x40", tmp_path / out, "--seed", seed) == 0
    captured = capsys.readouterr()
    assert "noise: octave 1/1, 48x40 px, score " in captured.out
    assert captured.err == ""
    assert files_in(tmp_path / "one") == ["noise.png"]
    assert load_image(tmp_path / "one" / "noise.png").picture.size == (48, 40)
    assert dreamed(tmp_path / "one", "noise.png") == dreamed(tmp_path / "two", "noise.png")
    assert dreamed(tmp_path / "one", "noise.png") != dreamed(tmp_path / "three", "noise.png")


NO_SIZE = ["", "48", "48x", "48x31", "-48x40", "4e1x40", "20000x20000", "48X40", "9" * 5000 + "x40"]


@pytest.mark.parametrize("size", NO_SIZE)
def test_noise_of_no_size(size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = f"noise:{size}"
    said = f"'{photos}' is not noise:WIDTHxHEIGHT, like noise:320x240, of at least 32 px a side and at most 100000000"
    is_refused(run(photos, tmp_path / "out"), capsys, said)
    assert not (tmp_path / "out").exists()


def test_noise_overwrites_dreams_but_no_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("noise:48x40", tmp_path) == 0
    assert run("noise:48x40", tmp_path) == 0
    Image.new("RGB", (40, 40)).save(tmp_path / "noise.png")
    before = (tmp_path / "noise.png").read_bytes()
    is_refused(run("noise:48x40", tmp_path), capsys, "noise.png' was not written by dreamgan")
    assert (tmp_path / "noise.png").read_bytes() == before


def test_a_printed_recipe_is_a_recipe(
    make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = make_photos("a.png")
    flags = ["--objective", "l2(block_2_add) - 0.1*tv()", "--step_size", "0.02"]
    assert run(photos, tmp_path / "out", *flags, "--print_recipe", "true") == 0
    captured = capsys.readouterr()
    assert not (tmp_path / "out").exists()
    assert captured.err == ""
    fields = yaml.safe_load(captured.out)
    assert fields["objective"] == "l2(block_2_add) - 0.1*tv()"
    assert (fields["name"], fields["steps"], fields["step_size"]) == ("distillable", [1], [0.02])

    (tmp_path / "printed.yaml").write_text(captured.out)
    assert run(photos, tmp_path / "one", *flags) == 0
    assert run(photos, tmp_path / "two", "--recipe", str(tmp_path / "printed.yaml")) == 0
    assert dreamed(tmp_path / "one") == dreamed(tmp_path / "two")
    assert info(tmp_path / "one" / "a.png") == info(tmp_path / "two" / "a.png")


def test_a_recipe_in_a_file_and_flags_beside_it(make_photos: MakePhotos, tmp_path: Path) -> None:
    (tmp_path / "soft.yaml").write_text("recipe: google\nstep_size: 1e-3\nobjective: mean(block_2_add)\n")
    photos = make_photos("a.png")
    assert run(photos, tmp_path / "out", "--recipe", str(tmp_path / "soft.yaml"), "--layers", "block_4_add") == 0
    said = info(tmp_path / "out" / "a.png")
    fields = json.loads(said["recipe_json"])
    assert said["recipe"] == fields["name"] == "soft"
    assert (fields["step_size"], fields["objective"], fields["shift_px"]) == ([0.001], "mean(block_4_add)", 32)
