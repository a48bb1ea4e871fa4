from pathlib import Path

import pytest

from dreamgan.data.photos import FileCrop, Photo
from dreamgan.data.samples import SAMPLE_PHOTOS
from dreamgan.data.scan import Scanned
from dreamgan.data.sources import find_photos
from dreamgan.data.split import count_copies, same_pixels, split_of
from dreamgan.errors import UserError


def test_all_crops_of_a_photograph_are_on_one_side() -> None:
    photos = find_photos("samples", size_px=64, crops=4).photos
    side = split_of([p.source_id for p in photos], test_fraction=0.25, seed=0)
    assert set(side) == set(SAMPLE_PHOTOS)
    assert sorted(side.values()) == ["test"] * 2 + ["train"] * 6


def test_split_is_deterministic_and_ignores_order() -> None:
    names = [f"photo-{number}" for number in range(40)]
    first = split_of(names, test_fraction=0.2, seed=1)
    assert split_of(names[::-1] + names, test_fraction=0.2, seed=1) == first
    assert split_of(names, test_fraction=0.2, seed=2) != first
    assert list(first.values()).count("test") == 8


@pytest.mark.parametrize(
    ("count", "fraction", "test"), [(1, 0.5, 0), (2, 0.01, 1), (2, 0.99, 1), (10, 0.0, 0), (10, 0.25, 3)]
)
def test_split_counts(count: int, fraction: float, test: int) -> None:
    side = split_of([str(number) for number in range(count)], test_fraction=fraction, seed=0)
    assert list(side.values()).count("test") == test


def test_split_is_stratified_where_classes_are_big_enough() -> None:
    names = [f"{label}/{number}" for label in "ab" for number in range(10)]
    labels = [name[0] for name in names]
    for seed in range(10):
        side = split_of(names, test_fraction=0.2, seed=seed, labels=labels)
        assert sorted(name[0] for name in side if side[name] == "test") == ["a", "a", "b", "b"]
    small = split_of([*names, "c/0"], test_fraction=0.2, seed=0, labels=[*labels, "c"])
    assert list(small.values()).count("test") == 4


def test_a_photo_without_a_class_does_not_undo_the_classes() -> None:
    names = [*(f"{label}/{number}" for label in "ab" for number in range(10)), "stray"]
    labels = [name[0] if "/" in name else "" for name in names]
    for seed in range(10):
        side = split_of(names, test_fraction=0.2, seed=seed, labels=labels)
        assert sorted(name[0] for name in side if side[name] == "test") == ["a", "a", "b", "b"]


def test_hold_out_wins() -> None:
    names = [f"{label}/{number}" for label in "abc" for number in range(4)]
    labels = [name[0] for name in names]
    side = split_of(names, test_fraction=0, seed=0, labels=labels, hold_out=["b", "c/1"])
    assert {name for name in side if side[name] == "test"} == {"b/0", "b/1", "b/2", "b/3", "c/1"}
    more = split_of(names, test_fraction=0.25, seed=0, labels=labels, hold_out=["b"])
    assert sorted(name[0] for name in more if more[name] == "test") == ["a", "b", "b", "b", "b", "c"]
    with pytest.raises(UserError, match="leaves no photo"):
        split_of(names, test_fraction=0, seed=0, labels=labels, hold_out=["a", "b", "c"])
    with pytest.raises(UserError, match="nearest: 'c/1'"):
        split_of(names, test_fraction=0, seed=0, labels=labels, hold_out=["cc/1"])
    with pytest.raises(UserError, match=r"1\.0"):
        split_of(names, test_fraction=1.0, seed=0)


def photo(name: str, source: str) -> Photo:
    return Photo(name, source, "", FileCrop(Path(name)), name)


def twins(**digests: str) -> dict[str, str]:
    """`same_pixels` of sources whose photos are letters: a source may have several, and letters may come again."""
    photos = [photo(f"{source}-{n}", source) for source, text in digests.items() for n in range(len(text))]
    return same_pixels(photos, [Scanned(letter) for text in digests.values() for letter in text])


def test_sources_are_the_same_by_way_of_others_too() -> None:
    assert twins(a="1", b="2", c="3") == {}
    assert twins(a="1", b="1", c="3") == {"b": "a"}
    # d and c share 3, c and b share 2, b and a share 1: one chain.
    assert twins(d="3", c="23", b="12", a="1", e="4") == {"b": "a", "c": "a", "d": "a"}
    assert twins(c="1", b="2", a="12") == {"b": "a", "c": "a"}
    assert twins(a="11") == {}


def test_photos_without_a_digest_are_like_no_other() -> None:
    photos = [photo(name, name) for name in "abc"]
    scanned = [Scanned(reason="is empty"), Scanned(reason="is empty"), Scanned("1")]
    assert same_pixels(photos, scanned) == {}
    assert count_copies(scanned) == 0
    assert count_copies([Scanned("1"), Scanned("2"), Scanned("1"), Scanned("1"), Scanned(reason="x")]) == 2


def test_a_long_chain_is_followed_to_its_end() -> None:
    links = [f"{number:05d}" for number in range(20_000)]
    photos = [photo(f"{source}{side}", source) for source in links for side in "ab"]
    scanned = [Scanned(f"link {int(source) + side}") for source in links for side in range(2)]
    assert set(same_pixels(photos[::-1], scanned[::-1]).values()) == {"00000"}


def test_copies_are_on_one_side_and_count_as_one() -> None:
    names = [f"{number:02d}" for number in range(40)]
    same = {f"{number:02d}": f"{number % 10:02d}" for number in range(10, 40)}  # ten pictures, four times each
    for seed in range(10):
        side = split_of(names, test_fraction=0.2, seed=seed, same=same)
        assert set(side) == set(names)
        assert all(side[name] == side[same.get(name, name)] for name in names)
        assert list(side.values()).count("test") == 8


def test_copies_do_not_change_the_sides_of_the_others() -> None:
    names = [f"{number:02d}" for number in range(20)]
    plain = split_of(names, test_fraction=0.25, seed=3)
    copied = split_of([*names, "99"], test_fraction=0.25, seed=3, same={"99": "07"})
    assert copied == {**plain, "99": plain["07"]}


def test_what_is_held_out_takes_its_copies_along() -> None:
    names, labels = ["a/0", "a/1", "b/0", "b/1", "c/0"], ["a", "a", "b", "b", "c"]
    same = {"b/1": "a/0"}
    for held in ("b/1", "a/0"):
        side = split_of(names, test_fraction=0, seed=0, labels=labels, hold_out=[held], same=same)
        assert {name for name in side if side[name] == "test"} == {"a/0", "b/1"}
    side = split_of(names, test_fraction=0, seed=0, labels=labels, hold_out=["b"], same=same)
    assert {name for name in side if side[name] == "test"} == {"a/0", "b/0", "b/1"}
    with pytest.raises(UserError, match="leaves no photo"):
        split_of(names[:2] + names[2:4], test_fraction=0, seed=0, hold_out=["a/1", "b/0", "b/1"], same=same)


def test_copies_of_another_class_are_dealt_out_with_the_one_that_stands_for_them() -> None:
    names = [*(f"{label}/{number}" for label in "ab" for number in range(10)), "c/0"]
    labels = [name[0] for name in names]
    for seed in range(10):
        side = split_of(names, test_fraction=0.2, seed=seed, labels=labels, same={"c/0": "b/0"})
        assert sorted(name[0] for name in side if side[name] == "test" and name != "c/0") == ["a", "a", "b", "b"]
        assert side["c/0"] == side["b/0"]
