"""Who dreams which photo, and the units that follow."""

from collections import Counter
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest

from dreamgan.data.photos import FileCrop, Photo
from dreamgan.lit.dream_job import WorkUnit
from dreamgan.making.plan import plan_units, share_out


def photos_of(**classes: int) -> list[Photo]:
    names = [(label, f"{label}/{number:03d}") for label, count in classes.items() for number in range(count)]
    return [Photo(name, name, label, FileCrop(Path(f"{name}.jpg")), f"{name}.jpg") for label, name in names]


def plan(photos: list[Photo], **changes: Any) -> list[WorkUnit]:
    settings: dict[str, Any] = {
        "sha256": [f"digest of {photo.photo_id}" for photo in photos],
        "split": {photo.source_id: "test" if photo.label == "dog" else "train" for photo in photos},
        "shares": [1.0],
        "every": False,
        "unit_photos": 4,
        "seed": 0,
        "folder": Path("units"),
    }
    shares = changes.get("shares", [1.0])
    per_teacher = {"strengths": [(1.0,)] * len(shares), "second_dreams": [1.0] * len(shares)}
    return plan_units(photos, **{**settings, **per_teacher, **changes})


def counted(units: list[WorkUnit], *what: str) -> Counter[Any]:
    """Photos by some attributes of their units."""
    return Counter(chain.from_iterable([tuple(getattr(u, name) for name in what)] * len(u.photos) for u in units))


@pytest.mark.parametrize("shares", [[1.0], [1.0, 1.0, 1.0], [2.0, 1.0], [0.7, 0.2, 0.1], [1e-3, 5.0]])
def test_any_stretch_of_what_is_shared_out_is_fair(shares: list[float]) -> None:
    owners = share_out(300, shares)
    for start in range(0, 300, 37):
        for end in range(start + 1, 300, 41):
            for owner, share in enumerate(shares):
                fair = (end - start) * share / sum(shares)
                assert abs(owners[start:end].count(owner) - fair) < 2
    assert share_out(0, shares) == []


def test_every_photo_is_dreamed_once_and_none_that_cannot_be_used() -> None:
    photos = photos_of(cat=11, dog=6)
    sha256 = [f"digest of {photo.photo_id}" for photo in photos]
    sha256[3] = sha256[12] = ""
    units = plan(photos, sha256=sha256, shares=[2.0, 1.0], strengths=[(1.0,), (0.5, 1.0)])
    assert sorted(k for unit in units for k in unit.photos) == [k for k in range(17) if k not in (3, 12)]
    for unit in units:
        assert unit.sha256 == tuple(f"digest of {photos[k].photo_id}" for k in unit.photos)
        assert {photos[k].label for k in unit.photos} == {"cat" if unit.split == "train" else "dog"}
        assert 1 <= len(unit.photos) <= 4


def test_every_class_has_its_share_of_every_recipe_and_strength() -> None:
    photos = photos_of(cat=60, dog=60, bird=60)
    units = plan(photos, shares=[3.0, 1.0, 2.0], strengths=[(1.0,), (0.25, 1.0), (1.0,)])
    for label in ("cat", "dog", "bird"):
        own = Counter((unit.teacher, unit.strength) for unit in units for k in unit.photos if photos[k].label == label)
        wanted = {(0, 1.0): 30, (1, 0.25): 5, (1, 1.0): 5, (2, 1.0): 20}
        assert own.keys() == wanted.keys()
        assert all(abs(own[way] - count) <= 1 for way, count in wanted.items())


def test_neighbours_in_a_folder_do_not_go_to_recipes_in_turn() -> None:
    """Photos of a series stand side by side: every second one of it would be another dataset."""
    photos = photos_of(cat=64)
    owner = {k: unit.teacher for unit in plan(photos, shares=[1.0, 1.0]) for k in unit.photos}
    changes = sum(owner[a] != owner[b] for a, b in pairwise(range(64)))
    assert 15 < changes < 48


def test_another_seed_shares_out_otherwise_and_the_same_alike() -> None:
    photos = photos_of(cat=64)
    assert plan(photos, shares=[1.0, 1.0]) == plan(photos, shares=[1.0, 1.0])
    assert plan(photos, shares=[1.0, 1.0]) != plan(photos, shares=[1.0, 1.0], seed=1)


@pytest.mark.parametrize("second_dreams", [0.0, 0.25, 0.5, 1.0])
def test_of_the_test_photos_of_every_recipe_a_share_gets_a_second_dream(second_dreams: float) -> None:
    photos = photos_of(cat=40, dog=80)
    units = plan(photos, shares=[1.0, 1.0], strengths=[(1.0,), (0.5, 1.0)], second_dreams=[second_dreams, 1.0])
    counts = counted(units, "split", "teacher", "strength", "second")
    assert not any(second for split, _, _, second in counts if split == "train")
    assert counts["test", 0, 1.0, True] == 40 * second_dreams
    assert counts["test", 1, 0.5, True] == counts["test", 1, 1.0, True] == 20


def test_every_recipe_can_dream_every_photo() -> None:
    photos = photos_of(cat=10, dog=5)
    units = plan(photos, shares=[5.0, 1.0], strengths=[(1.0,), (1.0,)], every=True)
    assert counted(units, "teacher", "split") == {
        (0, "train"): 10,
        (1, "train"): 10,
        (0, "test"): 5,
        (1, "test"): 5,
    }


def test_units_stand_in_the_order_of_their_photos_training_first() -> None:
    photos = photos_of(dog=20, cat=20)  # the test photos come first in the set
    units = plan(photos, shares=[1.0, 1.0])
    assert [unit.path.name for unit in units] == [f"{number:07d}.parquet" for number in range(len(units))]
    splits = [unit.split for unit in units]
    assert splits == sorted(splits, key=["train", "test"].index)
    for name in ("train", "test"):
        first = [unit.photos[0] for unit in units if unit.split == name]
        assert first == sorted(first)
    assert all(list(unit.photos) == sorted(unit.photos) for unit in units)
