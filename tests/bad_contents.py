"""The contents of malformed photos: what cannot be in a file, what no picture can be, and what costs too much."""

import functools
import struct
import zlib

import numpy as np
from PIL import Image

from tests.handmade import (
    DATA,
    PNG_START,
    bmp,
    chunk,
    encoded,
    jpeg_parts,
    one_strip,
    png,
    sample,
    tiff,
    tiff_tags,
    webp,
    zeros_deflated,
)


def broken() -> dict[str, bytes]:
    """Files of the right kind, in which something cannot be."""
    rgb = sample()
    plain = encoded(rgb, "PNG")
    header, data, end = plain[8:33], plain[33:-12], plain[-12:]
    gif = encoded(rgb.quantize(32), "GIF")
    frame = gif.index(b",", 13 + 3 * 32)
    lossless = encoded(rgb, "WEBP", lossless=True)
    files = {
        "png_checksum_of_header.png": PNG_START + header[:-1] + b"\0" + data + end,
        "png_checksum_of_palette.png": _spoilt(encoded(rgb.quantize(8), "PNG"), b"PLTE", 4 + 3 * 8 + 1),
        "png_without_header.png": PNG_START + data + end,
        "png_without_pixels.png": PNG_START + header + end,
        "png_empty_pixels.png": PNG_START + header + chunk(b"IDAT") + end,
        "png_no_zlib.png": PNG_START + header + chunk(b"IDAT", b"no zlib stream at all") + end,
        "png_bad_block.png": PNG_START + header + chunk(b"IDAT", b"\x78\x9c\xff\xff\xff\xff") + end,
        "png_middle_zeroed.png": plain[:400] + bytes(400) + plain[800:],
        "png_middle_noise.png": plain[:400] + np.random.default_rng(8).bytes(400) + plain[800:],
        "png_middle_missing.png": plain[:400] + plain[800:],
        "png_bits_3.png": png(40, 40, bytes(41 * 40), bits=3, colour=0),
        "png_colour_5.png": png(40, 40, bytes(41 * 40), colour=5),
        "png_length_huge.png": PNG_START + b"\xff\xff\xff\xf0" + header[4:] + data + end,
        "gif_no_frame.gif": gif[:frame] + b";",
        "gif_bits_13.gif": gif[: frame + 10] + b"\x0d" + gif[frame + 11 :],
        "gif_empty_frame.gif": gif[: frame + 11] + b"\0;",
        "gif_codes_noise.gif": gif[: frame + 11] + b"\xff" + b"\xa7" * 255 + b"\0;",
        "bmp_header_of_13_bytes.bmp": b"BM" + struct.pack("<IHHI", 26, 0, 0, 26) + struct.pack("<I", 13) + bytes(400),
        "bmp_3_bits.bmp": bmp(40, 40, 3, bytes(40 * 160)),
        "bmp_compression_9.bmp": bmp(40, 40, 24, bytes(40 * 120), compression=9),
        "bmp_masks.bmp": bmp(40, 40, 16, bytes(40 * 80), compression=3, masks=(1, 2, 4)),
        "bmp_palette_of_70000.bmp": bmp(40, 40, 8, bytes(1600), palette=bytes(4 * 70_000)),
        "bmp_rle_ends_early.bmp": bmp(40, 40, 8, b"\x28\x05\0\0" * 20, compression=1, palette=bytes(1024)),
        "webp_middle_zeroed.webp": lossless[:200] + bytes(400) + lossless[600:],
        "webp_length_too_large.webp": lossless[:4] + b"\xf0\xff\xff\xff" + lossless[8:],
        "webp_no_chunk.webp": webp((b"VP8X", bytes(4) + b"\x27\0\0\x27\0\0")),
        "webp_unknown_chunk.webp": webp((b"ABCD", bytes(100))),
        "webp_key_frame_missing.webp": webp((b"VP8 ", bytes(100))),
        "tif_without_size.tif": tiff([(258, 3, [8]), (262, 3, [1]), *one_strip(40, 1600)], bytes(1600)),
        "tif_without_strips.tif": tiff(tiff_tags(40, 40), bytes(1600)),
        "tif_strip_outside.tif": tiff([*tiff_tags(40, 40), (273, 4, [10**6]), (278, 4, [40]), (279, 4, [1600])]),
        "tif_no_tags.tif": tiff([], bytes(1600)),
        "tif_tags_outside.tif": b"II*\0\xff\xff\xff\x7f" + bytes(1600),
        "tif_colour_99.tif": tiff([*tiff_tags(40, 40, colour=99), *one_strip(40, 1600)], bytes(1600)),
        "tif_compression_999.tif": tiff([*tiff_tags(40, 40, compression=999), *one_strip(40, 1600)], bytes(1600)),
        "tif_7_bits.tif": tiff([*tiff_tags(40, 40, bits=7), *one_strip(40, 1600)], bytes(1600)),
        "tif_size_negative.tif": tiff([*tiff_tags(40, 2**32 - 40), *one_strip(40, 1600)], bytes(1600)),
        "tif_size_a_fraction.tif": tiff(
            [(256, 5, [81, 2]), *tiff_tags(40, 40)[1:], *one_strip(40, 1600)],
            bytes(1600),
        ),
        "tif_60000_samples.tif": tiff([*tiff_tags(40, 40)[:-1], (277, 4, [60_000]), *one_strip(40, 1600)], bytes(1600)),
        "tif_pages_in_a_circle.tif": tiff([(258, 3, [8])], next_page=8),
        "tif_zlib_zeroed.tif": tiff([*tiff_tags(40, 40, compression=8), *one_strip(40, 300)], bytes(300)),
        "tif_tiles_of_no_size.tif": tiff(
            [*tiff_tags(40, 40, compression=8), (322, 3, [0]), (323, 3, [0]), (324, 4, [DATA]), (325, 4, [99])],
            bytes(99),
        ),
        "tif_float_beyond_one.tif": encoded(Image.new("F", (40, 40), 255.0), "TIFF"),
        "tif_grey_beyond_16_bits.tif": encoded(Image.new("I", (40, 40), 70_000), "TIFF"),
    }
    for name, number in {"lzw": 5, "jpeg": 7, "deflate": 8, "packbits": 32773}.items():
        tags = [*tiff_tags(40, 40, compression=number), *one_strip(40, 300)]
        files[f"tif_noise_as_{name}.tif"] = tiff(tags, np.random.default_rng(number).bytes(300))
    return files | _broken_jpegs()


