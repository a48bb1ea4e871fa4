"""No photo stops a run: each malformed file is refused in one line, at a bounded cost, and nothing but that happens."""

import hashlib
import json
import os
import re
import stat
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import GifImagePlugin, Image, TiffImagePlugin

from dreamgan.decoding import limits
from dreamgan.decoding.quiet import NO_WARNINGS
from dreamgan.errors import UserError
from dreamgan.images import list_images, load_image
from tests.bad_contents import harmless_files
from tests.bad_photos import BY_NAME, FOLDER, make_corpus, needed_bytes, sound_files
from tests.handmade import DATA, Tag, bmp, chunk, encoded, jpeg_parts, png, tiff, tiff_tags, zeros_deflated

GIBIBYTE = 2**30
# Reads each file and says what became of it, and the most memory that the process ever had.
READER = """
import json, re, resource, sys
from pathlib import Path
from dreamgan.errors import UserError
from dreamgan.images import load_image

def status(key):
    return 1024 * int(re.search(key + r":\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])

# Only so that a reader gone wild does not take the machine with it.
resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + 6 * 2**30,) * 2)
before = status("VmRSS")
for name in json.load(sys.stdin):
    print(json.dumps({"name": name}), flush=True)
    told = {"reason": "", "size": [0, 0], "first": [], "last": []}
    try:
        picture = load_image(Path(sys.argv[1]) / name).picture
        corner = (picture.width - 1, picture.height - 1)
        told |= {"size": picture.size, "first": picture.getpixel((0, 0)), "last": picture.getpixel(corner)}
        del picture
    except UserError as error:
        told["reason"] = str(error)
    # Not `getrusage`, whose maximum a process takes over from the one that started it.
    print(json.dumps(told | {"grown": status("VmHWM") - before}), flush=True)
"""


class Told(NamedTuple):
    """What the reader tells of one file."""

    reason: str
    size: list[int]
    first: list[int]
    last: list[int]
    grown: int


def read_all(folder: Path, names: list[str]) -> dict[str, Told]:
    """Read files in one process, one after the other; it must say nothing, live to the end and stay small."""
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is counted as Linux tells it")
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", READER, str(folder)],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
        cwd=Path(__file__).resolve().parents[1],
    )
    lines: list[dict[str, Any]] = [json.loads(line) for line in finished.stdout.splitlines()]
    assert finished.returncode == 0, f"{lines[-1:]}: {finished.stderr}"
    assert finished.stderr == ""
    told = {start["name"]: Told(**end) for start, end in zip(lines[::2], lines[1::2], strict=True)}
    assert list(told) == names
    for name, answer in told.items():
        assert answer.grown < GIBIBYTE, f"{name!r}: {answer.grown / 2**20:.0f} MiB"
    return told


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("corpus")
    return folder, make_corpus(folder)


