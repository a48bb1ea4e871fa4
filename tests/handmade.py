"""Picture files written byte by byte: what Pillow cannot write, or would not."""

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

PNG_START = b"\x89PNG\r\n\x1a\n"
DATA = "data"
"""As a TIFF tag's value: where the data begin."""

Tag = tuple[int, int, Sequence[Any]]
"""A TIFF tag: number, type, values."""

_TIFF_TYPES = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 7: "B", 16: "Q"}
# First column and row, and steps, of the seven passes.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int,
    height: int,
    pixels: bytes,
    *,
    bits: int = 8,
    colour: int = 2,
    interlaced: bool = False,
    deflated: bool = False,
    before: bytes = b"",
    after: bytes = b"",
) -> bytes:
    """A PNG of filtered rows, with further chunks before and after its pixels.

    Args:
        width: px.
        height: px.
        pixels: rows as PNG filters them.
        bits: per channel.
        colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
        interlaced: whether the rows are those of `interlaced_rows`.
        deflated: whether they have been compressed already.
        before: chunks.
        after: chunks.
    """
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    data = chunk(b"IDAT", pixels if deflated else zlib.compress(pixels, 9))
    return PNG_START + chunk(b"IHDR", header) + before + data + after + chunk(b"IEND")


def interlaced_rows(picture: Image.Image) -> bytes:
    """The rows of a picture, unfiltered, in the order of Adam7."""
    rows = b""
    for left, top, step_x, step_y in _ADAM7:
        for y in range(top, picture.height, step_y):
            row = picture.crop((0, y, picture.width, y + 1)).tobytes()
            size = len(row) // picture.width
            rows += b"\0" + b"".join(row[x * size : (x + 1) * size] for x in range(left, picture.width, step_x))
    return rows


def zeros_deflated(count: int) -> bytes:
    """So many zero bytes, as a zlib stream, without ever holding them all."""
    squeeze = zlib.compressobj(9)
    block = bytes(1 << 20)
    parts = [squeeze.compress(block[: min(count - done, 1 << 20)]) for done in range(0, count, 1 << 20)]
    return b"".join(parts) + squeeze.flush()


def tiff(
    tags: Iterable[Tag],
    data: bytes = b"",
    *,
    order: str = "<",
    big: bool = False,
    next_page: int = 0,
) -> bytes:
    """A TIFF of one page: header, tags, their values, data.

    Args:
        tags: (number, type, values); among the values, `DATA` or (`DATA`, bytes further on) stands for an offset.
        data: what stands at the end.
        order: "<" or ">".
        big: whether it is a BigTIFF.
        next_page: the offset of the next page.
    """
    tags = sorted(tags, key=lambda tag: tag[0])
    word, entry_size, inline = ("Q", 20, 8) if big else ("I", 12, 4)
    start = struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8)
    start = (b"II" if order == "<" else b"MM") + start + struct.pack(order + ("Q" if big else "H"), len(tags))
    values_at = len(start) + entry_size * len(tags) + inline

    def packed(kind: int, values: Sequence[Any], data_at: int) -> bytes:
        plain = [data_at if value == DATA else value for value in values]
        plain = [data_at + value[1] if isinstance(value, tuple) else value for value in plain]
        return struct.pack(f"{order}{len(plain)}{_TIFF_TYPES[kind]}", *plain)

    # The first pass only finds out how long all values are.
    lengths = [len(packed(kind, values, 0)) for _, kind, values in tags]
    data_at = values_at + sum(length for length in lengths if length > inline)
    entries, outside = b"", b""
    for number, kind, values in tags:
        content = packed(kind, values, data_at)
        # A value of the rational type is two numbers.
        entries += struct.pack(order + "HH" + word, number, kind, len(values) // (2 if kind == 5 else 1))
        if len(content) <= inline:
            entries += content.ljust(inline, b"\0")
        else:
            entries += struct.pack(order + word, values_at + len(outside))
            outside += content
    return start + entries + struct.pack(order + word, next_page) + outside + data


def tiff_tags(
    width: int, height: int, *, bits: int = 8, samples: int = 1, colour: int = 1, compression: int = 1
) -> list[Tag]:
    """The tags that say what a TIFF holds, but not where.

    Args:
        width: px.
        height: px.
        bits: per sample.
        samples: per pixel.
        colour: 1 grey, 2 RGB, 3 palette, 5 CMYK, 6 YCbCr.
        compression: 1 none, 5 LZW, 7 JPEG, 8 deflate.
    """
    tags = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * samples), (259, 3, [compression])]
    return [*tags, (262, 3, [colour]), (277, 3, [samples])]


