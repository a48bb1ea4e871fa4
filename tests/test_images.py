import io
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from dreamgan import images
from dreamgan.decoding import limits
from dreamgan.decoding.rgb import to_rgb
from dreamgan.errors import UserError
from dreamgan.images import load_image
from tests.handmade import encoded, grey_press_profile, one_strip, png, tiff, tiff_tags

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# Orientation tag -> what turns the upright picture into the one that is stored under that tag.
STORED_AS: dict[int, Callable[[Image.Image], Image.Image]] = {
    1: lambda p: p,
    2: ImageOps.mirror,
    3: lambda p: p.transpose(Image.Transpose.ROTATE_180),
    4: ImageOps.flip,
    5: lambda p: p.transpose(Image.Transpose.TRANSPOSE),
    6: lambda p: p.transpose(Image.Transpose.ROTATE_90),
    7: lambda p: p.transpose(Image.Transpose.TRANSVERSE),
    8: lambda p: p.transpose(Image.Transpose.ROTATE_270),
}


def values(picture: Image.Image) -> NDArray[np.int64]:
    return np.asarray(picture).astype(np.int64)


def difference(one: Image.Image, other: Image.Image) -> float:
    assert one.size == other.size
    return float(np.abs(values(one) - values(other)).max())


def gradient_16bit() -> NDArray[np.uint16]:
    return np.tile(np.linspace(0, 65535, 256).round().astype(np.uint16), (40, 1))


# --- odd but sound ---


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_lossless_rgb_comes_back_as_it_was(photo: Image.Image, kind: str) -> None:
    loaded = load_image(encoded(photo, kind))
    assert loaded.picture.mode == "RGB"
    assert difference(loaded.picture, photo) == 0
    assert loaded.notes == ()
    assert loaded.icc_profile is None


@pytest.mark.parametrize(("kind", "options"), [("JPEG", {"quality": 95}), ("WEBP", {"quality": 95})])
def test_lossy_rgb_comes_back_nearly(photo: Image.Image, kind: str, options: dict[str, int]) -> None:
    loaded = load_image(encoded(photo, kind, **options)).picture
    assert np.abs(values(loaded) - values(photo)).mean() < 6


def test_a_path_does_as_bytes_do(photo: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(photo, "PNG"))
    assert difference(load_image(path).picture, photo) == 0


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_keeps_its_colours(kind: str) -> None:
    red = Image.new("CMYK", (48, 40), (0, 255, 255, 0))
    red.paste((255, 0, 0, 0), (24, 0, 48, 40))
    loaded = load_image(encoded(red, kind)).picture
    assert loaded.mode == "RGB"
    assert np.allclose(values(loaded)[20, 8], (255, 0, 0), atol=12)
    assert np.allclose(values(loaded)[20, 40], (0, 255, 255), atol=12)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_uses_its_profile(kind: str) -> None:
    picture = Image.new("CMYK", (48, 40), (0, 255, 255, 0))
    picture.paste((255, 0, 255, 255), (24, 0, 48, 40))
    loaded = load_image(encoded(picture, kind, icc_profile=grey_press_profile()))
    # L* = 50 is level 119 of sRGB.
    assert np.allclose(values(loaded.picture)[20, 8], 119, atol=2)
    assert np.allclose(values(loaded.picture)[20, 40], 0, atol=2)
    assert loaded.icc_profile is None
    assert loaded.notes == ()


def test_cmyk_with_a_broken_profile_is_converted_all_the_same() -> None:
    picture = Image.new("CMYK", (48, 40), (0, 255, 255, 0))
    loaded = load_image(encoded(picture, "TIFF", icc_profile=b"no profile"))
    assert loaded.picture.getpixel((5, 5)) == (255, 0, 0)
    assert loaded.notes == ("CMYK converted without its profile, which could not be used",)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    loaded = load_image(encoded(Image.fromarray(gradient_16bit()), kind)).picture
    assert loaded.mode == "RGB"
    assert np.abs(values(loaded) - np.arange(256)[None, :, None]).max() <= 1