@pytest.fixture(scope="module")
def reasons(corpus: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """File of the corpus -> why it was refused; empty if it was read."""
    folder, kinds = corpus
    return {name: told.reason for name, told in read_all(folder, list(kinds)).items()}


def test_the_corpus_is_large_and_complete(corpus: tuple[Path, dict[str, str]]) -> None:
    folder, kinds = corpus
    assert sum(kind not in (BY_NAME, FOLDER) for kind in kinds.values()) >= 200
    assert sorted(os.listdir(folder)) == sorted(kinds)
    found = {path.name for path in list_images(folder)}
    assert found == {name for name, kind in kinds.items() if kind != FOLDER}


def test_the_corpus_is_the_same_every_time(corpus: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    def digests(folder: Path) -> dict[str, str]:
        regular = [path for path in folder.iterdir() if stat.S_ISREG(path.lstat().st_mode)]
        small = [path for path in regular if path.stat().st_size < 50_000_000]
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in small}

    folder, kinds = corpus
    assert make_corpus(tmp_path) == kinds
    assert digests(tmp_path) == digests(folder)


def test_every_malformed_file_is_refused_in_one_line(
    corpus: tuple[Path, dict[str, str]], reasons: dict[str, str]
) -> None:
    folder, kinds = corpus
    for name, kind in kinds.items():
        if kind == BY_NAME:
            assert reasons[name] == ""
            continue
        start = f"'{folder / name}' "
        assert reasons[name].startswith(start), f"{name!r}: {reasons[name] or 'was read'}"
        assert reasons[name][len(start) :].isprintable()
        # Refused for what it is, not for what became of us.
        assert not re.search(r"[Mm]emory\b(?! used in text| than|, more)", reasons[name])


@pytest.mark.parametrize(
    ("pattern", "cause"),
    [
        (r"cut_00_percent_.*", r"is empty \(0 bytes\)"),
        (r"cut_by_a_byte_(?!.*(webp|lzw|deflate)).*", "cannot be decoded: .*(truncated|decoder error|broken data|-2)"),
        (r"(text|json|vector|document|film|archive|phone)\..*", "is not a picture of a known format"),
        (r"size_31x200\..*", "is 31x200 px: each side must be at least 32 px"),
        (r"size_just_too_many\.png", "is 10000x10001 px, more than 100000000 pixels"),
        (r"size_(65535|60000|16384|4294967295|2147483647).*", "has more than 100000000 pixels"),
        (r"sparse\.jpg", "is 1000000000 bytes long, more than 320000000"),
        (r"bomb_9000x9000\.(png|jpg|gif|bmp|tif)", "cannot be decoded: image file is truncated"),
        (r"bomb_(9000x9000\.webp|16_bit|strip_on|progressive).*", "would take 1[0-9]{3} MiB of memory, more than 1024"),
        (r"bomb_(profile|text|text_after|international_text)\.png", "Decompressed data too large"),
        (r"bomb_many_texts\.png", "Too much memory used in text chunks"),
        (r"bomb_(many_(chunks|comments|exif|strips)|large_chunk|rationals).*", "more than 16000000 bytes of metadata"),
        (r"bomb_many_scans\.jpg", "has 5[0-9]{3} scans, more than 100"),
        (r"bomb_huge_tile\.tif", "is 40x40 px in tiles of 20000x20000 px, 400000000 pixels in all"),
        (r"bomb_wide_tiles\.tif", "in tiles of 100000x16 px, 10000000000 pixels in all"),
        (r"bomb_many_frames\..*", "is 1x1 px"),
        (r"loop_.*", "cannot be read: Too many levels of symbolic links"),
        (r"dangling\.jpg", "does not exist"),
        (r"(zeros_for_ever|noise_for_ever|nothing|pipe|link_to_pipe)\.jpg", "is not a regular file"),
        (r"folder\.jpg|link_to_folder\.jpg", "is a folder, not a picture"),
    ],
)
def test_files_are_refused_for_the_right_reason(reasons: dict[str, str], pattern: str, cause: str) -> None:
    names = [name for name in reasons if re.fullmatch(pattern, name)]
    assert names
    for name in names:
        assert re.search(cause, reasons[name]), f"{name!r}: {reasons[name]}"


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may read all files")
def test_a_file_of_somebody_else_is_refused(reasons: dict[str, str]) -> None:
    assert reasons["secret.png"].endswith("may not be read: permission denied")


def test_names_are_shown_in_one_line_that_can_be_printed(tmp_path: Path) -> None:
    for name in ("two\nlines.jpg", "red\x1b[31m.jpg", os.fsdecode(b"latin\xe9.jpg"), "夢 \u2028.jpg"):
        path = tmp_path / name
        path.write_bytes(b"no picture")
        with pytest.raises(UserError, match="is not a picture") as caught:
            load_image(path)
        message = str(caught.value)
        message.encode("utf-8")
        assert message.isprintable()
        assert len(message.splitlines()) == 1
    assert r"latin\udce9.jpg' is not" in str(_refusal(tmp_path / os.fsdecode(b"latin\xe9.jpg")))


def _refusal(source: Path | bytes) -> UserError:
    with pytest.raises(UserError) as caught:  # noqa: PT011 - the message is checked by the callers
        load_image(source)
    return caught.value


def test_a_disk_that_fails_is_told_from_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(Image.new("RGB", (40, 40)), "PNG"))

    def fail(self: limits.MeteredFile, size: int | None = -1, /) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(limits.MeteredFile, "read", fail)
    assert str(_refusal(path)) == f"'{path}' cannot be read: Input/output error"