def one_strip(height: int, size_bytes: int) -> list[Tag]:
    """The tags that say where: all rows in one strip, at the data."""
    return [(273, 4, [DATA]), (278, 4, [height]), (279, 4, [size_bytes])]


def bmp(
    width: int,
    height: int,
    bits: int,
    pixels: bytes,
    *,
    compression: int = 0,
    palette: bytes = b"",
    masks: tuple[int, ...] = (),
) -> bytes:
    """A BMP; rows from the bottom up, each of a multiple of 4 bytes.

    Args:
        width: px.
        height: px; negative if the rows go from the top down.
        bits: per pixel.
        pixels: the rows.
        compression: 0 none, 1 RLE of 8 bits, 2 RLE of 4 bits, 3 channels as `masks` say.
        palette: 4 bytes per colour: blue, green, red, 0.
        masks: which bits are red, green, blue and, if there are four, alpha.
    """
    size_bytes, colours = 56 if len(masks) == 4 else 40, len(palette) // 4
    header = struct.pack("<IiiHHIIiiII", size_bytes, width, height, 1, bits, compression, 0, 0, 0, colours, 0)
    header += struct.pack(f"<{len(masks)}I", *masks) + palette
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(pixels), 0, 0, 14 + len(header)) + header + pixels


def jpeg_parts(content: bytes) -> list[bytes]:
    """The segments of a JPEG file; the pixels of a scan stay with its header."""
    parts, position = [content[:2]], 2
    while position < len(content):
        marker = content[position + 1]
        end = position + 2
        if marker != 0xD9:
            end += int.from_bytes(content[end : end + 2], "big")
        if marker == 0xDA:
            while content[end] != 0xFF or content[end + 1] in (0, *range(0xD0, 0xD8)):
                end += 1
        parts.append(content[position:end])
        position = end
    return parts


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"WEBP" + b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def grey_press_profile() -> bytes:
    """An ICC profile of a press whose magenta ink prints middle grey, black black, and the others nothing.

    It is no real press, but conversions with and without it are far apart: (0, 255, 255, 0) is L* = 50, not red.
    """

    def tag(kind: bytes, body: bytes) -> bytes:
        return (kind + bytes(4) + body).ljust(-(-(len(body) + 8) // 4) * 4, b"\0")

    identity = b"".join(struct.pack(">i", 65536 * (row == column)) for row in range(3) for column in range(3))
    ramp = bytes(range(256))
    # Inks in the order C, M, Y, K, the last changing fastest; L*, a*, b* in 8 bits.
    lightness = [0 if corner & 0b0001 else 128 if corner & 0b0100 else 255 for corner in range(16)]
    corners = b"".join(bytes([light, 128, 128]) for light in lightness)
    table = tag(b"mft1", bytes([4, 3, 2, 0]) + identity + ramp * 4 + corners + ramp * 3)
    white = tag(b"XYZ ", struct.pack(">iii", 63190, 65536, 54061))
    text = tag(b"text", b"public domain\0")
    label = b"grey press\0"
    name = tag(b"desc", struct.pack(">I", len(label)) + label + bytes(78))
    tags = {b"desc": name, b"cprt": text, b"wtpt": white, b"A2B0": table}
    offset = 128 + 4 + 12 * len(tags)
    directory, body = struct.pack(">I", len(tags)), b""
    for key, content in tags.items():
        directory += key + struct.pack(">II", offset + len(body), len(content))
        body += content
    header = struct.pack(">I4sI4s4s4s", offset + len(body), bytes(4), 0x02100000, b"prtr", b"CMYK", b"Lab ")
    header += struct.pack(">6H", 2001, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + directory + body


def sample() -> Image.Image:
    """A picture of 72x60 px whose every part takes some bytes to store."""
    y, x = np.mgrid[0:60, 0:72]
    noise = np.random.default_rng(0).integers(0, 60, (60, 72, 3))
    return Image.fromarray((np.stack([x * 2, y * 3, x + y], axis=-1) + noise).astype(np.uint8))
