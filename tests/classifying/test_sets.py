from pathlib import Path
from typing import Any

import pytest

from dreamgan.classifying.sets import LabelledSets, find_labelled
from dreamgan.errors import UserError
from tests.classifying.conftest import MakeClasses


def found(photos: Path, tmp_path: Path, said: list[str] | None = None, **source: object) -> LabelledSets:
    said = [] if said is None else said
    return find_labelled(str(photos), folder=tmp_path / "scans", tell=said.append, **source)  # type: ignore[arg-type]


def names(sets: LabelledSets, split: str) -> list[str]:
    return [photo.file for photo in getattr(sets, split).photos]


def test_the_last_by_name_of_each_class(make_classes: MakeClasses, tmp_path: Path) -> None:
    sets = found(make_classes({"bee": 3, "ant": 4}), tmp_path, val_last=2)
    assert sets.classes == ("ant", "bee")
    assert names(sets, "train") == ["ant/00.png", "ant/01.png", "bee/00.png"]
    assert names(sets, "val") == ["ant/02.png", "ant/03.png", "bee/01.png", "bee/02.png"]
    assert sets.val.targets == (0, 0, 1, 1)


def test_folders_train_and_val(make_classes: MakeClasses, tmp_path: Path) -> None:
    make_classes({"ant": 3, "bee": 2}, "set/train")
    sets = found(make_classes({"ant": 1, "bee": 2}, "set/val").parent, tmp_path, val_last=1)
    assert (len(sets.train), len(sets.val), sets.copies) == (5, 3, 0)


def test_a_share_of_each_class_and_copies_on_one_side(make_classes: MakeClasses, tmp_path: Path) -> None:
    photos = make_classes({"ant": 10, "bee": 10})
    for number in range(10):  # every photo of a class twice
        (photos / "ant" / f"copy{number}.png").write_bytes((photos / "ant" / f"{number:02d}.png").read_bytes())
    sets = found(photos, tmp_path, val_fraction=0.3)
    assert sets.copies == 0
    assert sorted(set(sets.val.targets)) == [0, 1]
    assert len(sets.val) == 3 * 2 + 3


def test_copies_across_the_split_are_counted(make_classes: MakeClasses, tmp_path: Path) -> None:
    photos = make_classes({"ant": 3, "bee": 3})
    (photos / "bee" / "99.png").write_bytes((photos / "bee" / "00.png").read_bytes())
    assert found(photos, tmp_path, val_last=1).copies == 1


def test_an_unreadable_picture_is_left_out_and_named(make_classes: MakeClasses, tmp_path: Path) -> None:
    photos, said = make_classes({"ant": 3, "bee": 3}), list[str]()
    (photos / "ant" / "01.png").write_bytes(b"no picture")
    sets = found(photos, tmp_path, said, val_last=1)
    assert len(sets.train) + len(sets.val) == 5
    (line,) = said
    assert "ant/01.png" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        ({"ant": 3}, {"ant": 1}, "has the one class 'ant'"),
        ({"ant": 3, "bee": 0}, {"ant": 1, "bee": 1}, "class 'bee' of .* has no picture"),
        ({"ant": 3, "bee": 2}, {"ant": 1}, "differ: 'bee' is in training only"),
        ({"ant": 3, "bee": 2}, {"ant": 1, "bee": 1, "cow": 1}, "differ: 'cow' is in validation only"),
    ],
)
def test_sets_that_cannot_be_learnt(
    train: dict[str, int], val: dict[str, int], message: str, make_classes: MakeClasses, tmp_path: Path
) -> None:
    make_classes(train, "set/train")
    photos = make_classes(val, "set/val").parent
    with pytest.raises(UserError, match=message):
        found(photos, tmp_path)


def test_a_class_of_unreadable_pictures_is_empty(make_classes: MakeClasses, tmp_path: Path) -> None:
    photos = make_classes({"ant": 3, "bee": 1})
    (photos / "bee" / "00.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="class 'bee' of .* has no picture"):
        found(photos, tmp_path)


def test_a_photo_without_a_class(make_classes: MakeClasses, tmp_path: Path) -> None:
    photos = make_classes({"ant": 3, "bee": 3})
    (photos / "stray.png").write_bytes((photos / "bee" / "00.png").read_bytes())
    with pytest.raises(UserError, match=r"'stray.png' of .* has no class"):
        found(photos, tmp_path)


def test_too_few_to_hold_any_out(make_classes: MakeClasses, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="class 'bee' has 2 photos, so val_last 2 leaves none"):
        found(make_classes({"ant": 3, "bee": 2}), tmp_path, val_last=2)


@pytest.mark.parametrize(
    ("counts", "fraction", "message"),
    [
        ({"ant": 6, "bee": 1}, 0.2, "^class 'bee' has 1 photo; at least 2 are needed$"),
        ({"ant": 20, "bee": 2}, 0.1, "^class 'bee' has 2 photos, too few .* of 0.1; .* raise --data.val_fraction$"),
        ({"ant": 6, "bee": 6, "bee/wild": 1}, 0.2, r"^class 'wild' \(folder 'bee/wild'\) has 1 photo; at least 2"),
    ],
)
def test_a_class_that_cannot_be_split(
    counts: dict[str, int], fraction: float, message: str, make_classes: MakeClasses, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        found(make_classes(counts), tmp_path, val_fraction=fraction)


def test_copies_do_not_make_a_class_larger(make_classes: MakeClasses, tmp_path: Path) -> None:
    photos = make_classes({"ant": 6, "bee": 1})
    (photos / "bee" / "copy.png").write_bytes((photos / "bee" / "00.png").read_bytes())
    with pytest.raises(UserError, match="class 'bee' has 1 photo without its copies; at least 2 are needed"):
        found(photos, tmp_path)


def test_a_class_of_one_side_in_another_folder_is_told_with_it(make_classes: MakeClasses, tmp_path: Path) -> None:
    make_classes({"ant": 3, "bee": 2, "bee/wild": 1}, "set/train")
    photos = make_classes({"ant": 1, "bee": 1}, "set/val").parent
    with pytest.raises(UserError, match=r"differ: 'wild' \(folder 'bee/wild'\) is in training only"):
        found(photos, tmp_path)


def test_a_hidden_folder_of_photos_is_left_out_and_named(make_classes: MakeClasses, tmp_path: Path) -> None:
    photos, said = make_classes({"ant": 3, "bee": 3, ".cow": 3, ".empty": 0}), list[str]()
    assert found(photos, tmp_path, said, val_last=1).classes == ("ant", "bee")
    assert said == [f"left out: folder '.cow' of '{photos}': its name begins with a dot"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"val_fraction": 0.0}, "^val_fraction is 0.0; it must be above 0 and below 1$"),
        ({"val_last": -1}, "^val_last is -1; it must be at least 0$"),
    ],
)
def test_only_the_wrong_number_is_named(source: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        found(tmp_path, tmp_path, **source)
