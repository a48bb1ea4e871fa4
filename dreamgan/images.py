"""Pictures in and out, value ranges and checks: the one home of all of them.

Two forms of a picture go round in this package: a Pillow picture (RGB, 8 bit, upright) and a tensor `images_unit` in
[0, 1]. Files come in by `load_image`.
"""

import io
import os
import stat
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from dreamgan.decoding import MAX_PIXELS as MAX_PIXELS
from dreamgan.decoding import MIN_SIDE_PX as MIN_SIDE_PX
from dreamgan.decoding import LoadedImage as LoadedImage
from dreamgan.decoding import decode
from dreamgan.errors import UserError
from dreamgan.files import whole_file

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})

_NO_METADATA: Mapping[str, str] = MappingProxyType({})


def load_image(source: Path | str | bytes, *, name: str | None = None) -> LoadedImage:
    """Read a picture from a file, or from a file's bytes, as upright 8-bit RGB.

    CMYK is converted with its embedded profile where it has one, 16-bit grey is scaled (65535 is white),
    alpha is laid over white, EXIF orientation is applied, and of an animated or multi-page file the first
    frame is taken (a note says so). 32-bit integer grey counts as 16 bit and is refused beyond 65535;
    floating grey is taken for [0, 1] and refused beyond that: neither has a white point of its own.

    Args:
        source: the file, or its content.
        name: what errors call the picture; the path if not given.

    Returns:
        The picture, its RGB profile if any, and notes.

    Raises:
        UserError: naming the file and the cause, if it is missing, unreadable, not a picture of a known
            format, truncated, smaller than `MIN_SIDE_PX` on a side, larger than `MAX_PIXELS`, or would cost more
            than a gibibyte of memory or much time (`dreamgan.decoding.limits`).
    """
    label = name or ("the picture" if isinstance(source, bytes) else f"'{source}'")
    try:
        if isinstance(source, bytes):
            return decode(io.BytesIO(source), len(source))
        source = Path(source)
        status = source.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UserError("is a folder, not a picture")
        if not stat.S_ISREG(status.st_mode):
            raise UserError("is not a regular file")
        with source.open("rb", buffering=0) as raw:
            return decode(raw, status.st_size)
    except FileNotFoundError:
        cause = "does not exist"
    except PermissionError:
        cause = "may not be read: permission denied"
    except UserError as error:
        cause = str(error)
    except UnidentifiedImageError:
        cause = "is not a picture of a known format (JPEG, PNG, WebP, BMP, TIFF, GIF)"
    except Image.DecompressionBombError:
        cause = f"has more than {MAX_PIXELS} pixels: shrink it first"
    except Exception as error:
        # Pillow's decoders answer broken files with nearly every exception there is (OSError, SyntaxError,
        # ValueError, struct.error, EOFError, MemoryError, ...); only here do all of them mean a broken file.
        cause = f"cannot be decoded: {error or type(error).__name__}"
        if isinstance(error, OSError) and error.strerror:
            # Pillow's own have no such text, those of the system have: a loop of links, a disk that fails.
            cause = f"cannot be read: {error.strerror}"
    raise UserError(_one_line(f"{label} {cause}"))


def _one_line(text: str) -> str:
    """Make one line of what Pillow or the system says, and of file names, which may hold anything."""
    return " ".join("".join(map(_visible, text)).split())


def _visible(character: str) -> str:
    # Cc: control characters; Cs: bytes of a file name that are no text; Zl, Zp: ends of lines and of paragraphs.
    odd = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    return character.encode("unicode_escape").decode() if odd else character


