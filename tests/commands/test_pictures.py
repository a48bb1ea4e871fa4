import csv
import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from dreamgan.commands import pictures
from dreamgan.commands.pictures import (
    Job,
    is_utf8,
    loaded_batches,
    noise_size,
    plan,
    printable,
    write_rejects,
)
from dreamgan.dream.guide import named_pictures
from dreamgan.errors import UserError
from dreamgan.images import load_image, save_png

MakePhotos = Callable[..., Path]


def targets(jobs: list[Job], out: Path) -> dict[str, str]:
    return {job.name: str(job.target.relative_to(out)) for job in jobs}


def test_a_folder_keeps_its_sub_folders(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("a.jpg", "b/a.png", "b/c d ü.jpeg")
    assert targets(plan(str(photos), tmp_path / "out"), tmp_path / "out") == {
        "a.jpg": "a.png",
        "b/a.png": "b/a.png",
        "b/c d ü.jpeg": "b/c d ü.png",
    }


def test_photos_of_one_stem_keep_their_suffixes(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("a.jpg", "a.png", "A.bmp", "a.jpg.gif", "b.jpg")
    found = targets(plan(str(photos), tmp_path / "out"), tmp_path / "out")
    assert found == {
        "a.jpg": "a.jpg.png",
        "a.png": "a.png.png",
        "A.bmp": "A.bmp.png",
        "a.jpg.gif": "a.jpg.gif.png",
        "b.jpg": "b.png",
    }


def test_one_photo(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("a.jpg", "b.jpg")
    assert targets(plan(str(photos / "b.jpg"), tmp_path / "out"), tmp_path / "out") == {"b.jpg": "b.png"}


def test_what_lies_under_out_is_no_photo(make_photos: MakePhotos) -> None:
    photos = make_photos("a.jpg", "dreams/old.png")
    assert [job.name for job in plan(str(photos), photos / "dreams")] == ["a.jpg"]


def test_only_dreams_to_dream_of(make_photos: MakePhotos) -> None:
    photos = make_photos("dreams/old.png")
    with pytest.raises(UserError, match="all pictures in .* lie under --out"):
        plan(str(photos), photos / "dreams")


@pytest.mark.parametrize("out", [".", "x/.."])
def test_the_photo_folder_itself_is_refused(make_photos: MakePhotos, out: str) -> None:
    photos = make_photos("a.jpg", "x/b.jpg")
    with pytest.raises(UserError, match="is the folder of the photos; give another --out"):
        plan(str(photos), photos / out)


def test_a_neighbour_of_the_photo_is_not_overwritten(make_photos: MakePhotos) -> None:
    photos = make_photos("a.jpg", "a.png")
    with pytest.raises(UserError, match="a.png' was not written by dreamgan"):
        plan(str(photos / "a.jpg"), photos)


def test_a_png_photo_is_not_overwritten_with_its_dream(make_photos: MakePhotos) -> None:
    photos = make_photos("a.png")
    with pytest.raises(UserError, match="a.png' was not written by dreamgan"):
        plan(str(photos / "a.png"), photos)


def test_a_file_that_is_no_picture_is_not_overwritten(make_photos: MakePhotos, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_text("notes")
    with pytest.raises(UserError, match="a.png' was not written by dreamgan"):
        plan(str(make_photos("a.jpg")), tmp_path / "out")


def test_an_earlier_dream_is_replaced(make_photos: MakePhotos, tmp_path: Path) -> None:
    save_png(Image.new("RGB", (40, 40)), tmp_path / "out" / "a.png", metadata={"version": "0"})
    assert len(plan(str(make_photos("a.jpg")), tmp_path / "out")) == 1


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="empty name"):
        plan("", tmp_path)


def test_names_that_are_no_text(make_photos: MakePhotos, tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff.jpg")
    try:
        photos = make_photos("a.jpg")
        (photos / "a.jpg").rename(photos / odd)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (job,) = plan(str(photos), tmp_path / "out")
    assert job.name == "\ufffd.jpg"
    assert job.target == tmp_path / "out" / os.fsdecode(b"\xff.png")
    assert not is_utf8(odd)
    assert is_utf8("ü.jpg")


def test_printable() -> None:
    assert printable("a\nb\x1b[2J\udcff ü 猫") == "a?b?[2J? ü 猫"


def test_batches_are_of_one_size_and_keep_every_photo(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("a.jpg", "b.jpg", "e.jpg")
    make_photos("c.jpg", "d.jpg", size=(33, 47))
    rejects: list[tuple[str, str]] = []
    groups = list(loaded_batches(plan(str(photos), tmp_path / "out"), batch=2, max_side=0, rejects=rejects))
    assert [[job.name for job, _ in group] for group in groups] == [["a.jpg", "b.jpg"], ["c.jpg", "d.jpg"], ["e.jpg"]]
    assert all(len({loaded.picture.size for _, loaded in group}) == 1 for group in groups)
    assert rejects == []


def test_photos_of_many_sizes_do_not_pile_up(
    make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in range(40, 50):
        make_photos(f"{side}.png", size=(side, 40))
    jobs = plan(str(tmp_path / "photos"), tmp_path / "out")
    monkeypatch.setattr(pictures, "MOST_WAITING_PIXELS", 3 * 50 * 40)
    loaded = 0

    real = load_image

    def counted(path: Path) -> object:
        nonlocal loaded
        loaded += 1
        return real(path)

    monkeypatch.setattr(pictures, "load_image", counted)
    given = 0
    for group in loaded_batches(jobs, batch=8, max_side=0, rejects=[]):
        assert loaded - given <= 4
        given += len(group)
    assert given == 10


def test_max_side(make_photos: MakePhotos, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = plan(str(make_photos("a.png", size=(100, 80))), tmp_path / "out")
    ((_, loaded),) = next(loaded_batches(jobs, batch=1, max_side=50, rejects=[]))
    assert loaded.picture.size == (50, 40)
    assert "a.png: shrunk from 100x80 to 50x40 px (a larger --max_side keeps more)" in capsys.readouterr().err
    ((_, loaded),) = next(loaded_batches(jobs, batch=1, max_side=0, rejects=[]))
    assert loaded.picture.size == (100, 80)
    assert capsys.readouterr().err == ""


def test_a_strip_is_not_shrunk_to_nothing(make_photos: MakePhotos, tmp_path: Path) -> None:
    jobs = plan(str(make_photos("a.png", size=(400, 40))), tmp_path / "out")
    with pytest.raises(UserError, match="would be shrunk from 400x40 to 100x10 px, too narrow; raise --max_side"):
        next(loaded_batches(jobs, batch=1, max_side=100, rejects=[]))


def test_rejects_are_listed_and_an_old_list_is_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rejects([("a, b.jpg", "is empty"), ("ü\n.jpg", "too")], tmp_path)
    with (tmp_path / "rejects.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["photo", "reason"], ["a, b.jpg", "is empty"], ["ü\n.jpg", "too"]]
    assert "2 pictures could not be used" in capsys.readouterr().err
    write_rejects([], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_half_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_rejects([("a.jpg", "is empty")], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_list_of_somebody_elses_is_left_alone(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos, out = make_photos("a.jpg"), tmp_path / "out"
    write_rejects([("b.jpg", "is empty")], out)
    assert len(plan(str(photos), out)) == 1
    for content in ("photo,verdict\na.jpg,ugly\n", "", "\xff"):
        (out / "rejects.csv").write_text(content, encoding="latin-1")
        with pytest.raises(UserError, match="rejects.csv' was not written by dreamgan; move it"):
            plan(str(photos), out)
        assert (out / "rejects.csv").read_text(encoding="latin-1") == content


def test_pictures_of_a_flag(make_photos: MakePhotos, tmp_path: Path) -> None:
    folder = make_photos("a.png", "b.jpg", "c=d,e=f.png", size=(100, 60))
    a, b, odd = (str(folder / name) for name in ("a.png", "b.jpg", "c=d,e=f.png"))

    def sizes(text: str | None, max_side: int = 0) -> dict[str, tuple[int, int]]:
        return {name: picture.size for name, picture in named_pictures(text, "guide", max_side).items()}

    assert sizes(None) == {}
    assert sizes(a) == {"guide": (100, 60)}
    assert sizes(a, 50) == {"guide": (50, 30)}
    assert sizes(f"sky={a}, sea ={b}") == {"sky": (100, 60), "sea": (100, 60)}
    # A file may hold what stands between names.
    assert sizes(odd) == {"guide": (100, 60)}
    assert named_pictures(f"one={a},two={b}", "", 0)["two"].tobytes() == load_image(Path(b)).picture.tobytes()


def test_a_name_is_given_once(make_photos: MakePhotos) -> None:
    folder = make_photos("a.png")
    with pytest.raises(UserError, match="'sky' is named twice"):
        named_pictures(f"sky={folder / 'a.png'},sky ={folder / 'a.png'}", "guide", 0)


@pytest.mark.parametrize("text", ["none.png", "sky=none.png", "", "sky=", "a.png,none.png"])
def test_pictures_of_a_flag_that_are_none(text: str, make_photos: MakePhotos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_photos("a.png"))
    with pytest.raises(UserError, match=r"none.png' does not exist|'\.' is a folder, not a picture") as caught:
        named_pictures(text, "guide", 0)
    assert "\n" not in str(caught.value)


def test_noise_has_width_and_height_the_other_way_round() -> None:
    assert noise_size("noise:320x240") == (240, 320)
    assert noise_size("noise.png") is None
    assert noise_size("folder/noise:320x240") is None
