import io
import os
import tarfile
import threading
from pathlib import Path
from typing import IO

import datasets
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dreamgan.data import scan as scanning
from dreamgan.data.photos import FileCrop, Photo, PhotoSet
from dreamgan.data.scan import scan
from dreamgan.data.sources import find_photos
from dreamgan.images import LoadedImage
from tests.data.photo_files import content, picture, save


def found_in(folder: Path) -> PhotoSet:
    return find_photos(str(folder), size_px=32)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The photos that were opened, in order."""
    names: list[str] = []
    real = PhotoSet.open

    def counted(self: PhotoSet, photo: Photo) -> LoadedImage:
        names.append(photo.photo_id)
        return real(self, photo)

    monkeypatch.setattr(PhotoSet, "open", counted)
    return names


@pytest.fixture
def ten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PhotoSet:
    """Ten photos, scanned in chunks of four."""
    monkeypatch.setattr(scanning, "CHUNK_PHOTOS", 4)
    for number in range(10):
        save(tmp_path / "photos" / f"{number}.png", number)
    return found_in(tmp_path / "photos")


def test_the_same_pixels_have_the_same_digest_in_any_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    photos = tmp_path / "photos"
    photos.mkdir()
    picture(1).save(photos / "a.png")
    picture(1).save(photos / "b.bmp")
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter, clockwise
    picture(1).transpose(Image.Transpose.ROTATE_90).save(photos / "c.png", exif=turned)
    picture(1).transpose(Image.Transpose.ROTATE_90).save(photos / "d.png")
    picture(2).save(photos / "e.png")
    picture(1).convert("RGBA").save(photos / "f.tiff")
    with tarfile.open(tmp_path / "some.tar", "w") as tar:
        member = tarfile.TarInfo("g.gif.png")
        member.size = len(content(1))
        tar.addfile(member, io.BytesIO(content(1)))
    rows = {"image": [{"bytes": content(1, "BMP"), "path": None}]}
    datasets.Dataset.from_dict(rows, features=datasets.Features(image=datasets.Image())).to_parquet(
        tmp_path / "t.parquet"
    )
    found = find_photos([str(photos), str(tmp_path / "some.tar"), str(tmp_path / "t.parquet")], size_px=32)
    got = [each.sha256 for each in scan(found, tmp_path / "scan")]
    names = [photo.photo_id for photo in found.photos]
    alike = {name for name, digest in zip(names, got, strict=True) if digest == got[0]}
    assert alike == {"photos/a", "photos/b", "photos/c", "photos/f", "some/g.gif", "t/row-000000"}
    assert len(set(got)) == 3
    assert all(len(digest) == 64 for digest in got)


def test_width_and_height_count_too(tmp_path: Path) -> None:
    for name, size in (("wide.png", (64, 32)), ("high.png", (32, 64))):
        Image.new("RGB", size).save(tmp_path / name)
    assert len({each.sha256 for each in scan(found_in(tmp_path), tmp_path / "scan")}) == 2


def test_large_pictures_are_read_to_their_last_row(tmp_path: Path) -> None:
    height = scanning.BAND_PX + 40
    for seed, name in enumerate(("a.png", "b.png", "c.png")):
        tall = Image.new("RGB", (32, height))
        tall.putpixel((31, height - 1), (0, 0, min(seed, 1)))
        tall.save(tmp_path / name)
    first, second, third = (each.sha256 for each in scan(found_in(tmp_path), tmp_path / "scan"))
    assert first != second == third


def test_what_cannot_be_used_has_a_reason_and_no_digest(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "good.png")
    (tmp_path / "photos" / "bad.png").write_text("no picture")
    os.mkfifo(tmp_path / "photos" / "pipe.png")
    bad, good, pipe = scan(found_in(tmp_path / "photos"), tmp_path / "scan")
    assert (len(good.sha256), good.reason) == (64, "")
    for each, name in ((bad, "bad.png"), (pipe, "pipe.png")):
        assert each.sha256 == ""
        assert each.reason.startswith(f"'{name}' is not ")
        assert str(tmp_path) not in each.reason


def test_crops_of_one_file_are_decoded_once(tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "CHUNK_PHOTOS", 4)
    files = [save(tmp_path / f"{number}.png", number) for number in range(4)]
    boxes = [(0, 0, 32, 32), (1, 0, 33, 32), None]
    photos = tuple(
        Photo(f"{file.stem}-{place}", file.stem, "", FileCrop(file, box), file.name)
        for file in files
        for place, box in enumerate(boxes)
    )
    crops = PhotoSet("crops", photos)
    got = scan(crops, tmp_path / "scan")
    assert sorted(opened) == ["0-0", "1-0", "2-0", "3-0"]
    assert len({each.sha256 for each in got}) == 12
    for photo, each in zip(photos, got, strict=True):
        assert scan(PhotoSet("one", (photo,)), tmp_path / photo.photo_id) == [each]


def test_the_crops_of_a_broken_file_are_all_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    photos = tuple(Photo(str(n), "a", "", FileCrop(tmp_path / "a.png", (n, 0, 32, 32)), f"a {n}") for n in range(3))
    assert all("is empty" in each.reason for each in scan(PhotoSet("crops", photos), tmp_path / "scan"))


def test_a_finished_scan_opens_nothing_again(ten: PhotoSet, tmp_path: Path, opened: list[str]) -> None:
    first = scan(ten, tmp_path / "scan")
    assert sorted(opened) == [str(number) for number in range(10)]
    assert sorted(path.name for path in (tmp_path / "scan").iterdir()) == [f"scan-0000{n}.parquet" for n in range(3)]
    opened.clear()
    assert scan(ten, tmp_path / "scan") == first
    assert opened == []


def test_a_killed_scan_goes_on_with_the_chunk_it_was_in(
    ten: PhotoSet, tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = scan(ten, tmp_path / "whole")
    real = pq.write_table
    written = []

    def killed(table: object, file: IO[bytes]) -> None:
        real(table, file)
        written.append(file)
        if len(written) == 2:
            file.truncate(100)
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(pq, "write_table", killed)
        with pytest.raises(KeyboardInterrupt):
            scan(ten, tmp_path / "scan")
    assert [path.name for path in (tmp_path / "scan").iterdir()] == ["scan-00000.parquet"]
    # After kill -9 the temporary file of the chunk would still be there.
    (tmp_path / "scan" / ".0123.tmp").write_bytes(b"half a chunk")
    opened.clear()
    assert scan(ten, tmp_path / "scan") == wanted
    assert sorted(opened) == ["4", "5", "6", "7", "8", "9"]


def test_a_chunk_counts_for_the_very_same_photos_only(ten: PhotoSet, tmp_path: Path, opened: list[str]) -> None:
    scan(ten, tmp_path / "scan")
    opened.clear()
    (tmp_path / "photos" / "5.png").write_bytes(content(77, "BMP"))
    changed = scan(found_in(tmp_path / "photos"), tmp_path / "scan")
    assert sorted(opened) == ["4", "5", "6", "7"]
    (tmp_path / "scan" / "scan-00002.parquet").write_bytes(b"no table")
    opened.clear()
    assert scan(found_in(tmp_path / "photos"), tmp_path / "scan") == changed
    assert sorted(opened) == ["8", "9"]


def test_what_a_person_should_know_is_told_once(tmp_path: Path) -> None:
    frames = [picture(seed) for seed in range(3)]
    (tmp_path / "photos").mkdir()
    for name in ("b", "a"):
        frames[0].save(tmp_path / "photos" / f"{name}.gif", save_all=True, append_images=frames[1:])
    told: list[str] = []
    found = found_in(tmp_path / "photos")
    boxes = [(n, 0, 36 + n, 36) for n in range(3)]
    crops = tuple(Photo(f"crop-{n}", "c", "", FileCrop(tmp_path / "photos" / "a.gif", boxes[n]), "a") for n in range(3))
    scan(PhotoSet("both", (*found.photos, *crops)), tmp_path / "scan", tell=told.append)
    assert [line.partition(":")[0] for line in told] == ["a", "b", "crop-0"]
    assert all("frame" in line for line in told)
    scan(PhotoSet("both", (*found.photos, *crops)), tmp_path / "scan", tell=told.append)
    assert len(told) == 3


def test_no_more_photos_are_open_than_there_are_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        save(tmp_path / "photos" / f"{number:02d}.png", number)
    found = found_in(tmp_path / "photos")
    wanted = scan(found, tmp_path / "one", workers=1)
    lock, at_once, most = threading.Lock(), [0], [0]
    real, meeting = PhotoSet.open, threading.Barrier(3, timeout=60)

    def watched(self: PhotoSet, photo: Photo) -> LoadedImage:
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        meeting.wait()  # only passed if three are at it together
        loaded = real(self, photo)
        with lock:
            at_once[0] -= 1
        return loaded

    monkeypatch.setattr(PhotoSet, "open", watched)
    assert scan(found, tmp_path / "three", workers=3) == wanted
    assert most[0] == 3


def test_photos_are_not_read_far_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found waits for the slowest; were all the rest opened meanwhile, a million would wait."""
    for number in range(40):
        save(tmp_path / "photos" / f"{number:02d}.png", number)
    found, done, go_on = found_in(tmp_path / "photos"), [], threading.Event()
    real = PhotoSet.open

    def slow_first(self: PhotoSet, photo: Photo) -> LoadedImage:
        if photo.photo_id == "00":
            assert go_on.wait(60)
        done.append(photo.photo_id)
        if len(done) == 4:
            threading.Timer(0.2, go_on.set).start()
        return real(self, photo)

    monkeypatch.setattr(PhotoSet, "open", slow_first)
    scan(found, tmp_path / "scan", workers=2)
    assert done.index("00") <= 5
    assert len(done) == 40


def test_an_error_of_ours_is_no_reason_to_reject_a_photo(ten: PhotoSet, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PhotoSet, "open", lambda self, photo: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scan(ten, tmp_path / "scan")
    assert not (tmp_path / "scan").exists()


def test_an_empty_set_is_scanned_in_no_time(tmp_path: Path) -> None:
    assert scan(PhotoSet("none", ()), tmp_path / "scan") == []


def test_the_bar_is_shown_on_a_terminal_only(ten: PhotoSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan(ten, tmp_path / "scan")
    assert capsys.readouterr().err == ""


def test_lines_are_told_on_stderr_without_what_would_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    scanning.tell_bar("a\x1b[2J: first frame")
    assert capsys.readouterr().err == "a?[2J: first frame\n"