def list_images(path: Path) -> list[Path]:
    """List the pictures at a path: a file itself, or every picture file in a folder and its subfolders.

    Whether a file holds what its suffix says is for `load_image` to find out.

    Args:
        path: a file of any suffix, or a folder; in a folder, suffixes in `IMAGE_SUFFIXES` (any case) count,
            and hidden files and folders do not.

    Returns:
        At least one path, in the order of their names.

    Raises:
        UserError: if nothing is at the path, or the folder holds no picture.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise UserError(f"'{path}' does not exist: name a picture or a folder of pictures") from None
    except (OSError, ValueError) as error:
        raise UserError(_one_line(f"'{path}' cannot be read: {error}")) from None
    if not stat.S_ISDIR(mode):
        return [path]
    if not os.access(path, os.R_OK | os.X_OK):
        raise UserError(f"'{path}' may not be read: permission denied")
    found = [
        candidate
        for candidate in path.rglob("*")
        if candidate.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in candidate.relative_to(path).parts)
        and not candidate.is_dir()
    ]
    if not found:
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        raise UserError(f"no picture in folder '{path}': it needs files with one of the suffixes {suffixes}")
    return sorted(found, key=lambda candidate: candidate.relative_to(path).parts)


def to_unit(picture: Image.Image) -> Tensor:
    """Turn a picture into a tensor.

    Args:
        picture: mode RGB, W x H px.

    Returns:
        (3, H, W), float32, in [0, 1]: exactly k / 255.

    Raises:
        ValueError: if the picture is not RGB.
    """
    if picture.mode != "RGB":
        raise ValueError(f"picture must be RGB, got mode {picture.mode!r}: read files with load_image")
    levels = torch.from_numpy(np.array(picture, dtype=np.uint8))
    return levels.permute(2, 0, 1).to(torch.float32).div_(255.0).contiguous()


def to_picture(image_unit: Tensor) -> Image.Image:
    """Turn a tensor into a picture, rounding to the nearest of the 256 levels and clamping to them.

    Args:
        image_unit: (3, H, W), floating, finite, nominally in [0, 1].

    Returns:
        Mode RGB, W x H px.

    Raises:
        ValueError: if the shape or dtype is another, or a value is not finite.
    """
    if image_unit.ndim != 3 or image_unit.shape[0] != 3 or not image_unit.is_floating_point():
        raise ValueError(f"image must be floating (3, H, W), got {tuple(image_unit.shape)}, {image_unit.dtype}")
    if not bool(image_unit.isfinite().all()):
        raise ValueError("image has values that are not finite")
    levels = _to_levels(image_unit.detach()).to(torch.uint8)
    return Image.fromarray(levels.permute(1, 2, 0).contiguous().cpu().numpy())


def as_saved(images_unit: Tensor) -> Tensor:
    """Give the values that an 8-bit file of these images would hold.

    Args:
        images_unit: any shape, floating, nominally in [0, 1].

    Returns:
        The same shape, k / 255 in [0, 1]; float64 for float64, else float32 (half precision cannot hold the
        levels).
    """
    return _to_levels(images_unit) / 255.0


def _to_levels(images_unit: Tensor) -> Tensor:
    wide = images_unit if images_unit.dtype == torch.float64 else images_unit.to(torch.float32)
    return (wide.clamp(0.0, 1.0) * 255.0).round()


def check_images(images: Tensor, what: str = "images") -> None:
    """Check a batch at the boundary of the package.

    Args:
        images: (B, 3, H, W), floating, finite, in [0, 1].
        what: what errors call it.

    Raises:
        ValueError: if any of that does not hold; one line with what was found.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"{what} must be (B, 3, H, W), got {tuple(images.shape)}")
    if images.numel() == 0:
        raise ValueError(f"{what} must not be empty, got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise ValueError(f"{what} must be floating, in [0, 1], got {images.dtype}: divide bytes by 255")
    if not bool(images.isfinite().all()):
        raise ValueError(f"{what} must be finite, got nan or infinity")
    low, high = float(images.min()), float(images.max())
    if low < 0.0 or high > 1.0:
        raise ValueError(f"{what} must be in [0, 1], got [{low:g}, {high:g}]")


def save_png(
    picture: Image.Image,
    path: Path,
    *,
    metadata: Mapping[str, str] = _NO_METADATA,
    icc_profile: bytes | None = None,
) -> None:
    """Write a PNG under a temporary name, then rename it: the path never holds half a file.

    Args:
        picture: mode RGB.
        path: where to write; missing folders are made, an existing file is replaced.
        metadata: text chunks, each under the keyword `dreamgan:<key>`; keys in Latin-1, values any text.
        icc_profile: colour profile to embed.

    Raises:
        ValueError: if the picture is not RGB or a key does not fit a PNG keyword (70 characters, Latin-1).
        UserError: if the path cannot be written.
    """
    if picture.mode != "RGB":
        raise ValueError(f"picture must be RGB, got mode {picture.mode!r}")
    chunks = PngInfo()
    for key, value in metadata.items():
        keyword = f"dreamgan:{key}"
        if len(keyword) > 79 or not all(" " <= c <= "~" or "\xa1" <= c <= "\xff" for c in keyword):
            raise ValueError(f"metadata key {key!r} does not fit a PNG keyword")
        chunks.add_text(keyword, value)
    try:
        with whole_file(path) as temporary, temporary.open("xb") as stream:
            # Explicit: left out, Pillow would take profile and transparency from the picture's own info.
            picture.save(stream, "PNG", pnginfo=chunks, icc_profile=icc_profile, transparency=None)
    except OSError as error:
        raise UserError(_one_line(f"'{path}' cannot be written: {error.strerror or error}")) from error


def shrink_to(picture: Image.Image, max_side_px: int) -> Image.Image:
    """Shrink a picture (Lanczos) so that its longer side is at most `max_side_px`; never enlarge it.

    Raises:
        ValueError: if `max_side_px` is below 1.
    """
    if max_side_px < 1:
        raise ValueError(f"max_side_px must be at least 1, got {max_side_px}")
    longer = max(picture.size)
    if longer <= max_side_px:
        return picture
    width, height = (max(1, round(side * max_side_px / longer)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def square_crop(picture: Image.Image, size_px: int) -> Image.Image:
    """Cut the centred square out of a picture and scale it (Lanczos) so that the shorter side is `size_px`.

    Raises:
        ValueError: if `size_px` is below 1.
    """
    if size_px < 1:
        raise ValueError(f"size_px must be at least 1, got {size_px}")
    side = min(picture.size)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    # Scaling the whole, then cropping, gives the same, but a very long picture would not fit into memory.
    square = (left, top, left + side, top + side)
    return picture.resize((size_px, size_px), Image.Resampling.LANCZOS, box=square)


def sheet(rows: Sequence[Sequence[Image.Image]], columns: Sequence[str]) -> Image.Image:
    """Lay pictures out in a table with a label over each column, for people to look at.

    Args:
        rows: at least one row, each with one RGB picture per column; sizes may differ, pictures are centred.
        columns: the labels.

    Returns:
        One RGB picture on white.

    Raises:
        ValueError: if there is no row or no column, or a row has another length than `columns`.
    """
    if not rows or not columns:
        raise ValueError(f"sheet needs rows and columns, got {len(rows)} and {len(columns)}")
    for index, row in enumerate(rows):
        if len(row) != len(columns):
            raise ValueError(f"row {index} has {len(row)} pictures for {len(columns)} columns")
    margin, label_height = 8, 24
    font = ImageFont.load_default(size=14)
    widths = [
        max(*(row[column].width for row in rows), int(font.getlength(label)) + 1)
        for column, label in enumerate(columns)
    ]
    heights = [max(picture.height for picture in row) for row in rows]
    lefts = [margin + sum(widths[:column]) + margin * column for column in range(len(widths))]
    tops = [margin + label_height + sum(heights[:row]) + margin * row for row in range(len(heights))]
    canvas = Image.new("RGB", (lefts[-1] + widths[-1] + margin, tops[-1] + heights[-1] + margin), "white")
    draw = ImageDraw.Draw(canvas)
    for left, width, label in zip(lefts, widths, columns, strict=True):
        draw.text((left + width / 2, margin), label, fill="black", font=font, anchor="ma")
    for top, height, row in zip(tops, heights, rows, strict=True):
        for left, width, picture in zip(lefts, widths, row, strict=True):
            canvas.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
    return canvas
