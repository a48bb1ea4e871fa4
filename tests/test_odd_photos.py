"""Odd but sound photos, one by one: each comes out with the pixels that a person would see."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from dreamgan.decoding import rgb
from dreamgan.images import load_image
from tests.bad_contents import harmless_files
from tests.handmade import (
    DATA,
    PNG_START,
    Tag,
    bmp,
    chunk,
    encoded,
    interlaced_rows,
    jpeg_parts,
    one_strip,
    png,
    tiff,
    tiff_tags,
)

# Red, green, blue and what has no simple name, for files of few colours.
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 100, 40))


def levels(picture: Image.Image) -> NDArray[np.int64]:
    return np.asarray(picture).astype(np.int64)


def loaded_levels(content: bytes) -> NDArray[np.int64]:
    loaded = load_image(content)
    assert loaded.picture.mode == "RGB"
    assert loaded.notes == ()
    return levels(loaded.picture)


def stripes(colours: tuple[tuple[int, ...], ...] = COLOURS) -> NDArray[np.int64]:
    """40x36 px: columns of 10 px, each of one colour, the last 4 rows in the reverse order."""
    row = np.repeat(np.array(colours), 40 // len(colours), axis=0)
    return np.stack([row] * 32 + [row[::-1]] * 4)


def palette_numbers(count: int = 4) -> NDArray[np.uint8]:
    """The numbers of the colours of `stripes`."""
    return stripes(tuple((number,) for number in range(count)))[..., 0].astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "I;16", "F", "CMYK"])
def test_bands_leave_no_seams(photo: Image.Image, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = {"I;16": levels(photo.convert("L")).astype(np.uint16) * 257, "F": np.float32(levels(photo)[..., 0] / 255)}
    picture = Image.fromarray(deep[mode]) if mode in deep else photo.convert(mode)
    if mode in ("RGBA", "LA"):
        picture.putalpha(photo.getchannel("G"))
    content = encoded(picture, "TIFF")
    whole = loaded_levels(content)
    # Bands of 5 rows, the last of 3; of one row, where a row is longer than a band should be.
    for pixels in (5 * photo.width + 7, 10):
        monkeypatch.setattr(rgb, "_BAND_PIXELS", pixels)
        assert (loaded_levels(content) == whole).all()


# --- JPEG ---


def test_cmyk_as_adobe_writes_it() -> None:
    # Inverted, and said so by an Adobe segment: Pillow writes it as Adobe does.
    inks = stripes(((0, 255, 255, 0), (255, 0, 0, 0), (0, 0, 0, 255), (30, 60, 90, 20)))
    content = encoded(Image.fromarray(inks.astype(np.uint8), "CMYK"), "JPEG", quality=100)
    assert any(part[:2] == b"\xff\xee" and b"Adobe" in part for part in jpeg_parts(content))
    found = loaded_levels(content)[10]
    for x, colour in {5: (255, 0, 0), 15: (0, 255, 255), 25: (0, 0, 0)}.items():
        assert np.abs(found[x] - colour).max() <= 4
    assert np.abs(found[35] - (np.array([225, 195, 165]) * 235 / 255)).max() <= 6


def test_ycck() -> None:
    # Luma and chroma of the inks' complement, inverted by Pillow as it writes; then said to be what it is.
    cyan_light = (255 - 179, 255 - 171, 255 - 1, 0)
    content = encoded(Image.new("CMYK", (40, 40), cyan_light), "JPEG", quality=100)
    parts = [part[:-1] + b"\2" if part[:2] == b"\xff\xee" else part for part in jpeg_parts(content)]
    assert np.abs(loaded_levels(b"".join(parts)) - (255, 0, 0)).max() <= 4


def test_grey_jpeg(photo: Image.Image) -> None:
    grey = photo.convert("L")
    found = loaded_levels(encoded(grey, "JPEG", quality=100))
    assert np.abs(found - levels(grey)[..., None]).max() <= 3


@pytest.mark.parametrize(
    "options",
    [{"progressive": True}, {"restart_marker_blocks": 1}, {"restart_marker_rows": 1}, {"optimize": True}],
    ids=["progressive", "restart-blocks", "restart-rows", "own-codes"],
)
def test_other_ways_to_write_a_jpeg(photo: Image.Image, options: dict[str, Any]) -> None:
    plain = loaded_levels(encoded(photo, "JPEG", quality=90))
    content = encoded(photo, "JPEG", quality=90, **options)
    assert content != encoded(photo, "JPEG", quality=90)
    assert (loaded_levels(content) == plain).all()


def test_a_jpeg_amid_other_things(photo: Image.Image) -> None:
    content = encoded(photo, "JPEG")
    plain = loaded_levels(content)
    # A film behind the picture, in which what looks like markers comes up thousands of times.
    film = b"\xff\xda\0\x08" * 5000
    assert (loaded_levels(content + film) == plain).all()
    thumbnail = encoded(photo.resize((16, 12)), "JPEG", progressive=True) * 20
    segment = b"\xff\xe3" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    assert (loaded_levels(content[:2] + segment + content[2:]) == plain).all()
    comment = b"\xff\xfe\0\x06two\n"
    assert (loaded_levels(content[:2] + comment + b"\xff\xff\xff" + content[2:]) == plain).all()


def test_scans_of_one_channel_each(photo: Image.Image) -> None:
    # Not progressive, and yet in several scans: each channel is all of the grey picture.
    grey = [
        part
        for part in jpeg_parts(encoded(photo.convert("L"), "JPEG", quality=100))
        if part[:2] not in (b"\xff\xe0", b"\xff\xd9")
    ]
    frame = next(part for part in grey if part[1] == 0xC0)
    scan = next(part for part in grey if part[1] == 0xDA)
    channels = b"".join(bytes([number, 0x11, 0]) for number in b"RGB")
    three = frame[:2] + struct.pack(">H", 17) + frame[4:9] + b"\3" + channels
    scans = [scan[:5] + bytes([number]) + scan[6:] for number in b"RGB"]
    others = [part for part in grey if part not in (frame, scan)]
    content = b"".join([*others, three, *scans]) + b"\xff\xd9"
    assert np.abs(loaded_levels(content) - levels(photo.convert("L"))[..., None]).max() <= 3


# --- PNG ---


def test_interlaced_png(photo: Image.Image) -> None:
    content = png(*photo.size, interlaced_rows(photo), interlaced=True)
    assert (loaded_levels(content) == levels(photo)).all()


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_of_few_bits(bits: int) -> None:
    number = palette_numbers(2 if bits == 1 else 4)
    packed = np.packbits(np.unpackbits(number[..., None], axis=-1)[..., 8 - bits :].reshape(36, -1), axis=-1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    grey = loaded_levels(png(40, 36, rows, bits=bits, colour=0))
    assert (grey == (number.astype(int) * 255 // (2**bits - 1))[..., None]).all()
    palette = chunk(b"PLTE", bytes(np.array(COLOURS, np.uint8)[: 2**bits]))
    assert (loaded_levels(png(40, 36, rows, bits=bits, colour=3, before=palette)) == np.array(COLOURS)[number]).all()


def test_palette_with_alpha_of_every_colour() -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in palette_numbers())
    palette = chunk(b"PLTE", bytes(np.array(COLOURS, np.uint8))) + chunk(b"tRNS", bytes([255, 0, 128]))
    found = loaded_levels(png(40, 36, rows, colour=3, before=palette))[5]
    assert tuple(found[5]) == (255, 0, 0)
    assert tuple(found[15]) == (255, 255, 255)
    assert np.abs(found[25] - (127, 127, 255)).max() <= 1
    assert tuple(found[35]) == COLOURS[3]


@pytest.mark.parametrize("colour", [4, 6], ids=["grey", "colour"])
def test_16_bits_with_alpha(colour: int) -> None:
    channels = 2 if colour == 4 else 4
    pixel = np.array([0x4000, 0x8000, 0xC000][: channels - 1], ">u2")
    halves = [np.append(pixel, alpha).astype(">u2").tobytes() * 20 for alpha in (0xFFFF, 0)]
    found = loaded_levels(png(40, 36, (b"\0" + b"".join(halves)) * 36, bits=16, colour=colour))
    expected = [64, 64, 64] if colour == 4 else [64, 128, 192]
    assert np.abs(found[:, :20] - expected).max() <= 1
    assert (found[:, 20:] == 255).all()


def test_pixels_in_many_chunks_with_others_around_them(photo: Image.Image) -> None:
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in np.asarray(photo)))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *photo.size, 8, 2, 0, 0, 0))
    pieces = b"".join(chunk(b"IDAT", rows[start : start + 7]) for start in range(0, len(rows), 7))
    around = chunk(b"gAMA", struct.pack(">I", 45455)), chunk(b"tIME", bytes(7)), chunk(b"prVt", b"whatever")
    content = PNG_START + header + around[0] + around[2] + pieces + chunk(b"IDAT") + around[1] + chunk(b"IEND")
    assert (loaded_levels(content) == levels(photo)).all()
    assert (loaded_levels(content + b"behind the end") == levels(photo)).all()


def test_the_still_of_an_animated_png_comes_first() -> None:
    still, moving = Image.new("RGB", (40, 36), "red"), [Image.new("RGB", (40, 36), "blue")] * 2
    content = encoded(still, "PNG", save_all=True, append_images=moving, default_image=True)
    loaded = load_image(content)
    assert (levels(loaded.picture) == (255, 0, 0)).all()
    assert loaded.notes == ("first of several frames taken",)


# --- GIF ---


def test_interlaced_gif(photo: Image.Image) -> None:
    palette = photo.quantize(16)
    content = encoded(palette, "GIF", interlace=1)
    assert content != encoded(palette, "GIF", interlace=0)
    assert (loaded_levels(content) == levels(palette.convert("RGB"))).all()


def test_a_frame_that_does_not_fill_its_gif() -> None:
    frame = Image.new("P", (20, 36), 1)
    frame.putpalette([0, 0, 200, 200, 0, 0])
    content = encoded(frame, "GIF", optimize=False)
    start = content.index(b",\0\0\0\0")
    # A canvas of twice the width, the frame in its right half; colour 0, which is the rest, is transparent.
    canvas = content[:6] + struct.pack("<HH", 40, 36) + content[10:start] + b"!\xf9\4\1\0\0\0\0"
    found = loaded_levels(canvas + b"," + struct.pack("<HH", 20, 0) + content[start + 5 :])
    assert found.shape == (36, 40, 3)
    assert (found[:, :20] == 255).all()
    assert (found[:, 20:] == (200, 0, 0)).all()


def test_a_palette_of_the_frame_overrides_that_of_the_gif() -> None:
    picture = Image.fromarray(palette_numbers())
    picture.putpalette([7, 7, 7] * 4)
    content = encoded(picture, "GIF", optimize=False)
    start = content.index(b",\0\0\0\0")
    flags = content[start + 9] | 0x81
    content = content[: start + 9] + bytes([flags]) + bytes(np.array(COLOURS, np.uint8)) + content[start + 10 :]
    assert (loaded_levels(content) == stripes()).all()


# --- BMP ---


def rows_up(rows: NDArray[np.uint8]) -> bytes:
    """Rows from the last to the first, each filled up to a multiple of 4 bytes."""
    return b"".join(row.tobytes().ljust(-(-row.nbytes // 4) * 4, b"\0") for row in rows[::-1])


BMP_PALETTE = b"".join(bytes([blue, green, red, 0]) for red, green, blue in COLOURS)


def test_bmp_from_the_top_down() -> None:
    bgr = np.ascontiguousarray(stripes()[..., ::-1].astype(np.uint8))
    assert (loaded_levels(bmp(40, 36, 24, rows_up(bgr))) == stripes()).all()
    assert (loaded_levels(bmp(40, -36, 24, rows_up(bgr[::-1]))) == stripes()).all()


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_bmp_with_a_palette(bits: int) -> None:
    number = palette_numbers(2 if bits == 1 else 4)
    packed = np.packbits(np.unpackbits(number[..., None], axis=-1)[..., 8 - bits :].reshape(36, -1), axis=-1)
    content = bmp(40, 36, bits, rows_up(packed), palette=BMP_PALETTE[: 4 * 2**bits])
    assert (loaded_levels(content) == np.array(COLOURS)[number]).all()


@pytest.mark.parametrize(("masks", "shifts"), [((), (10, 5, 0)), ((0xF800, 0x7E0, 0x1F), (11, 5, 0))])
def test_bmp_of_16_bits(masks: tuple[int, ...], shifts: tuple[int, int, int]) -> None:
    widths = [5, 6 if masks else 5, 5]
    parts = [
        (stripes()[..., channel] >> (8 - width) << shift).astype("<u2")
        for channel, (width, shift) in enumerate(zip(widths, shifts, strict=True))
    ]
    content = bmp(40, 36, 16, rows_up(sum(parts).view(np.uint8)), compression=3 if masks else 0, masks=masks)  # type: ignore[union-attr]
    assert np.abs(loaded_levels(content) - stripes()).max() <= 8


def test_bmp_of_32_bits() -> None:
    bgrx = np.concatenate([stripes()[..., ::-1], np.zeros((36, 40, 1), np.int64)], axis=-1).astype(np.uint8)
    # Without masks, the fourth byte says nothing.
    assert (loaded_levels(bmp(40, 36, 32, rows_up(bgrx))) == stripes()).all()
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    assert (loaded_levels(bmp(40, 36, 32, rows_up(bgrx), compression=3, masks=masks)) == 255).all()
    bgrx[..., 3] = 255
    assert (loaded_levels(bmp(40, 36, 32, rows_up(bgrx), compression=3, masks=masks)) == stripes()).all()


def test_bmp_of_runs() -> None:
    # Each row is four runs of 10 px, then its end; with 4 bits, the byte of a run holds two colours.
    for compression, bits, step in ((1, 8, 1), (2, 4, 17)):
        row = b"".join(bytes([10, step * number]) for number in (0, 1, 2, 3)) + b"\0\0"
        reverse = b"".join(bytes([10, step * number]) for number in (3, 2, 1, 0)) + b"\0\0"
        runs = reverse * 4 + row * 32 + b"\0\1"
        content = bmp(40, 36, bits, runs, compression=compression, palette=BMP_PALETTE)
        assert (loaded_levels(content) == stripes()).all()


# --- TIFF ---


def stored(pixels: NDArray[Any]) -> bytes:
    return np.ascontiguousarray(pixels).tobytes()


# Pillow does not read the fourth, a BigTIFF of the big-endian byte order.
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)], ids=["II", "MM", "II-big"])
def test_tiff_of_each_byte_order_and_size(order: str, big: bool) -> None:
    content = tiff(
        [*tiff_tags(40, 36, samples=3, colour=2), *one_strip(36, 4320)],
        stored(stripes().astype(np.uint8)),
        order=order,
        big=big,
    )
    assert (loaded_levels(content) == stripes()).all()


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("deflated", [False, True], ids=["raw", "deflated"])
def test_tiff_of_16_bits_per_channel(order: str, deflated: bool) -> None:
    data = stored((stripes() * 257).astype(f"{order}u2"))
    data = zlib.compress(data) if deflated else data
    tags = tiff_tags(40, 36, bits=16, samples=3, colour=2, compression=8 if deflated else 1)
    found = loaded_levels(tiff([*tags, *one_strip(36, len(data))], data, order=order))
    assert np.abs(found - stripes()).max() <= 1


@pytest.mark.parametrize("deflated", [False, True], ids=["raw", "deflated"])
def test_tiff_in_tiles_that_stand_over(deflated: bool) -> None:
    canvas = np.zeros((48, 64, 3), np.uint8)
    canvas[:36, :40] = stripes()
    tiles = [stored(canvas[y : y + 16, x : x + 32]) for y in range(0, 48, 16) for x in range(0, 64, 32)]
    tiles = [zlib.compress(tile) for tile in tiles] if deflated else tiles
    starts = np.cumsum([0, *map(len, tiles)])[:-1]
    tags = tiff_tags(40, 36, samples=3, colour=2, compression=8 if deflated else 1)
    where: list[Tag] = [(322, 3, [32]), (323, 3, [16]), (324, 4, [(DATA, int(start)) for start in starts])]
    content = tiff([*tags, *where, (325, 4, [len(tile) for tile in tiles])], b"".join(tiles))
    assert (loaded_levels(content) == stripes()).all()


@pytest.mark.parametrize("deflated", [False, True], ids=["raw", "deflated"])
def test_tiff_with_each_channel_for_itself(deflated: bool) -> None:
    planes = [stored(stripes()[..., channel].astype(np.uint8)) for channel in range(3)]
    planes = [zlib.compress(plane) for plane in planes] if deflated else planes
    starts = np.cumsum([0, *map(len, planes)])[:-1]
    tags = [*tiff_tags(40, 36, samples=3, colour=2, compression=8 if deflated else 1), (284, 3, [2]), (278, 4, [36])]
    where: list[Tag] = [(273, 4, [(DATA, int(start)) for start in starts]), (279, 4, [len(plane) for plane in planes])]
    assert (loaded_levels(tiff([*tags, *where], b"".join(planes))) == stripes()).all()


def test_tiff_with_strips_in_disorder() -> None:
    strips = [stored(stripes()[top : top + 6].astype(np.uint8)) for top in range(0, 36, 6)]
    starts = [(DATA, 720 * place) for place in range(5, -1, -1)]
    where: list[Tag] = [(273, 4, starts), (278, 4, [6]), (279, 4, [720] * 6)]
    content = tiff([*tiff_tags(40, 36, samples=3, colour=2), *where], b"".join(reversed(strips)))
    assert (loaded_levels(content) == stripes()).all()


def test_tiff_in_which_white_is_zero() -> None:
    grey = palette_numbers() * 60
    content = tiff([*tiff_tags(40, 36, colour=0), *one_strip(36, 1440)], stored(grey))
    assert (loaded_levels(content) == 255 - grey[..., None].astype(int)).all()


def test_tiff_with_a_palette_of_16_bits() -> None:
    palette = np.zeros((3, 256), np.int64)
    palette[:, :4] = np.array(COLOURS).T * 257
    tags = [*tiff_tags(40, 36, colour=3), (320, 3, palette.ravel().tolist()), *one_strip(36, 1440)]
    assert (loaded_levels(tiff(tags, stored(palette_numbers()))) == stripes()).all()


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "CMYK"])
def test_compressed_tiff(photo: Image.Image, compression: str, mode: str) -> None:
    picture = photo.quantize(16) if mode == "P" else photo.convert(mode)
    found = loaded_levels(encoded(picture, "TIFF", compression=compression))
    assert np.abs(found - levels(picture.convert("RGB"))).max() == 0


def test_fax(photo: Image.Image) -> None:
    two = photo.convert("1")
    for compression in ("group3", "group4"):
        assert (loaded_levels(encoded(two, "TIFF", compression=compression)) == levels(two.convert("RGB"))).all()


def test_jpeg_inside_a_tiff(photo: Image.Image) -> None:
    found = loaded_levels(encoded(photo, "TIFF", compression="jpeg", quality=95))
    assert np.abs(found - levels(photo)).mean() < 6


# Pillow does not read the fourth, premultiplied grey.
@pytest.mark.parametrize(("samples", "kind"), [(2, 2), (4, 2), (4, 1)], ids=["grey", "colour", "premultiplied"])
def test_tiff_with_alpha(samples: int, kind: int) -> None:
    colour = np.array([100] if samples == 2 else [200, 100, 40])
    half = np.array([*(colour * 128 // 255 if kind == 1 else colour), 128])
    clear = np.array([*(colour * 0 if kind == 1 else colour), 0])
    pixels = np.stack([np.stack([half] * 20 + [clear] * 20)] * 36).astype(np.uint8)
    tags = [*tiff_tags(40, 36, samples=samples, colour=1 if samples == 2 else 2), (338, 3, [kind])]
    content = tiff([*tags, *one_strip(36, pixels.nbytes)], stored(pixels))
    found = loaded_levels(content)
    assert np.abs(found[:, :20] - (255 + (colour - 255) * 128 / 255)).max() <= 2
    assert (found[:, 20:] == 255).all()


def test_palette_and_alpha() -> None:
    palette = np.zeros((3, 256), np.int64)
    palette[:, :4] = np.array(COLOURS).T * 257
    pixels = np.stack([palette_numbers(), np.full((36, 40), 255, np.uint8)], axis=-1)
    pixels[:, 20:, 1] = 0
    tags = [*tiff_tags(40, 36, samples=2, colour=3), (338, 3, [2]), (320, 3, palette.ravel().tolist())]
    found = loaded_levels(tiff([*tags, *one_strip(36, 2880)], stored(pixels)))
    assert (found[:, :20] == stripes()[:, :20]).all()
    assert (found[:, 20:] == 255).all()


# --- EXIF ---


def exif_of(entries: list[Tag], next_page: int = 0) -> bytes:
    return b"Exif\0\0" + tiff(entries, next_page=next_page)


ON_ITS_SIDE: Tag = (0x0112, 3, [6])
BROKEN_EXIF: dict[str, tuple[bytes, bool]] = {
    "circle": (exif_of([ON_ITS_SIDE], next_page=8), True),
    "exif-folder-is-its-own": (exif_of([ON_ITS_SIDE, (34665, 4, [8])]), True),
    "gps-folder-outside": (exif_of([ON_ITS_SIDE, (34853, 4, [10**6])]), True),
    "gps-folder-is-its-own": (exif_of([ON_ITS_SIDE, (34853, 4, [8])]), True),
    "tag-of-unknown-type": (exif_of([ON_ITS_SIDE])[:-6].replace(b"\x12\x01\x03\0", b"\x12\x01\x63\0"), False),
    "orientation-9": (exif_of([(0x0112, 3, [9])]), False),
    "orientation-0": (exif_of([(0x0112, 3, [0])]), False),
    "text": (b"Exif\0\0no such thing", False),
    "only-a-start": (b"Exif\0\0MM\0\x2a", False),
    "nothing": (b"Exif\0\0", False),
    "folder-outside": (b"Exif\0\0MM\0\x2a\xff\xff\xff\xff", False),
    "cut": (exif_of([(0x010F, 2, list(b"a maker of cameras\0")), (0x9999, 7, [0] * 99)])[:60], False),
}


@pytest.mark.parametrize("name", BROKEN_EXIF)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_around_sound_pixels(photo: Image.Image, kind: str, name: str) -> None:
    exif, turned = BROKEN_EXIF[name]
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "PNG": {},
        "WEBP": {"lossless": True},
    }
    loaded = load_image(encoded(photo, kind, exif=exif, **options[kind])).picture
    upright = photo.transpose(Image.Transpose.ROTATE_270) if turned else photo
    assert loaded.size == upright.size
    assert np.abs(levels(loaded) - levels(upright)).max() <= (8 if kind == "JPEG" else 0)


@pytest.mark.parametrize("tag", [(34665, 4, [8]), (34853, 4, [10**6]), (34853, 4, [8]), (33432, 2, list(b"\xff\xfe"))])
def test_broken_exif_in_a_tiff(tag: Tag) -> None:
    tags = [*tiff_tags(40, 36, samples=3, colour=2), *one_strip(36, 4320), tag]
    assert (loaded_levels(tiff(tags, stored(stripes().astype(np.uint8)))) == stripes()).all()


def test_exif_data_out_of_all_proportion(photo: Image.Image) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.MakerNote] = bytes(1_100_000)
    loaded = load_image(encoded(photo, "PNG", exif=exif))
    assert (levels(loaded.picture) == levels(photo)).all()
    assert loaded.notes == ("EXIF data unreadable: orientation not applied",)


# --- names ---


@pytest.mark.parametrize(
    "name",
    ["wrong.jpg", "SHOUTED.PNG", "none", f"{'x' * 251}.png", "two\nlines.png", "夢.png", "spaces  and 'quotes'.png"],
    ids=["wrong", "upper-case", "none", "long", "newline", "unicode", "spaces"],
)
def test_the_name_does_not_matter(photo: Image.Image, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(encoded(photo, "PNG"))
    assert (levels(load_image(path).picture) == levels(photo)).all()


# --- what might be taken for a bomb ---


@pytest.mark.parametrize("name", harmless_files())
def test_harmless_files_are_read(name: str) -> None:
    assert (levels(load_image(harmless_files()[name]).picture) == (255, 0, 0)).all()
