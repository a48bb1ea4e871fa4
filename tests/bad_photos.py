"""A folder of malformed photos, the same in every run: whatever goes wrong with a photo, here it has."""

import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.bad_contents import bombs, broken, odd_sizes, sparse
from tests.handmade import PNG_START, encoded, interlaced_rows, png, sample

BY_NAME = "bad name"
"""The kind of a file whose name alone is at fault: load_image reads it, a dataset cannot name it."""
FOLDER = "folder"
"""The kind of what is no file at all, so that nobody who lists the photos of a folder will find it."""


def make_corpus(folder: Path) -> dict[str, str]:
    """Write the corpus, in some seconds and megabytes.

    Args:
        folder: an empty folder; all files come to lie in it directly. Some of them are sparse.

    Returns:
        File name -> what kind of malformed it is, the same word for many of them. `load_image` refuses each but those
        of the kind `BY_NAME`.
    """
    kinds: dict[str, str] = {}
    families = {
        "truncated": _truncated(),
        "not a picture": _strangers(),
        "broken": broken(),
        "size": odd_sizes(),
        "bomb": bombs(),
        BY_NAME: _bad_names(),
    }
    for kind, files in families.items():
        for name, content in files.items():
            (folder / name).write_bytes(content)
            kinds[name] = kind
    for name, (start, size_bytes) in sparse().items():
        with (folder / name).open("wb") as file:
            file.write(start)
            file.truncate(size_bytes)
        kinds[name] = "bomb"
    return kinds | _no_files(folder)


def sound_files() -> dict[str, bytes]:
    """A file of each kind, sound and small, before anything is done to it."""
    rgb = sample()
    second = {"save_all": True, "append_images": [rgb.rotate(180), rgb.rotate(90)]}
    grey16 = Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257)
    palette = rgb.quantize(32)
    still_or_moving: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "baseline.jpg": (rgb, "JPEG", {}),
        "progressive.jpg": (rgb, "JPEG", {"progressive": True}),
        "cmyk.jpg": (rgb.convert("CMYK"), "JPEG", {}),
        "rgb.png": (rgb, "PNG", {}),
        "grey16.png": (grey16, "PNG", {}),
        "palette.png": (palette, "PNG", {}),
        "animated.png": (rgb, "PNG", second),
        "lossy.webp": (rgb, "WEBP", {}),
        "lossless.webp": (rgb, "WEBP", {"lossless": True}),
        "animated.webp": (rgb, "WEBP", second),
        "rgb.bmp": (rgb, "BMP", {}),
        "palette.bmp": (palette, "BMP", {}),
        "raw.tif": (rgb, "TIFF", {}),
        "lzw.tif": (rgb, "TIFF", {"compression": "tiff_lzw"}),
        "deflate.tif": (rgb, "TIFF", {"compression": "tiff_adobe_deflate"}),
        "pages.tif": (rgb, "TIFF", second),
        "still.gif": (palette, "GIF", {}),
        "animated.gif": (palette, "GIF", {**second, "append_images": [palette.rotate(180), palette.rotate(90)]}),
    }
    files = {name: encoded(picture, kind, **options) for name, (picture, kind, options) in still_or_moving.items()}
    files["interlaced.png"] = png(72, 60, interlaced_rows(rgb), interlaced=True)
    return files


def needed_bytes(content: bytes) -> int:
    """How many bytes of a sound file hold its first picture; a file cut behind them is not malformed to us.

    - PNG: to the end of the first picture's data, without the checksums, and without the mark of the end of the
      stream, which is a few bits.
    - GIF: to the end of the first frame's data, without its end mark.
    - TIFF: to the end of the first page's last strip; all where the tags stand behind the strips.
    - JPEG: all but the end-of-image marker.
    - WebP and BMP: all.
    """
    with Image.open(io.BytesIO(content)) as opened:
        if opened.format == "PNG":
            end = opened.tile[0].offset
            while content[end - 4 : end] == b"IDAT":
                (length,) = struct.unpack(">I", content[end - 8 : end - 4])
                end += length + 12
            return end - 12 - 6
        if opened.format == "GIF":
            end = opened.tile[0].offset
            while content[end]:
                end += 1 + content[end]
            return end
        if opened.format == "TIFF":
            tags = opened.tag_v2  # type: ignore[attr-defined]
            ends: list[int] = [offset + length for offset, length in zip(tags[273], tags[279], strict=True)]
            return max(ends) if struct.unpack("<I", content[4:8]) < (min(tags[273]),) else len(content)
        return len(content) - 2 * (opened.format == "JPEG")


