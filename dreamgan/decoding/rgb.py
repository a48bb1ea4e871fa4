"""A file's bytes to upright 8-bit RGB, band by band: no step holds more than two pictures in memory."""

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile

from dreamgan.decoding.budget import Budget
from dreamgan.decoding.limits import MAX_FILE_BYTES, MAX_MEMORY_BYTES, MeteredFile, check_cost
from dreamgan.decoding.quiet import NO_WARNINGS
from dreamgan.errors import UserError

# Pillow can open some forty formats; only these are tried on files of unknown origin. MPO, which phones write
# as .jpg, comes with JPEG.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_RGB_LIKE_MODES = frozenset({"RGB", "RGBA", "RGBX", "RGBa", "P", "PA"})
_BAND_PIXELS = 4_000_000
_MAX_EXIF_BYTES = 1_000_000
# Photos are read by several threads, on machines that may hold one large picture but not eight.
_MEMORY = Budget(MAX_MEMORY_BYTES)
# EXIF orientation -> what turns the stored picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class LoadedImage:
    """A picture from a file, made uniform.

    Attributes:
        picture: mode RGB, 8 bits per channel, upright.
        icc_profile: the file's RGB colour profile, to be kept in what is made of the picture; None if none.
        notes: what a person should know about the conversion, one line each.
    """

    picture: Image.Image
    icc_profile: bytes | None
    notes: tuple[str, ...]


def decode(raw: io.RawIOBase | io.BytesIO, size_bytes: int) -> LoadedImage:
    """Decode a picture; `dreamgan.images.load_image` says how, and is what others should call.

    Args:
        raw: the file, at its start; it is closed in the end.
        size_bytes: its length.

    Returns:
        The picture, its RGB profile if any, and notes.

    Raises:
        UserError: for a file that is empty, too small or too costly (`dreamgan.decoding.limits`).
        Exception: nearly any, as Pillow raises them for broken files.
    """
    if size_bytes == 0:
        raise UserError("is empty (0 bytes)")
    if size_bytes > MAX_FILE_BYTES:
        raise UserError(f"is {size_bytes} bytes long, more than {MAX_FILE_BYTES}: save it compressed or smaller")
    notes: list[str] = []
    with NO_WARNINGS, MeteredFile(raw) as file, Image.open(file, formats=_FORMATS) as opened:
        _read_metadata(opened)
        memory_bytes = check_cost(opened, file, size_bytes)
        file.stop_metering()
        with _MEMORY.take(memory_bytes):
            if _has_more_frames(opened):
                notes.append("first of several frames taken")
            opened.load()
            orientation = _orientation(opened, notes)
            icc_profile = _rgb_profile(opened, notes)
            rgb = to_rgb(opened, notes)
            # Frees its pixels before the next copy is made.
            opened.close()
            if orientation in _UPRIGHT:
                rgb = rgb.transpose(_UPRIGHT[orientation])
    return LoadedImage(rgb, icc_profile, tuple(notes))


def _read_metadata(opened: ImageFile.ImageFile) -> None:
    """Read what Pillow would read of a TIFF after its pixels, while the file is still metered."""
    if opened.format != "TIFF":
        return
    try:
        exif = opened.getexif()
        for folder in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop):
            exif.get_ifd(folder)
    except UserError:
        raise
    except Exception:
        # Broken, which is no reason to refuse the picture.
        return


def _has_more_frames(opened: ImageFile.ImageFile) -> bool:
    # Not `n_frames`: counting the frames of a GIF or a TIFF goes over the whole file.
    try:
        return bool(getattr(opened, "is_animated", False))
    except Exception:
        # There is a second frame, but it is broken.
        return True


def _orientation(opened: ImageFile.ImageFile, notes: list[str]) -> int:
    if len(opened.info.get("exif", b"")) <= _MAX_EXIF_BYTES:
        # Broken EXIF data around a sound picture is common, and no reason to refuse the picture.
        with contextlib.suppress(Exception):
            return int(opened.getexif().get(ExifTags.Base.Orientation, 1))
    notes.append("EXIF data unreadable: orientation not applied")
    return 1


def _rgb_profile(picture: Image.Image, notes: list[str]) -> bytes | None:
    """Give the embedded ICC profile if it still describes the RGB values that we hand out."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode == "CMYK":
        return None
    if picture.mode in _RGB_LIKE_MODES and _colour_space(profile) == "RGB":
        return bytes(profile)
    notes.append("ICC profile dropped: it does not describe RGB")
    return None


def _colour_space(profile: bytes) -> str:
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space.strip()
    except (OSError, ValueError, TypeError):
        return "unreadable"


def to_rgb(picture: Image.Image, notes: list[str]) -> Image.Image:
    """Convert a picture of any mode to RGB.

    Args:
        picture: W x H px, in any mode that Pillow reads from a file.
        notes: where to say what a person should know.

    Returns:
        Mode RGB, W x H px, without metadata.

    Raises:
        UserError: if it is grey of 32 bits or floating, beyond its range.
    """
    convert = _converter(picture, notes)
    # A new picture, also of RGB: Pillow would write what it finds in `info` into the next file.
    rgb = Image.new("RGB", picture.size)
    for box in _bands(picture.size):
        rgb.paste(convert(picture.crop(box)), box[:2])
    return rgb


def _bands(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    width, height = size
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)


def _converter(picture: Image.Image, notes: list[str]) -> Callable[[Image.Image], Image.Image]:
    mode = picture.mode
    if mode == "CMYK":
        return _cmyk_converter(picture, notes)
    if mode == "I" or mode.startswith("I;16"):
        return _grey_converter(picture, white=65535.0, kind="32-bit grey")
    if mode == "F":
        return _grey_converter(picture, white=1.0, kind="floating grey")
    if mode in ("La", "RGBa") or picture.has_transparency_data:
        return _over_white
    return lambda band: band.convert("RGB")


def _over_white(picture: Image.Image) -> Image.Image:
    # Premultiplied modes convert to RGBA only by way of their plain twin.
    plain = picture.convert("LA") if picture.mode == "La" else picture
    layer = plain.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _cmyk_converter(picture: Image.Image, notes: list[str]) -> Callable[[Image.Image], Image.Image]:
    profile = picture.info.get("icc_profile")
    if profile:
        if _colour_space(profile) == "CMYK":
            with contextlib.suppress(ImageCms.PyCMSError):
                return ImageCms.buildTransform(io.BytesIO(profile), ImageCms.createProfile("sRGB"), "CMYK", "RGB").apply
        notes.append("CMYK converted without its profile, which could not be used")
    return lambda band: band.convert("RGB")


def _grey_converter(picture: Image.Image, *, white: float, kind: str) -> Callable[[Image.Image], Image.Image]:
    ranges = []
    for box in _bands(picture.size):
        values = np.asarray(picture.crop(box))
        ranges.append((values.min(), values.max()))
    low, high = float(np.min(ranges)), float(np.max(ranges))
    # Written so that nan, too, is refused.
    if not (low >= 0.0 and high <= white):
        raise UserError(
            f"is {kind} with values in [{low:g}, {high:g}], expected [0, {white:g}]: save it as 8 or 16 bit"
        )
    return partial(_scale_grey, white=white)


def _scale_grey(picture: Image.Image, *, white: float) -> Image.Image:
    values = np.asarray(picture).astype(np.float64)
    return Image.fromarray(np.rint(values * (255.0 / white)).astype(np.uint8)).convert("RGB")
