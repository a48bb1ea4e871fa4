import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dreamgan.data import names
from dreamgan.data.photos import FileCrop, Photo, PhotoSet, Reject, Table, TableRow, TarMember
from dreamgan.errors import UserError
from tests.data.photo_files import content, picture, save


def photo(where: FileCrop | TarMember | TableRow, name: str = "a", label: str = "") -> Photo:
    return Photo(name, name, label, where, f"{name}.png")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat 犬 ü.png", "cat 犬 ü.png"),
        ("a\nb\tc\x1b\x7f", r"a\nb\tc\x1b\x7f"),
        ("\udce9\u2028\u202f\U000e0001", r"\udce9\u2028\u202f\U000e0001"),
        ("a\\nb", r"a\\nb"),
    ],
)
def test_every_character_of_a_shown_name_can_be_seen(name: str, shown: str) -> None:
    assert names.visible(name) == shown
    assert shown.isprintable()


def test_no_two_names_are_shown_alike() -> None:
    alphabet = ["\n", "n", "\\", "\xa0", "x", "a", "0"]
    texts = [""]
    for _ in range(4):
        texts += [text + letter for text in texts for letter in alphabet]
    assert len({names.visible(text) for text in set(texts)}) == len(set(texts))


def test_a_class_is_shown_as_it_is_where_it_can_be() -> None:
    assert names.visible_label("AC\\DC") == "AC\\DC"
    assert names.visible_label("two\nlines") == r"two\nlines"


def test_short_ids_are_different_where_the_files_are() -> None:
    files = ["a", "a.png", "a.b.png", "a.b", "b.png.png", "b.png", "c.PNG", "c.d", "d.jpeg"]
    short = names.short_ids(files)
    assert short == ["a", "a.png", "a.b.png", "a.b", "b.png.png", "b", "c", "c.d", "d"]


def test_a_crop_is_cut_from_the_upright_picture(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter
    picture(3).save(tmp_path / "a.png", exif=turned)
    whole = np.rot90(np.asarray(picture(3)), -1)
    crop = photo(FileCrop(tmp_path / "a.png", (2, 3, 37, 40)))
    found = PhotoSet("x", (crop,))
    assert np.array_equal(np.asarray(found.open(crop).picture), whole[3:40, 2:37])
    assert np.array_equal(np.asarray(found.open(replace(crop, where=FileCrop(tmp_path / "a.png"))).picture), whole)
    assert found.load(crop, 32).picture.size == (32, 32)


def test_errors_name_the_photo_and_not_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    bad = photo(FileCrop(tmp_path / "a.png"))
    with pytest.raises(UserError, match=r"^'a\.png' is empty") as caught:
        PhotoSet("x", (bad,)).load(bad, 32)
    assert str(tmp_path) not in str(caught.value)


def test_the_list_is_told_by_names_classes_places_and_sizes(tmp_path: Path) -> None:
    file = save(tmp_path / "a.png")
    tar = tmp_path / "a.tar"
    tar.write_bytes(content(1))
    table = Table(None, "image", (file,), ())
    in_file, in_tar, in_table = FileCrop(file), TarMember(tar, 0, 9), TableRow(0, 1)
    base = PhotoSet("x", (photo(in_file), photo(in_tar, "b"), photo(in_table, "c")), (table,))
    same = PhotoSet("y", base.photos, (table,), (Reject("z", "no"),), ("other",))
    assert same.list_sha256() == base.list_sha256() == pickle.loads(pickle.dumps(base)).list_sha256()
    (tmp_path / "moved").mkdir()
    other: list[Callable[[], PhotoSet]] = [
        lambda: replace(base, photos=base.photos[::-1]),
        lambda: replace(base, photos=(photo(in_file, "q"), *base.photos[1:])),
        lambda: replace(base, photos=(photo(in_file, label="cat"), *base.photos[1:])),
        lambda: replace(base, photos=(photo(FileCrop(file, (0, 0, 9, 9))), *base.photos[1:])),
        lambda: replace(base, photos=(base.photos[0], photo(TarMember(tar, 1, 9), "b"), base.photos[2])),
        lambda: replace(base, photos=(*base.photos[:2], photo(TableRow(0, 2), "c"))),
        lambda: replace(base, tables=(replace(table, files=(tar,)),)),
        lambda: replace(base, photos=base.photos[:2]),
    ]
    digests = {make().list_sha256() for make in other}
    assert len(digests) == len(other)
    assert base.list_sha256() not in digests
    for changed in (file, tar):
        before = base.list_sha256()
        changed.write_bytes(b"another size")
        assert base.list_sha256() != before
    file.unlink()
    assert len(base.list_sha256()) == 64


def test_the_list_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    sets = [PhotoSet("x", (photo(FileCrop(save(tmp_path / folder / "a.png"))),)) for folder in ("here", "there")]
    assert sets[0].list_sha256() == sets[1].list_sha256()


def test_a_million_photos_fit_in_memory() -> None:
    """Nothing of a photo is held that a table of names would not hold, so no dictionaries of attributes."""
    for thing in (photo(TableRow(0, 1)), FileCrop(Path("a")), TarMember(Path("a"), 0, 1), Reject("a", "b")):
        assert not hasattr(thing, "__dict__")
        assert pickle.loads(pickle.dumps(thing)) == thing