def _truncated() -> dict[str, bytes]:
    files = {}
    for name, content in sound_files().items():
        needed = needed_bytes(content)
        for tenths in range(10):
            files[f"cut_{10 * tenths:02}_percent_{name}"] = content[: needed * tenths // 10]
        files[f"cut_by_a_byte_{name}"] = content[: needed - 1]
    return files


def _strangers() -> dict[str, bytes]:
    """Files of other kinds under the names of pictures, and the mere beginnings of pictures."""
    rgb = sample()
    jpeg = encoded(rgb, "JPEG")
    page = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head><body>gone</body></html>\n"
    return {
        "empty.jpg": b"",
        "one_byte.png": b"\x89",
        "one_zero.gif": b"\0",
        "text.jpg": b"just some text\nin two lines\n",
        "text_utf16.jpg": "just some text\n".encode("utf-16"),
        "error_page.jpg": page,
        "json.webp": b'{"error": "rate limit exceeded", "code": 429}\n',
        "vector.png": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"/>\n',
        "document.jpg": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n",
        "postscript.tif": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\nshowpage\n",
        "program.gif": b"\x7fELF\x02\x01\x01" + bytes(200),
        "program.bmp": b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff" + bytes(200),
        "archive.jpg": b"PK\x03\x04\x14\0\0\0\x08\0" + bytes(100) + b"PK\x05\x06" + bytes(18),
        "archive.png": b"\x1f\x8b\x08\0\0\0\0\0\0\x03" + bytes(100),
        "archive.tif": b"photos/a.jpg".ljust(257, b"\0") + b"ustar\x0000" + bytes(250),
        "film.jpg": struct.pack(">I", 32) + b"ftypisom\0\0\x02\0isomiso2avc1mp41" + bytes(200),
        "phone.jpg": struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(200),
        "sound.webp": b"RIFF\x24\x08\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0" + bytes(200),
        "database.jpg": b"SQLite format 3\0" + bytes(200),
        "pointer.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 12345\n",
        "text_of_a_picture.jpg": b"data:image/jpeg;base64,/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgG\n",
        "thumbs.jpg": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500),
        "resource_fork.jpg": b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(100),
        "bmw.bmp": b"BMW is a make of cars, not of bitmaps.\n" * 9,
        "zeros.jpg": bytes(5000),
        "ones.png": b"\xff" * 5000,
        "noise.jpg": np.random.default_rng(1).bytes(5000),
        "noise_after_magic.jpg": jpeg[:20] + np.random.default_rng(2).bytes(5000),
        "noise_after_magic.png": PNG_START + np.random.default_rng(3).bytes(5000),
        "noise_after_magic.gif": b"GIF89a" + np.random.default_rng(4).bytes(5000),
        "noise_after_magic.webp": b"RIFF\0\x10\0\0WEBPVP8L" + np.random.default_rng(5).bytes(5000),
        "noise_after_magic.tif": b"II*\0\x08\0\0\0" + np.random.default_rng(6).bytes(5000),
        "noise_after_magic.bmp": b"BM" + np.random.default_rng(7).bytes(5000),
        "magic.jpg": b"\xff\xd8\xff",
        "magic.png": PNG_START,
        "magic.gif": b"GIF89a",
        "magic.webp": b"RIFF\x40\0\0\0WEBP",
        "magic.tif": b"II*\0\x08\0\0\0",
        "magic_big.tif": b"MM\0+\0\x08\0\0" + struct.pack(">Q", 16),
        "magic.bmp": b"BM",
        "wrong_case.gif": b"gif89a" + encoded(rgb.quantize(4), "GIF")[6:],
        "newlines_converted.png": encoded(rgb, "PNG").replace(b"\r\n", b"\n"),
        "read_as_text.jpg": jpeg.decode("latin-1").encode("utf-8"),
        "seven_bits.png": bytes(byte & 127 for byte in encoded(rgb, "PNG")),
        "jpeg_2000.jp2.jpg": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(200),
        "targa.jpg": encoded(rgb, "TGA"),
        "portable.png": encoded(rgb, "PPM"),
        "icon.png": encoded(rgb, "ICO"),
    }


def _bad_names() -> dict[str, bytes]:
    content = encoded(sample(), "PNG")
    names = ["two\nlines.png", "carriage\rreturn.png", "tab\tstop.png", "red\x1b[31m.png", "bell\a.png", "del\x7f.png"]
    # What is no UTF-8 in the name of a file stands in Python's names as lone surrogates.
    no_text = (b"latin\xe9.png", b"cut\xe2\x82.png", b"\xff\xfe.png", b"long\xc0\x80.png")
    return dict.fromkeys([*names, *map(os.fsdecode, no_text)], content)


def _no_files(folder: Path) -> dict[str, str]:
    """What has the name of a photo and cannot be read as one, whatever its content."""
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    links = {
        "loop_a.jpg": "loop_b.jpg",
        "loop_b.jpg": "loop_c.jpg",
        "loop_c.jpg": "loop_a.jpg",
        "loop_self.jpg": "loop_self.jpg",
        "dangling.jpg": "gone.jpg",
        "zeros_for_ever.jpg": "/dev/zero",
        "noise_for_ever.jpg": "/dev/random",
        "nothing.jpg": "/dev/null",
        "link_to_pipe.jpg": "pipe.jpg",
        "link_to_folder.jpg": "folder.jpg",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    long_name = f"{'x' * 251}.jpg"
    (folder / long_name).write_bytes(b"a long name, and no picture\n")
    kinds = dict.fromkeys([*links, "pipe.jpg", long_name], "no file")
    secret = folder / "secret.png"
    secret.write_bytes(encoded(sample(), "PNG"))
    secret.chmod(0)
    if os.access(secret, os.R_OK):
        # The administrator may read all files.
        secret.unlink()
    else:
        kinds[secret.name] = "no file"
    return kinds | {"folder.jpg": FOLDER, "link_to_folder.jpg": FOLDER}