def test_16_bit_grey_big_endian() -> None:
    pixels = gradient_16bit().astype(">u2").tobytes()
    content = tiff([*tiff_tags(256, 40, bits=16), *one_strip(40, len(pixels))], pixels, order=">")
    loaded = load_image(content).picture
    assert np.abs(values(loaded) - np.arange(256)[None, :, None]).max() <= 1


def test_16_bit_colour_png() -> None:
    # Red rises, green falls, blue is half.
    rise = np.linspace(0, 65535, 64).round().astype(">u2")
    row = np.stack([rise, rise[::-1], np.full(64, 32896, ">u2")], axis=-1).astype(">u2").tobytes()
    loaded = values(load_image(png(64, 40, (b"\0" + row) * 40, bits=16)).picture)
    expected = np.stack([np.linspace(0, 255, 64), np.linspace(255, 0, 64), np.full(64, 128)], axis=-1)
    assert np.abs(loaded - expected).max() <= 1


def test_32_bit_integer_grey_counts_as_16_bit() -> None:
    loaded = load_image(encoded(Image.fromarray(gradient_16bit().astype(np.int32)), "TIFF")).picture
    assert np.abs(values(loaded) - np.arange(256)[None, :, None]).max() <= 1


def test_floating_grey_in_the_unit_range() -> None:
    grey = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (40, 1))
    loaded = load_image(encoded(Image.fromarray(grey), "TIFF")).picture
    assert np.abs(values(loaded) - np.arange(256)[None, :, None]).max() <= 1


def test_black_and_white(photo: Image.Image) -> None:
    two = photo.convert("1")
    loaded = load_image(encoded(two, "PNG")).picture
    assert loaded.mode == "RGB"
    assert (values(loaded)[..., 1] == 255 * np.asarray(two)).all()
    assert set(np.unique(values(loaded))) == {0, 255}


def test_grey(photo: Image.Image) -> None:
    grey = photo.convert("L")
    loaded = values(load_image(encoded(grey, "PNG")).picture)
    assert (loaded == np.asarray(grey)[..., None]).all()


def test_palette(photo: Image.Image) -> None:
    palette = photo.quantize(16)
    assert difference(load_image(encoded(palette, "PNG")).picture, palette.convert("RGB")) == 0


def test_palette_with_a_transparent_colour_is_laid_over_white() -> None:
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([200, 0, 0, 0, 0, 200])
    palette.paste(1, (20, 0, 40, 40))
    for kind in ("PNG", "GIF"):
        loaded = load_image(encoded(palette, kind, transparency=0)).picture
        assert loaded.getpixel((5, 5)) == (255, 255, 255)
        assert loaded.getpixel((30, 5)) == (0, 0, 200)


@pytest.mark.parametrize(("mode", "colour", "key"), [("L", 90, 90), ("RGB", (9, 8, 7), (9, 8, 7))])
def test_a_transparent_key_colour_is_laid_over_white(mode: str, colour: Any, key: Any) -> None:
    picture = Image.new(mode, (40, 40), colour)
    picture.paste(30 if mode == "L" else (30, 30, 30), (20, 0, 40, 40))
    loaded = load_image(encoded(picture, "PNG", transparency=key))
    assert loaded.picture.getpixel((5, 5)) == (255, 255, 255)
    assert loaded.picture.getpixel((30, 5)) == (30, 30, 30)
    assert "transparency" not in loaded.picture.info


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_laid_over_white(kind: str) -> None:
    picture = Image.new("RGBA", (60, 40), (200, 40, 0, 255))
    picture.paste((200, 40, 0, 128), (20, 0, 40, 40))
    picture.paste((200, 40, 0, 0), (40, 0, 60, 40))
    loaded = load_image(encoded(picture, kind, **({"lossless": True} if kind == "WEBP" else {}))).picture
    assert loaded.getpixel((5, 5)) == (200, 40, 0)
    half = [round(255 + (c - 255) * 128 / 255) for c in (200, 40, 0)]
    assert np.allclose(values(loaded)[5, 30], half, atol=1)
    assert loaded.getpixel((50, 5)) == (255, 255, 255)