def _spoilt(content: bytes, mark: bytes, further: int) -> bytes:
    """Turn over the bits of one byte, so far behind the mark."""
    position = content.index(mark) + further
    return content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1 :]


def _broken_jpegs() -> dict[str, bytes]:
    parts = jpeg_parts(encoded(sample(), "JPEG"))

    def without(marker: int) -> bytes:
        return b"".join(part for part in parts if part[1] != marker)

    def changed(marker: int, index: int, value: int) -> bytes:
        return b"".join(
            part[:index] + bytes([value]) + part[index + 1 :] if part[1] == marker else part for part in parts
        )

    quantisation, frame, codes, scan = 0xDB, 0xC0, 0xC4, 0xDA
    return {
        "jpeg_no_quantisation.jpg": without(quantisation),
        "jpeg_no_frame.jpg": without(frame),
        "jpeg_no_scan.jpg": without(scan),
        # More codes of one length than there can be.
        "jpeg_code_counts.jpg": changed(codes, 5, 255),
        "jpeg_code_counts_17.jpg": changed(codes, 6, 17),
        "jpeg_code_table_9.jpg": changed(codes, 4, 9),
        "jpeg_quantisation_short.jpg": changed(quantisation, 3, 20),
        "jpeg_12_bits.jpg": changed(frame, 4, 12),
        "jpeg_2_channels.jpg": changed(frame, 9, 2),
        "jpeg_200_channels.jpg": changed(frame, 9, 200),
        "jpeg_sampling_0.jpg": changed(frame, 11, 0),
        "jpeg_sampling_15.jpg": changed(frame, 11, 0xFF),
        "jpeg_scan_of_unknown_channel.jpg": changed(scan, 5, 77),
        "jpeg_scan_of_0_channels.jpg": changed(scan, 4, 0),
        "jpeg_lossless.jpg": changed(frame, 1, 0xC3),
        "jpeg_hierarchical.jpg": changed(frame, 1, 0xC5),
        "jpeg_two_starts.jpg": parts[0] + b"".join(parts),
        "jpeg_two_frames.jpg": b"".join(part * 2 if part[1] == frame else part for part in parts),
        "jpeg_segment_beyond_the_end.jpg": parts[0] + b"\xff\xe1\xff\xff" + b"".join(parts[1:]),
    }


