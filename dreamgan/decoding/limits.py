"""What a file may cost to decode, looked up in its header before a pixel is decoded.

Everybody who hands us files decides what stands in them. A file of some kilobytes may stand for gigabytes of pixels
or for hours of work, in many ways; those that are known are refused here. No picture costs more than
`MAX_MEMORY_BYTES`, whatever its format: where a decoder needs more bytes per pixel than others do, fewer pixels are
allowed.
"""

import io
import re
import struct
from typing import Any

from PIL import ImageFile

from dreamgan.errors import UserError

MIN_SIDE_PX = 32
MAX_PIXELS = 100_000_000
# Holds 100 million pixels of 3 bytes, stored raw.
MAX_FILE_BYTES = 320_000_000
# Thumbnails, depth maps and layers stand here, besides camera data and colour profiles.
MAX_METADATA_BYTES = 16_000_000
MAX_MEMORY_BYTES = 2**30
# Common progressive files have 10 scans. Every scan goes over all pixels, even if it is a few bytes long.
MAX_JPEG_SCANS = 100
# Pillow keeps a Python object or two for the smallest piece of metadata that it reads.
_SMALLEST_READ_BYTES = 64
# A JPEG marker: not the escaped 0xFF of pixel data (00), not a restart inside a scan (D0 to D7), not filling (FF).
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_TOO_MUCH_METADATA = f"has more than {MAX_METADATA_BYTES} bytes of metadata: save it without"
_JPEG_START, _JPEG_END, _JPEG_SCAN, _JPEG_NOTHING = 0xD8, 0xD9, 0xDA, 0x01


class MeteredFile(io.BufferedReader):
    """A file that refuses to be read on and on by one who has not yet told the size of the picture in it.

    Pillow keeps all metadata in memory, as Python objects that may be much larger than their bytes.
    """

    def __init__(self, raw: Any) -> None:
        super().__init__(raw)
        self._bytes_left: int | None = MAX_METADATA_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as any file does.

        Raises:
            UserError: if that is more metadata than a sound picture has.
        """
        content = super().read(size)
        # Without a size: WebP files are read as a whole, and are then priced by their length.
        if self._bytes_left is not None and size is not None and size >= 0:
            self._bytes_left -= max(len(content), _SMALLEST_READ_BYTES)
            if self._bytes_left < 0:
                raise UserError(_TOO_MUCH_METADATA)
        return content

    def stop_metering(self) -> None:
        """Let all be read that is left."""
        self._bytes_left = None


def check_cost(opened: ImageFile.ImageFile, file: MeteredFile, size_bytes: int) -> int:
    """Refuse a picture that is too small or costs too much; nothing but its header needs to have been read.

    Args:
        opened: as Pillow opened it.
        file: where it comes from; its position is kept.
        size_bytes: the length of the file.

    Returns:
        What it costs to decode, in bytes of memory, at most `MAX_MEMORY_BYTES`.

    Raises:
        UserError: what is too small or too large, without the name of the file.
    """
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise UserError(f"is {width}x{height} px, more than {MAX_PIXELS} pixels: shrink it first")
    if min(width, height) < MIN_SIDE_PX:
        raise UserError(f"is {width}x{height} px: each side must be at least {MIN_SIDE_PX} px")
    position = file.tell()
    # Pillow holds 4 bytes per pixel, and so does the RGB picture that is made of it.
    memory_bytes = 8 * width * height
    if opened.format in ("JPEG", "MPO"):
        memory_bytes = max(memory_bytes, _jpeg_memory(opened, file))
    elif opened.format == "TIFF":
        memory_bytes = max(memory_bytes, _tiff_memory(opened))
    elif opened.format == "WEBP":
        memory_bytes = max(memory_bytes, _webp_memory(opened, size_bytes))
    elif opened.format == "PNG":
        _check_png_metadata(file, size_bytes)
    file.seek(position)
    if memory_bytes > MAX_MEMORY_BYTES:
        raise UserError(
            f"is {width}x{height} px and, being {opened.format}, would take {memory_bytes / 2**20:.0f} MiB of memory, "
            f"more than {MAX_MEMORY_BYTES / 2**20:.0f} MiB: shrink it first"
        )
    return memory_bytes


def _jpeg_memory(opened: ImageFile.ImageFile, file: MeteredFile) -> int:
    file.seek(0)
    scans = _channels_of_scans(file.read())
    if len(scans) > MAX_JPEG_SCANS:
        raise UserError(f"has {len(scans)} scans, more than {MAX_JPEG_SCANS}: save it anew")
    channels = len(opened.getbands())
    # Unless one scan brings all, the 16-bit coefficients of all channels are kept until the end.
    kept_bytes = 2 * channels if opened.info.get("progressive") or scans != [channels] else 0
    return (4 + kept_bytes) * opened.width * opened.height


def _channels_of_scans(content: bytes) -> list[int]:
    """Find the scans of a JPEG file's first picture, and how many channels each brings.

    Thumbnails stand inside of segments, further pictures and films behind the end: they do not count.
    """
    scans: list[int] = []
    position = 2
    while found := _JPEG_MARKER.search(content, position):
        position = found.end()
        marker = content[position - 1]
        if marker == _JPEG_END:
            break
        if marker in (_JPEG_START, _JPEG_NOTHING):
            continue
        if marker == _JPEG_SCAN:
            scans += content[position + 2 : position + 3]
        position += int.from_bytes(content[position : position + 2], "big")
    return scans


def _tiff_memory(opened: ImageFile.ImageFile) -> int:
    tags: Any = opened.tag_v2  # type: ignore[attr-defined]
    width, height = tags[256], tags[257]
    bits = sum(tags.get(258, (1,))) if tags.get(262) != 6 else 64  # YCbCr goes by way of RGBA
    block_width, block_height = tags.get(322, width), tags.get(323, min(tags.get(278, height), height))
    if not all(isinstance(side, int) and side > 0 for side in (block_width, block_height)):
        raise UserError("cannot be decoded: its tiles have no size")
    # Tiles stand over at the right and below, and are decoded all the same.
    whole_px = -(-width // block_width) * block_width * -(-height // block_height) * block_height
    if whole_px > 2 * MAX_PIXELS:
        raise UserError(
            f"is {width}x{height} px in tiles of {block_width}x{block_height} px, {whole_px} pixels in all, more than "
            f"{2 * MAX_PIXELS}: save it with smaller tiles"
        )
    # Pillow turns the picture upright before it lets go of the block.
    copies = 1 if tags.get(274, 1) == 1 else 2
    memory_bytes: int = copies * 4 * width * height + block_width * block_height * bits // 8
    return memory_bytes


def _webp_memory(opened: ImageFile.ImageFile, size_bytes: int) -> int:
    # Two canvases of the decoder, its frame, Pillow's copy of that and our RGB; and two copies of the file.
    return 20 * opened.width * opened.height + 2 * size_bytes


def _check_png_metadata(file: MeteredFile, size_bytes: int) -> None:
    """Refuse a PNG with too much metadata behind its pixels: Pillow would read that, too, into memory."""
    metadata_bytes, position = 0, 8
    while position + 8 <= size_bytes:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        position += 12 + length
        if kind == b"IEND" or position > size_bytes:
            return
        if kind not in (b"IDAT", b"fdAT", b"fcTL"):
            metadata_bytes += max(length, _SMALLEST_READ_BYTES)
        if metadata_bytes > MAX_METADATA_BYTES:
            raise UserError(_TOO_MUCH_METADATA)