def test_grey_with_alpha() -> None:
    picture = Image.new("LA", (40, 40), (100, 0))
    picture.paste((100, 255), (20, 0, 40, 40))
    loaded = load_image(encoded(picture, "PNG")).picture
    assert loaded.getpixel((5, 5)) == (255, 255, 255)
    assert loaded.getpixel((30, 5)) == (100, 100, 100)


@pytest.mark.parametrize("mode", ["La", "RGBa"])
def test_premultiplied_alpha(mode: str) -> None:
    # Of the formats that Pillow writes, TIFF alone holds RGBa and none holds La: the conversion by itself.
    plain = Image.new("LA" if mode == "La" else "RGBA", (40, 40), (100, 128) if mode == "La" else (100, 50, 0, 128))
    rgb = to_rgb(plain.convert(mode), [])
    expected = to_rgb(plain, [])
    assert rgb.mode == "RGB"
    assert difference(rgb, expected) <= 2
    assert values(expected)[0, 0, 0] == 177


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_exif_orientation_is_applied_once(photo: Image.Image, kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    stored = STORED_AS[orientation](photo)
    if kind == "JPEG":
        options = {"quality": 100, "subsampling": 0}
    loaded = load_image(encoded(stored, kind, exif=exif, **options)).picture
    assert loaded.size == photo.size
    assert difference(loaded, photo) <= (8 if kind == "JPEG" else 0)
    assert "exif" not in loaded.info


def test_broken_exif_is_no_reason_to_refuse(photo: Image.Image) -> None:
    loaded = load_image(encoded(photo, "PNG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff"))
    assert difference(loaded.picture, photo) == 0


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "MPO"])
def test_the_first_of_several_frames_is_taken_and_said(kind: str) -> None:
    # Pillow 11 writes broken MPO files of more than two.
    frames = [Image.new("RGB", (40, 36), colour) for colour in ("red", "blue", "lime")][: 2 if kind == "MPO" else 3]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    loaded = load_image(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert np.allclose(values(loaded.picture)[10, 10], (255, 0, 0), atol=3)
    assert loaded.notes == ("first of several frames taken",)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_an_rgb_profile_is_kept(photo: Image.Image, kind: str) -> None:
    loaded = load_image(encoded(photo, kind, icc_profile=SRGB))
    assert loaded.icc_profile == SRGB
    assert loaded.notes == ()


@pytest.mark.parametrize("profile", [b"no profile at all", SRGB[:60]], ids=["text", "cut"])
def test_a_broken_profile_is_dropped_and_said(photo: Image.Image, profile: bytes) -> None:
    loaded = load_image(encoded(photo, "PNG", icc_profile=profile))
    assert loaded.icc_profile is None
    assert loaded.notes == ("ICC profile dropped: it does not describe RGB",)


def test_a_profile_that_no_longer_fits_is_dropped(photo: Image.Image) -> None:
    assert load_image(encoded(photo.convert("L"), "TIFF", icc_profile=SRGB)).icc_profile is None
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert load_image(encoded(photo, "PNG", icc_profile=lab)).icc_profile is None


def test_real_photos(shared_dir: Path) -> None:
    paths = images.list_images(shared_dir / "natural_images")[:5]
    for path in paths:
        assert min(load_image(path).picture.size) >= images.MIN_SIDE_PX


# --- refused ---


def refusal(source: Path | bytes, name: str | None = None) -> str:
    with pytest.raises(UserError) as caught:  # noqa: PT011 - the message is checked by the callers
        load_image(source, name=name)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "is empty"),
        (b"just some text\nin two lines\n", "not a picture of a known format"),
        (b"\xff\xd8\xff\xe0", "not a picture|cannot be decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n", "not a picture of a known format"),
        (png(60_000, 60_000, b"0"), "pixels"),
        (png(10_000, 10_001, b"0"), "10000x10001 px"),
        (png(40, 40, b"0"), "cannot be decoded"),
    ],
    ids=["empty", "text", "start", "postscript", "bomb", "too-large", "no-pixels"],
)
def test_broken_files_are_refused_by_name(content: bytes, cause: str, tmp_path: Path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=cause) as caught:
        load_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "row 7" in refusal(content, name="row 7")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.9])
