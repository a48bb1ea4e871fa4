import os
import pickle
import socket
from pathlib import Path

import pytest

from dreamgan.data.photos import PhotoSet
from dreamgan.data.sources import find_photos
from dreamgan.errors import UserError
from tests.data.photo_files import save, seed_of


def ids(found: PhotoSet) -> list[str]:
    return [photo.photo_id for photo in found.photos]


def rejects(found: PhotoSet) -> dict[str, str]:
    return {reject.name: reject.reason for reject in found.rejects}


def test_class_folders_give_labels(tmp_path: Path) -> None:
    for name in ("dog/a.png", "cat/b.png", "cat/deep/c.png"):
        save(tmp_path / name)
    found = find_photos(str(tmp_path), size_px=32)
    assert [(p.photo_id, p.label) for p in found.photos] == [
        ("cat/b", "cat"),
        ("cat/deep/c", "deep"),
        ("dog/a", "dog"),
    ]
    assert found.labels == ("cat", "deep", "dog")


def test_the_label_is_the_folder_that_a_photo_lies_in(tmp_path: Path) -> None:
    for name in ("train/cats/a.png", "train/dogs/b.png", "test/cats/a.png"):
        save(tmp_path / name)
    found = find_photos(str(tmp_path), size_px=32)
    assert {p.photo_id: p.label for p in found.photos} == {
        "test/cats/a": "cats",
        "train/cats/a": "cats",
        "train/dogs/b": "dogs",
    }


def test_a_stray_photo_has_no_label_and_leaves_the_others_theirs(tmp_path: Path) -> None:
    for name in ("stray.png", "cat/a.png", "dog/b.png"):
        save(tmp_path / name)
    found = find_photos(str(tmp_path), size_px=32)
    assert {p.photo_id: p.label for p in found.photos} == {"stray": "", "cat/a": "cat", "dog/b": "dog"}
    assert found.labels == ("cat", "dog")


def test_a_flat_folder_has_no_labels_and_keeps_ids_apart(tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "b.png"):
        save(tmp_path / name)
    found = find_photos(str(tmp_path), size_px=32)
    assert {p.photo_id for p in found.photos} == {"a.png", "a.bmp", "b"}
    assert {p.label for p in found.photos} == {""}
    assert found.labels == ()


def test_one_photo_is_a_set_of_one(tmp_path: Path) -> None:
    found = find_photos(str(save(tmp_path / "me.png")), size_px=32)
    assert [p.photo_id for p in found.photos] == ["me"]
    assert found.load(found.photos[0], 32).picture.size == (32, 32)


def test_bad_files_are_listed_and_fail_one_by_one(tmp_path: Path) -> None:
    save(tmp_path / "good.png")
    (tmp_path / "text.jpg").write_text("no picture")
    found = find_photos(str(tmp_path), size_px=32)
    outcome: dict[str, object] = {}
    for photo in found.photos:
        try:
            outcome[photo.photo_id] = found.load(photo, 32).picture.size
        except UserError as error:
            outcome[photo.photo_id] = str(error)
    assert outcome["good"] == (32, 32)
    assert "text.jpg" in str(outcome["text"])


def test_no_two_files_get_one_id(tmp_path: Path) -> None:
    for seed, name in enumerate(("a.png", "a.bmp", "a.png.bmp", "a.png.png", "b.png.bmp", "b.PNG")):
        save(tmp_path / name, seed)
    found = find_photos(str(tmp_path), size_px=32)
    assert ids(found) == ["a.bmp", "a.png", "a.png.bmp", "a.png.png", "b", "b.png"]
    assert seed_of(found, "b.png") == 4


def test_photos_come_folder_by_folder_and_survive_pickling(tmp_path: Path) -> None:
    for seed, name in enumerate(("b-/x.png", "b/y.png", "b/z/x.png", "b.png", "a.png")):
        save(tmp_path / name, seed)
    found = pickle.loads(pickle.dumps(find_photos(str(tmp_path), size_px=32)))
    assert ids(found) == ["a", "b/y", "b/z/x", "b-/x", "b"]
    assert [seed_of(found, photo_id) for photo_id in reversed(ids(found))] == [3, 0, 2, 1, 4]