# --- what sound files may cost ---


def test_harmless_files_cost_little(tmp_path: Path) -> None:
    for name, content in harmless_files().items():
        (tmp_path / name).write_bytes(content)
    for name, told in read_all(tmp_path, list(harmless_files())).items():
        assert (told.reason, told.size, told.first) == ("", [40, 40], [255, 0, 0]), name
        assert told.grown < 200_000_000, name


def _large_files(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Write files of the most pixels that are allowed, tiny on disk; file -> the colour of all pixels."""
    side = 10_000
    sideways = chunk(b"eXIf", tiff([(0x0112, 3, [6])]))
    clear_palette = chunk(b"PLTE", bytes([9, 8, 7])) + chunk(b"tRNS", b"\0")

    def large_png(channels: int, colour: int, bits: int = 8, before: bytes = b"") -> bytes:
        pixels = zeros_deflated((1 + side * channels * bits // 8) * side)
        return png(side, side, pixels, bits=bits, colour=colour, deflated=True, before=before)

    def large_tiff(bits: int, further: tuple[Tag, ...] = ()) -> bytes:
        strip = zeros_deflated(side * 100 * bits // 8)
        where: list[Tag] = [(273, 4, [DATA] * 100), (278, 4, [100]), (279, 4, [len(strip)] * 100), *further]
        return tiff([*tiff_tags(side, side, bits=bits, compression=8), *where], strip)

    files = {
        "rgb.png": (large_png(3, 2), (0, 0, 0)),
        "rgba_sideways.png": (large_png(4, 6, before=sideways), (255, 255, 255)),
        "grey_16.png": (large_png(1, 0, bits=16), (0, 0, 0)),
        "palette.png": (large_png(1, 3, before=clear_palette), (255, 255, 255)),
        "grey_16.tif": (large_tiff(16), (0, 0, 0)),
        "float_sideways.tif": (large_tiff(32, further=((339, 3, [3]), (274, 3, [6]))), (0, 0, 0)),
        "cmyk.jpg": (_grey_jpeg(Image.new("CMYK", (40, 40), (128,) * 4), side), (64, 64, 64)),
        "progressive.jpg": (_grey_jpeg(Image.new("RGB", (40, 40), (128,) * 3), side), (128, 128, 128)),
        "red.webp": (_red_webp(7300), (255, 0, 0)),
    }
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    raw = bmp(side, side, 24, b"")
    with (folder / "raw.bmp").open("wb") as file:
        file.write(raw)
        file.truncate(len(raw) + 3 * side * side)
    return {name: colour for name, (_, colour) in files.items()} | {"raw.bmp": (0, 0, 0)}


def _grey_jpeg(picture: Image.Image, side: int) -> bytes:
    """Stretch a JPEG of middle grey: nothing but its size changes, and how often the same few bits are repeated."""
    colour = picture.mode == "RGB"
    options: dict[str, Any] = {"progressive": True, "subsampling": 0} if colour else {}
    content = b""
    for part in jpeg_parts(encoded(picture, "JPEG", **options)):
        if part[1] in (0xC0, 0xC2):
            content += part[:5] + struct.pack(">HH", side, side) + part[9:]
        elif part[1] == 0xDA:
            header = part[: 2 + int.from_bytes(part[2:4], "big")]
            blocks = (side // 8) ** 2 * header[4]
            # Progressive: one bit per block, which is all of the first scan; there need not be others.
            # Else: six bits per block, 00 for no difference to the block before, 1010 for no more than that.
            content += header + (bytes(blocks // 8 + 1) if colour else b"\x28\xa2\x8a" * (blocks // 4))
            break
        else:
            content += part
    return content + b"\xff\xd9"


def _red_webp(side: int) -> bytes:
    # WebP takes more memory per pixel than other formats do, so fewer pixels are allowed.
    return encoded(Image.new("RGB", (side, side), "red"), "WEBP", lossless=True, method=0)


@pytest.mark.slow
def test_the_largest_sound_files_cost_less_than_a_gibibyte(tmp_path: Path) -> None:
    colours = _large_files(tmp_path)
    for name, told in read_all(tmp_path, list(colours)).items():
        assert told.reason == "", name
        assert told.size[0] * told.size[1] > 50_000_000, name
        assert told.first == told.last == list(colours[name]), name


@pytest.mark.parametrize("name", [name for name in sound_files() if not name.endswith((".webp", ".bmp"))])
def test_a_file_cut_behind_its_first_picture_is_sound(name: str) -> None:
    content = sound_files()[name]
    whole = load_image(content).picture.tobytes()
    # Not always without its last two bytes: the end of a PNG's stream may stand there, JPEG's end-of-image marker does.
    shortest = needed_bytes(content) + 2
    for length in range(shortest, len(content), max(1, (len(content) - shortest) // 50)):
        assert load_image(content[:length]).picture.tobytes() == whole


def test_frames_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def count(self: Image.Image) -> int:
        raise AssertionError("went over the whole file")

    for reader in (GifImagePlugin.GifImageFile, TiffImagePlugin.TiffImageFile):
        monkeypatch.setattr(reader, "n_frames", property(count))
    for name in ("animated.gif", "pages.tif"):
        assert load_image(sound_files()[name]).notes == ("first of several frames taken",)


# --- the limits one by one ---


def test_warnings_are_silenced_until_the_last_thread_has_left() -> None:
    before = list(warnings.filters)
    with NO_WARNINGS:
        with NO_WARNINGS:
            warnings.warn("two are inside", stacklevel=1)
        warnings.warn("one is still inside", stacklevel=1)
    assert list(warnings.filters) == before


def test_metadata_are_metered_until_the_size_is_known(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(limits.MAX_METADATA_BYTES + 2_000_000))
    with limits.MeteredFile(path.open("rb", buffering=0)) as file:
        assert len(file.read(limits.MAX_METADATA_BYTES)) == limits.MAX_METADATA_BYTES
        with pytest.raises(UserError, match="16000000 bytes of metadata"):
            file.read(1)
        file.stop_metering()
        assert len(file.read(1_000_000)) == 1_000_000
    with limits.MeteredFile(path.open("rb", buffering=0)) as file:
        # Small pieces cost more than their bytes.
        for _ in range(limits.MAX_METADATA_BYTES // 64):
            file.read(1)
        with pytest.raises(UserError, match="16000000 bytes of metadata"):
            file.read(1)


def test_metadata_of_a_common_size_are_no_reason_to_refuse() -> None:
    picture = Image.new("RGB", (40, 40), "red")
    segments = (b"\xff\xe2\xff\xff" + bytes(65_533)) * 150
    content = encoded(picture, "JPEG")
    assert load_image(content[:2] + segments + content[2:]).picture.getpixel((5, 5)) == (254, 0, 0)
    private = chunk(b"prVt", bytes(7_000_000))
    rows = (b"\0" + b"\xff\0\0" * 40) * 40
    assert load_image(png(40, 40, rows, before=private, after=private)).picture.getpixel((5, 5)) == (255, 0, 0)


@pytest.mark.parametrize("scans", [limits.MAX_JPEG_SCANS, limits.MAX_JPEG_SCANS + 1])
def test_scans_are_counted(scans: int) -> None:
    parts = jpeg_parts(encoded(Image.new("L", (40, 40), 9), "JPEG", progressive=True))
    own = sum(part[1] == 0xDA for part in parts)
    content = b"".join(parts[:-1]) + parts[-2] * (scans - own) + parts[-1]
    if scans == limits.MAX_JPEG_SCANS:
        assert load_image(content).picture.getpixel((5, 5)) == (9, 9, 9)
    else:
        assert "has 101 scans, more than 100" in str(_refusal(content))


def test_what_a_picture_would_cost_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(Image.new("RGB", (640, 640)), "WEBP", lossless=True)
    monkeypatch.setattr(limits, "MAX_MEMORY_BYTES", 7 * 2**20)
    assert "is 640x640 px and, being WEBP, would take 8 MiB of memory, more than 7 MiB" in str(_refusal(content))
    assert load_image(encoded(Image.new("RGB", (640, 640)), "PNG")).picture.size == (640, 640)