def test_truncated_files_are_refused(photo: Image.Image, kind: str, share: float) -> None:
    content = encoded(photo.resize((320, 240)), kind)
    assert load_image(content).picture.size == (320, 240)
    assert "cut.jpg" in refusal(content[: int(share * len(content))], name="cut.jpg")


def test_a_bomb_in_a_text_chunk_is_refused(photo: Image.Image) -> None:
    chunks = PngInfo()
    chunks.add_text("comment", "x" * 80_000_000, zip=True)
    assert "cannot be decoded" in refusal(encoded(photo, "PNG", pnginfo=chunks))


@pytest.mark.parametrize("size", [(1, 1), (31, 200), (200, 31)])
def test_tiny_pictures_are_refused(size: tuple[int, int]) -> None:
    assert f"{size[0]}x{size[1]} px" in refusal(encoded(Image.new("RGB", size), "PNG"))


def test_the_smallest_side_is_allowed() -> None:
    assert load_image(encoded(Image.new("RGB", (32, 33)), "PNG")).picture.size == (32, 33)


def test_the_size_limit_is_ours(photo: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(photo, "PNG")
    monkeypatch.setattr(limits, "MAX_PIXELS", 64 * 48)
    # Pillow's own limit is lower than ours and would only warn here.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    assert load_image(content).picture.size == (64, 48)
    monkeypatch.setattr(limits, "MAX_PIXELS", 64 * 48 - 1)
    assert "64x48 px" in refusal(content)


@pytest.mark.parametrize("top", [70_000, -5])
def test_integer_grey_without_a_white_point_is_refused(top: int) -> None:
    grey = np.zeros((40, 40), np.int32)
    grey[0, 0] = top
    assert f"{top}" in refusal(encoded(Image.fromarray(grey), "TIFF"))


@pytest.mark.parametrize("top", [1.5, -0.1, float("nan")])
def test_floating_grey_beyond_the_unit_range_is_refused(top: float) -> None:
    grey = np.zeros((40, 40), np.float32)
    grey[0, 0] = top
    assert "floating grey" in refusal(encoded(Image.fromarray(grey), "TIFF"))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "x.jpg"
    folder.mkdir()
    assert refusal(folder) == f"'{folder}' is a folder, not a picture"
    missing = tmp_path / "gone.jpg"
    assert refusal(missing) == f"'{missing}' does not exist"
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    assert refusal(pipe) == f"'{pipe}' is not a regular file"


def test_an_unreadable_file_is_refused(photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(photo, "PNG"))

    # The tests may run as a user whom no permission stops.
    def deny(self: Path, *args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", deny)
    assert refusal(path) == f"'{path}' may not be read: permission denied"


# --- folders ---


def test_list_images_finds_pictures_in_order(tmp_path: Path) -> None:
    names = [
        "b/2.PNG",
        "b/1.jpeg",
        "a.tif",
        "c.gif",
        ".hidden/x.png",
        "b/.y.png",
        "notes.txt",
        "d.jpg/in.webp",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in images.list_images(tmp_path)]
    assert found == ["a.tif", "b/1.jpeg", "b/2.PNG", "c.gif", "d.jpg/in.webp"]


def test_list_images_works_inside_a_hidden_folder(tmp_path: Path) -> None:
    folder = tmp_path / ".photos"
    folder.mkdir()
    (folder / "a.jpg").touch()
    assert images.list_images(folder) == [folder / "a.jpg"]


def test_list_images_takes_a_file_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "scan.unknown"
    file.touch()
    assert images.list_images(file) == [file]


def test_list_images_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone' does not exist"):
        images.list_images(tmp_path / "gone")
    with pytest.raises(UserError, match=r"no picture in folder .*\.jpeg"):
        images.list_images(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        images.list_images(tmp_path / ("x" * 3000))


# --- values ---


def test_to_unit_and_back_is_exact() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Image.fromarray(np.stack([levels, levels.T, 255 - levels], axis=-1))
    unit = images.to_unit(picture)
    assert unit.shape == (3, 16, 16)
    assert unit.dtype == torch.float32
    assert unit.is_contiguous()
    assert unit[0, 0, 5] == 5 / 255
    assert unit[2, 0, 0] == 1.0
    assert difference(images.to_picture(unit), picture) == 0


def test_to_picture_rounds_and_clamps() -> None:
    row = torch.tensor([-0.3, 0.49 / 255, 0.51 / 255, 200.4 / 255, 200.6 / 255, 1.7])
    picture = images.to_picture(row.expand(3, 2, 6))
    assert values(picture)[0, :, 0].tolist() == [0, 0, 1, 200, 201, 255]


def test_forms_that_are_no_picture_are_refused(photo: Image.Image) -> None:
    with pytest.raises(ValueError, match="mode 'L'"):
        images.to_unit(photo.convert("L"))
    with pytest.raises(ValueError, match="floating"):
        images.to_picture(torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match="uint8"):
        images.to_picture(torch.zeros(3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match="finite"):
        images.to_picture(torch.full((3, 4, 4), float("nan")))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_as_saved_is_what_a_file_holds(dtype: torch.dtype, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = (torch.rand(2, 3, 40, 36, generator=generator) * 1.2 - 0.1).to(dtype)
    saved = images.as_saved(batch)
    assert saved.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    for index, image in enumerate(batch):
        path = tmp_path / f"{index}.png"
        images.save_png(images.to_picture(image), path)
        assert torch.equal(images.to_unit(load_image(path).picture), saved[index].float())


def test_check_images_passes_good_ones() -> None:
    images.check_images(torch.rand(2, 3, 5, 4))
    images.check_images(torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2).expand(1, 3, 1, 2))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (torch.rand(3, 5, 4), r"photos must be \(B, 3, H, W\), got \(3, 5, 4\)"),
        (torch.rand(2, 4, 5, 4), r"got \(2, 4, 5, 4\)"),
        (torch.rand(0, 3, 5, 4), "empty"),
        (torch.zeros(1, 3, 5, 4, dtype=torch.uint8), "uint8"),
        (torch.full((1, 3, 5, 4), float("nan")), "finite"),
        (torch.full((1, 3, 5, 4), 1.01), r"got \[1.01, 1.01\]"),
        (torch.full((1, 3, 5, 4), -0.5), r"got \[-0.5, -0.5\]"),
    ],
)
def test_check_images_says_what_is_wrong(batch: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        images.check_images(batch, "photos")


# --- files out ---


def test_save_png_round_trip(photo: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "new" / "dream.png"
    metadata = {"recipe": "gordic", "layers": '{"relu4_3": 1.0}', "note": "Träume, 夢"}
    images.save_png(photo, path, metadata=metadata, icc_profile=SRGB)
    loaded = load_image(path)
    assert difference(loaded.picture, photo) == 0
    assert loaded.icc_profile == SRGB
    with Image.open(path) as opened:
        opened.load()
        text = getattr(opened, "text", {})
    assert text == {f"dreamgan:{key}": value for key, value in metadata.items()}
    assert list(path.parent.iterdir()) == [path]


def test_save_png_takes_nothing_from_the_pictures_own_info(photo: Image.Image, tmp_path: Path) -> None:
    photo.info.update(icc_profile=SRGB, transparency=(20, 40, 90))
    path = tmp_path / "plain.png"
    images.save_png(photo, path)
    with Image.open(path) as opened:
        assert "icc_profile" not in opened.info
        assert "transparency" not in opened.info


def test_save_png_leaves_nothing_behind_when_writing_fails(
    photo: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dream.png"
    path.write_bytes(b"the one before")

    def disk_full(self: Image.Image, stream: io.BufferedWriter, *args: object, **options: object) -> None:
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", disk_full)
    with pytest.raises(UserError, match=r"dream\.png' cannot be written: No space left on device"):
        images.save_png(photo, path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"the one before"


def test_save_png_over_a_folder_is_refused(photo: Image.Image, tmp_path: Path) -> None:
    (tmp_path / "dream.png").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        images.save_png(photo, tmp_path / "dream.png")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        images.save_png(photo, tmp_path / "file" / "dream.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dream.png", "file"]


@pytest.mark.parametrize("key", ["x" * 71, "夢", "two\nlines"])
def test_save_png_refuses_keys_that_do_not_fit(photo: Image.Image, tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="PNG keyword"):
        images.save_png(photo, tmp_path / "dream.png", metadata={key: "value"})
    with pytest.raises(ValueError, match="mode 'L'"):
        images.save_png(photo.convert("L"), tmp_path / "dream.png")
    assert not list(tmp_path.iterdir())


# --- sizes and sheets ---


def test_shrink_to(photo: Image.Image) -> None:
    assert images.shrink_to(photo, 64) is photo
    assert images.shrink_to(photo, 32).size == (32, 24)
    assert images.shrink_to(photo.transpose(Image.Transpose.ROTATE_90), 32).size == (24, 32)
    assert images.shrink_to(Image.new("RGB", (500, 2)), 50).size == (50, 1)
    with pytest.raises(ValueError, match="max_side_px"):
        images.shrink_to(photo, 0)


def test_square_crop_takes_the_centre() -> None:
    picture = Image.new("RGB", (120, 40), "blue")
    picture.paste((255, 0, 0), (40, 0, 80, 40))
    for turned in (picture, picture.transpose(Image.Transpose.ROTATE_90)):
        crop = images.square_crop(turned, 80)
        assert crop.size == (80, 80)
        assert (values(crop)[6:-6, 6:-6] == (255, 0, 0)).all()
        whole = turned.resize((turned.width * 2, turned.height * 2), Image.Resampling.LANCZOS)
        left, top = (whole.width - 80) // 2, (whole.height - 80) // 2
        assert difference(crop, whole.crop((left, top, left + 80, top + 80))) <= 1
    with pytest.raises(ValueError, match="size_px"):
        images.square_crop(picture, 0)


def test_square_crop_of_the_same_size_changes_nothing(photo: Image.Image) -> None:
    assert difference(images.square_crop(photo, 48), photo.crop((8, 0, 56, 48))) == 0


def test_sheet_shows_every_picture_under_its_label() -> None:
    colours = [[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (9, 9, 9)]]
    rows = [[Image.new("RGB", (50 + 10 * i, 40), colour) for colour in row] for i, row in enumerate(colours)]
    page = images.sheet(rows, ["photo", "a label longer than the picture"])
    pixels = values(page).reshape(-1, 3)
    for i, row in enumerate(colours):
        for colour in row:
            assert (pixels == colour).all(axis=1).sum() >= (50 + 10 * i) * 40
    assert page.getpixel((0, 0)) == (255, 255, 255)
    # Ink of the labels: dark pixels above the first row of pictures.
    top = values(page)[: 8 + 24]
    assert (top.max(axis=-1) < 128).sum() > 50


def test_sheet_refuses_uneven_rows(photo: Image.Image) -> None:
    with pytest.raises(ValueError, match="row 1 has 1 pictures for 2 columns"):
        images.sheet([[photo, photo], [photo]], ["a", "b"])
    with pytest.raises(ValueError, match="got 0 and 1"):
        images.sheet([], ["a"])


def test_threads_that_load_pictures_leave_the_warning_filters_as_they_were(photo: Image.Image, tmp_path: Path) -> None:
    photo.save(tmp_path / "a.png")
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(load_image, [tmp_path / "a.png"] * 400))
    assert list(warnings.filters) == before
