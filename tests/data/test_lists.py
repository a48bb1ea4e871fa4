import os
import pickle
from pathlib import Path

import pytest

from dreamgan.data.photos import PhotoSet
from dreamgan.data.sources import find_photos
from dreamgan.errors import UserError
from tests.data.photo_files import save, seed_of


def write_list(path: Path, *lines: str | bytes, end: bytes = b"\n") -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + end for line in lines))
    return str(path)


def labels(found: PhotoSet) -> dict[str, str]:
    return {photo.photo_id: photo.label for photo in found.photos}


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_paths_are_relative_to_the_list_and_may_have_a_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    for seed, name in enumerate(("lists/in/a.png", "photos/b.png", "lists/c d.jpeg.png")):
        save(tmp_path / name, seed)
    lines = [
        "# photos",
        "",
        "in/a.png\ttabby cat",
        "  ",
        "../photos/b.png \t dog ",
        "c d.jpeg.png",
        "./in/../in/a.png\ttabby cat",
    ]
    name = write_list(tmp_path / "lists" / "mine.txt", *lines, end=end)
    monkeypatch.chdir(tmp_path / "photos")
    for spelling in (name, "../lists/mine.txt"):
        found = pickle.loads(pickle.dumps(find_photos(spelling, size_px=32)))
        assert labels(found) == {"in/a": "tabby cat", "photos/b": "dog", "c d.jpeg": ""}
        assert [seed_of(found, photo_id) for photo_id in ("c d.jpeg", "in/a", "photos/b")] == [2, 0, 1]
    assert [photo.file for photo in found.photos] == ["in/a.png", "photos/b.png", "c d.jpeg.png"]


def test_without_any_class_the_folders_are_the_classes(tmp_path: Path) -> None:
    name = write_list(tmp_path / "mine.txt", "cat/a.png", "../x/dog/b.png", "c.png")
    assert labels(find_photos(name, size_px=32)) == {"cat/a": "cat", "x/dog/b": "dog", "c": ""}


def test_absolute_paths_are_called_by_what_they_do_not_share(tmp_path: Path) -> None:
    for seed, name in enumerate(("one/cat/a.png", "one/dog/a.png", "beside/b.png")):
        save(tmp_path / name, seed)
    lines = [str(tmp_path / "one" / "cat" / "a.png"), str(tmp_path / "one" / "dog" / "a.png"), "../beside/b.png"]
    found = find_photos(write_list(tmp_path / "lists" / "mine.txt", *lines), size_px=32)
    assert labels(found) == {"cat/a": "cat", "dog/a": "dog", "beside/b": "beside"}
    assert [seed_of(found, photo_id) for photo_id in ("dog/a", "beside/b", "cat/a")] == [1, 2, 0]


def test_photos_that_would_be_called_alike_keep_their_whole_paths(tmp_path: Path) -> None:
    for seed, name in enumerate(("lists/a.png", "a.png", "far/a.png")):
        save(tmp_path / name, seed)
    absolute = str(tmp_path / "far" / "a.png")
    found = find_photos(write_list(tmp_path / "lists" / "mine.txt", "a.png", "../a.png", absolute), size_px=32)
    wanted = ["a", "../a", absolute.removesuffix(".png")]
    assert list(labels(found)) == wanted
    assert [seed_of(found, photo_id) for photo_id in wanted] == [0, 1, 2]


def test_one_photo_may_come_twice_but_not_with_two_classes(tmp_path: Path) -> None:
    absolute = str(save(tmp_path / "a.png"))
    assert (
        len(find_photos(write_list(tmp_path / "mine.txt", "a.png", absolute, f"../{tmp_path.name}/a.png"), size_px=32))
        == 1
    )
    name = write_list(tmp_path / "two.txt", "", "a.png\tcat", f"{absolute}\tdog")
    with pytest.raises(UserError, match=r"line 3 of .*two\.txt' gives .*a\.png' the class 'dog', an earlier one 'cat'"):
        find_photos(name, size_px=32)


def test_missing_files_fail_when_opened_and_names_when_listed(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 4)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.png")).write_bytes((tmp_path / "a.png").read_bytes())
    found = find_photos(write_list(tmp_path / "mine.txt", "a.png", "no.png", ".", b"\xe9.png", "b\0.png"), size_px=32)
    assert list(labels(found)) == ["a", "no", "."]
    assert [(reject.name, reject.reason[:14]) for reject in found.rejects] == [
        (r"\udce9.png", "its name is no"),
        (r"b\x00.png", "its name holds"),
    ]
    assert seed_of(found, "a") == 4
    with pytest.raises(UserError, match="'no.png' does not exist"):
        found.open(found.photos[1])
    with pytest.raises(UserError, match="is a folder"):
        found.open(found.photos[2])
    assert len(found.list_sha256()) == 64


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    found = find_photos(write_list(tmp_path / "mine.txt", b"\xef\xbb\xbfa.png", "b.png"), size_px=32)
    assert list(labels(found)) == ["a", "b"]


@pytest.mark.parametrize("lines", [[], ["", "# nothing"]])
def test_an_empty_list_says_so(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(UserError, match="lists no photo; give one path per line"):
        find_photos(write_list(tmp_path / "mine.txt", *lines), size_px=32)


def test_a_list_that_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    found = find_photos(str(tmp_path / "pipe.txt"), size_px=32)
    with pytest.raises(UserError, match="is not a regular file"):
        found.open(found.photos[0])