def odd_sizes() -> dict[str, bytes]:
    """Pictures that are sound, but for their size, and headers of sizes that no file can have."""
    kinds = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF", "gif": "GIF"}
    files = {}
    for suffix, kind in kinds.items():
        for width, height in ((1, 1), (31, 200), (200, 31)):
            files[f"size_{width}x{height}.{suffix}"] = encoded(Image.new("RGB", (width, height)), kind)
    files |= {
        "size_0x0.png": png(0, 0, b""),
        "size_0x0.gif": b"GIF89a" + bytes(7) + b",\0\0\0\0\0\0\0\0\0\x02\x02\x4c\x01\0;",
        "size_0x0.bmp": bmp(0, 0, 24, b""),
        "size_0x40.tif": tiff([*tiff_tags(0, 40), *one_strip(40, 0)]),
        "size_0x40.jpg": _jpeg_of_size(0, 40),
        "size_40x0.jpg": _jpeg_of_size(40, 0),
        "size_1x1000000.png": png(1, 1_000_000, bytes(4_000_000)),
        "size_1000000x1.png": png(1_000_000, 1, bytes(3_000_001)),
        "size_1x1000000.tif": tiff([*tiff_tags(1, 10**6), *one_strip(10**6, 10**6)], bytes(10**6)),
        "size_just_too_many.png": png(10_000, 10_001, b"0"),
        "size_60000x60000.png": png(60_000, 60_000, b"0"),
        "size_2147483647.png": png(2**31 - 1, 2**31 - 1, b"0"),
        "size_65535x65535.jpg": _jpeg_of_size(65_535, 65_535),
        "size_65535x65535.gif": b"GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\1\0\1\0\0\2\2\x4c\1\0;",
        "size_frame_65535x65535.gif": b"GIF89a\x28\0\x28\0\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2\2\x4c\1\0;",
        "size_65535x65535.bmp": bmp(65_535, 65_535, 24, bytes(100)),
        "size_2147483647.bmp": bmp(2**31 - 1, 2**31 - 1, 8, bytes(100), palette=bytes(1024)),
        "size_65535x65535.tif": tiff([*tiff_tags(65_535, 65_535), *one_strip(65_535, 100)], bytes(100)),
        "size_4294967295.tif": tiff([*tiff_tags(2**32 - 1, 2**32 - 1), *one_strip(2**32 - 1, 100)], bytes(100)),
        "size_16383x16383.webp": webp((b"VP8 ", b"\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(100))),
        "size_16384x16384.webp": webp((b"VP8L", b"\x2f\xff\xff\xff\x0f" + bytes(100))),
        "size_16777216x16777216.webp": webp((b"VP8X", bytes(4) + b"\xff" * 6), (b"VP8L", b"\x2f\0\0\0\0" + bytes(20))),
    }
    return files


def _jpeg_of_size(width: int, height: int) -> bytes:
    parts = jpeg_parts(encoded(Image.new("RGB", (40, 40)), "JPEG"))
    return b"".join(
        part[:5] + struct.pack(">HH", height, width) + part[9:] if part[1] == 0xC0 else part for part in parts
    )


def bombs() -> dict[str, bytes]:
    """Small files that would take much memory or time."""
    rgb = Image.new("RGB", (40, 40))
    plain = bytes(121 * 40)
    squeezed = zeros_deflated(100_000_000)
    parts = jpeg_parts(encoded(Image.new("L", (2000, 2000), 9), "JPEG", progressive=True))
    jpeg = encoded(rgb, "JPEG")
    deflated = tiff_tags(40, 40, compression=8)
    wide_tile = zeros_deflated(100_000 * 16)
    wide_tiles = 100_000 // 16
    huge_tile = zeros_deflated(20_000 * 20_000)
    rationals = [*tiff_tags(40, 40), *one_strip(40, 1600), (282, 5, [7, 3] * 1_100_000)]
    frame = b",\0\0\0\0\1\0\1\0\0\2\2\x4c\1\0"
    moving = struct.pack("<II", 0, 0)[:6] + bytes(10) + b"VP8L" + struct.pack("<I", 10) + b"\x2f" + bytes(9)
    return {
        # Their sizes are allowed, but there are no pixels.
        "bomb_9000x9000.png": png(9000, 9000, b"0", colour=6),
        "bomb_9000x9000.jpg": _jpeg_of_size(9000, 9000)[:-2],
        "bomb_9000x9000.gif": b"GIF89a\x28\x23\x28\x23\0\0\0,\0\0\0\0\x28\x23\x28\x23\0\2\2\x4c\1\0;",
        "bomb_9000x9000.bmp": bmp(9000, 9000, 24, bytes(1000)),
        "bomb_9000x9000_rle.bmp": bmp(9000, 9000, 8, b"\xff\x05" * 99, compression=1, palette=b"\1\2\3\0" * 256),
        "bomb_9000x9000.tif": tiff([*tiff_tags(9000, 9000), *one_strip(9000, 1000)], bytes(1000)),
        "bomb_9000x9000_deflate.tif": tiff(
            [*tiff_tags(9000, 9000, compression=8), *one_strip(9000, 1000)], bytes(1000)
        ),
        "bomb_7000x7000.webp": webp((b"VP8 ", b"\x10\0\0\x9d\x01\x2a\x58\x1b\x58\x1b" + bytes(100))),
        # More than a gigabyte for what other formats hold in less.
        "bomb_9000x9000.webp": webp((b"VP8L", b"\x2f\x27\xe3\xc9\x08" + bytes(100))),
        "bomb_16_bit_alpha.tif": tiff(
            [*tiff_tags(9900, 9900, bits=16, samples=4, colour=2, compression=8), (338, 3, [2]), *one_strip(9900, 99)],
            zeros_deflated(9900),
        ),
        "bomb_strip_on_its_side.tif": tiff(
            [*tiff_tags(9900, 9900, samples=3, colour=2, compression=8), (274, 3, [6]), *one_strip(9900, 99)],
            zeros_deflated(9900),
        ),
        "bomb_progressive_cmyk.jpg": _progressive_cmyk(9900),
        # Pixels that are never reached, behind too many other things.
        "bomb_profile.png": png(40, 40, plain, before=chunk(b"iCCP", b"profile\0\0" + squeezed)),
        "bomb_text.png": png(40, 40, plain, before=chunk(b"zTXt", b"comment\0\0" + squeezed)),
        "bomb_text_after.png": png(40, 40, plain, after=chunk(b"zTXt", b"comment\0\0" + squeezed)),
        "bomb_international_text.png": png(40, 40, plain, before=chunk(b"iTXt", b"comment\0\1\0\0\0" + squeezed)),
        "bomb_many_texts.png": png(40, 40, plain, before=chunk(b"zTXt", b"c\0\0" + zeros_deflated(999_000)) * 99),
        "bomb_many_chunks.png": png(40, 40, plain, before=chunk(b"abCd") * 300_000),
        "bomb_many_chunks_after.png": png(40, 40, plain, after=chunk(b"abCd") * 300_000),
        "bomb_large_chunk_after.png": png(40, 40, plain, after=chunk(b"abCd", bytes(17_000_000))),
        "bomb_many_comments.jpg": jpeg[:2] + b"\xff\xfe\0\2" * 300_000 + jpeg[2:],
        "bomb_many_exif.jpg": jpeg[:2] + (b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)) * 250 + jpeg[2:],
        "bomb_many_comments.gif": b"GIF89a\x28\0\x28\0\0\0\0!\xfe" + b"\1a" * 300_000 + b"\0" + frame + b";",
        "bomb_many_scans.jpg": b"".join(parts[:-1]) + b"".join(parts[-3:-1]) * 5000 + parts[-1],
        "bomb_many_frames.gif": b"GIF89a\1\0\1\0\0\0\0" + frame * 100_000 + b";",
        "bomb_many_frames.webp": webp(
            (b"VP8X", b"\2\0\0\0" + bytes(6)), (b"ANIM", bytes(6)), *[(b"ANMF", moving)] * 20_000
        ),
        "bomb_many_frames.png": png(1, 1, bytes(4), before=chunk(b"acTL", struct.pack(">II", 2**31, 0))),
        "bomb_many_strips.tif": tiff([*deflated, (273, 4, [DATA] * 10**6), (278, 4, [1]), (279, 4, [5] * 10**6)]),
        "bomb_rationals.tif": tiff(rationals, bytes(1600)),
        "bomb_huge_tile.tif": tiff(
            [*deflated, (322, 4, [20_000]), (323, 4, [20_000]), (324, 4, [DATA]), (325, 4, [len(huge_tile)])], huge_tile
        ),
        "bomb_wide_tiles.tif": tiff(
            [
                *tiff_tags(32, 100_000, compression=8),
                *((322, 4, [100_000]), (323, 4, [16])),
                *((324, 4, [DATA] * wide_tiles), (325, 4, [len(wide_tile)] * wide_tiles)),
            ],
            wide_tile,
        ),
    }


def sparse() -> dict[str, tuple[bytes, int]]:
    """Files of so many bytes, of which all but the first are zero."""
    page = tiff([*tiff_tags(40, 40), *one_strip(40, 1600), (34665, 4, [(DATA, 1600)])], bytes(1600))
    folder = struct.pack("<HHHIII", 1, 33434, 5, 2_200_000, len(page) + 18, 0)
    return {
        "sparse.jpg": (b"\xff\xd8\xff\xe0", 10**9),
        "sparse.webp": (b"RIFF\xff\xff\xff\x03WEBPVP8L\xf3\xff\xff\x03", 64_000_000),
        "bomb_rationals_in_exif.tif": (page + folder, len(page) + 18 + 8 * 2_200_000),
    }


def _progressive_cmyk(side_px: int) -> bytes:
    """A progressive JPEG of four channels with this size in its header, and a few pixels."""
    content = encoded(Image.new("CMYK", (40, 40)), "JPEG", progressive=True)
    size = struct.pack(">HH", side_px, side_px)
    return b"".join(part[:5] + size + part[9:] if part[1] == 0xC2 else part for part in jpeg_parts(content))


@functools.cache
def harmless_files() -> dict[str, bytes]:
    """Red pictures of 40x40 px with what would be a bomb to a careless reader; sound, and to be read."""
    red = Image.new("RGB", (40, 40), "red")
    rows = (b"\0" + b"\xff\0\0" * 40) * 40
    gif = encoded(red.quantize(2), "GIF")
    frame = b",\0\0\0\0\1\0\1\0\0\2\2\x4c\1\0"
    still = encoded(red, "WEBP", lossless=True)[12:]
    moving = bytes(6) + struct.pack("<I", 39)[:3] * 2 + bytes(4) + still
    return {
        # A hundred megabytes more than 40 rows need.
        "inflates.png": png(40, 40, _longer(rows, 100_000_000), deflated=True),
        "frames_2147483648.png": png(
            40,
            40,
            rows,
            before=chunk(b"acTL", struct.pack(">II", 2**31, 0))
            + chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 40, 40, 0, 0, 1, 9, 0, 0)),
        ),
        "frames_200000.gif": gif[:-1] + frame * 200_000 + b";",
        "frames_5000.webp": webp(
            (b"VP8X", b"\2\0\0\0" + struct.pack("<I", 39)[:3] * 2),
            (b"ANIM", bytes(6)),
            *[(b"ANMF", moving)] * 5000,
        ),
        "pages_in_a_circle.tif": tiff(
            [*tiff_tags(40, 40, samples=3, colour=2), *one_strip(40, 4800)], b"\xff\0\0" * 1600, next_page=8
        ),
    }


def _longer(content: bytes, zeros: int) -> bytes:
    """Deflate the content and so many zero bytes behind it, as one stream."""
    squeeze = zlib.compressobj(9)
    parts = [squeeze.compress(content), *(squeeze.compress(bytes(1 << 20)) for _ in range(zeros >> 20))]
    return b"".join(parts) + squeeze.flush()