def test_names_that_no_table_can_hold_become_rejects(tmp_path: Path) -> None:
    save(tmp_path / "good.png")
    broken = ["two\nlines.png", "a\ttab.png", "esc\x1b[2J.png", "line\u2028end.png", "new\nfolder/a.png"]
    for name in broken:
        save(tmp_path / name)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/latin-\xe9.png")).write_bytes((tmp_path / "good.png").read_bytes())
    found = find_photos(str(tmp_path), size_px=32)
    assert ids(found) == ["good"]
    line = "its name holds a line break or control character: rename it"
    assert rejects(found) == {
        r"two\nlines.png": line,
        r"a\ttab.png": line,
        r"esc\x1b[2J.png": line,
        r"line\u2028end.png": line,
        r"new\nfolder/a.png": line,
        r"latin-\udce9.png": "its name is not UTF-8: rename it",
    }
    for name in rejects(found):
        name.encode("utf-8")


def test_odd_but_sound_names_are_kept_and_told_apart(tmp_path: Path) -> None:
    # What a Mac calls a screenshot, and what looks just like the escape of it.
    for seed, name in enumerate(("at 3.45\u202fPM.png", r"at 3.45\u202fPM.png", "für 犬.png")):
        save(tmp_path / name, seed)
    found = find_photos(str(tmp_path), size_px=32)
    assert not found.rejects
    wanted = {r"at 3.45\u202fPM": 0, r"at 3.45\\u202fPM": 1, "für 犬": 2}
    assert {photo_id: seed_of(found, photo_id) for photo_id in ids(found)} == wanted
    assert all(photo.photo_id.isprintable() for photo in found.photos)


def test_links_are_followed_but_nothing_is_read_twice_or_for_ever(tmp_path: Path) -> None:
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    save(photos / "cat" / "a.png", 1)
    save(elsewhere / "b.png", 2)
    (photos / "cat" / "round").symlink_to(photos)
    (photos / "above").symlink_to(tmp_path)
    (photos / "alias.png").symlink_to(photos / "cat")
    (photos / "dog").symlink_to(elsewhere)
    (photos / "wolf").symlink_to(elsewhere)
    (photos / "self").symlink_to("self")
    (photos / "c.png").symlink_to(elsewhere / "b.png")
    found = find_photos(str(photos), size_px=32)
    assert {photo.photo_id: photo.label for photo in found.photos} == {"c": "", "cat/a": "cat", "dog/b": "dog"}
    assert seed_of(found, "dog/b") == seed_of(found, "c") == 2
    again = "leads to a folder that is read already under another name"
    above = "leads to a folder that holds the folder of the photos"
    assert rejects(found) == {"cat/round": again, "alias.png": again, "wolf": again, "above": above}
    assert len(found.rejects) == 4


def test_what_is_no_regular_file_neither_hangs_nor_ends_the_listing(tmp_path: Path) -> None:
    save(tmp_path / "good.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "dangling.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    (tmp_path / "folder.jpg").mkdir()
    save(tmp_path / "really.png" / "inside.png")
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(str(tmp_path / "socket.png"))
    found = find_photos(str(tmp_path), size_px=32)
    assert rejects(found) == {"folder.jpg": "is a folder, not a picture"}
    reasons = {}
    for photo in found.photos:
        try:
            found.open(photo)
        except UserError as error:
            reasons[photo.photo_id] = str(error)
    assert set(reasons) == {"pipe", "loop", "dangling", "zero", "socket"}
    for name in ("pipe", "zero", "socket"):
        assert "is not a regular file" in reasons[name]


def test_a_folder_that_cannot_be_read_is_a_reject_and_the_rest_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "cat" / "a.png")
    save(tmp_path / "locked" / "b.png")
    real = os.scandir

    def denied(folder: Path) -> object:
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", denied)
    found = find_photos(str(tmp_path), size_px=32)
    assert ids(found) == ["cat/a"]
    assert rejects(found) == {"locked": "the folder cannot be read: Permission denied"}
    with pytest.raises(UserError, match=r"locked' cannot be read: Permission denied$"):
        find_photos(str(tmp_path / "locked"), size_px=32)


def test_a_folder_of_bad_names_alone_says_so(tmp_path: Path) -> None:
    save(tmp_path / "two\nlines.png")
    with pytest.raises(UserError, match="can be used; first: .*its name holds a line break"):
        find_photos(str(tmp_path), size_px=32)


def test_hidden_files_and_folders_do_not_count(tmp_path: Path) -> None:
    for name in ("a.png", ".b.png", ".cache/c.png", "d/.e/f.png"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").touch()
    assert ids(find_photos(str(tmp_path), size_px=32)) == ["a"]
