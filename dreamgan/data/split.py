"""Training or test: whole photographs, with all their crops and copies, go to one side."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from dreamgan.data.names import nearest
from dreamgan.data.photos import Photo
from dreamgan.data.scan import Scanned
from dreamgan.errors import UserError

_NONE_ALIKE: Mapping[str, str] = MappingProxyType({})


def split_of(
    source_ids: Sequence[str],
    *,
    test_fraction: float,
    seed: int,
    labels: Sequence[str] | None = None,
    hold_out: Sequence[str] = (),
    same: Mapping[str, str] = _NONE_ALIKE,
) -> dict[str, str]:
    """Deal whole photographs out to training and test, so that no crop or copy of one is on both sides.

    Sources are ranked by the SHA-256 of (seed, source id), so that the result depends on nothing else.

    Args:
        source_ids: one per photo; a source may come several times.
        test_fraction: share of the sources for the test, in [0, 1); at least one source where it is above 0
            and there are two, never all of them.
        seed: of the ranking.
        labels: the class of each entry of `source_ids`, "" without one. The fraction is taken class by class
            where every class is big enough to give one source, else over all.
        hold_out: source ids or classes that are test whatever the fraction; the fraction is then of the
            others.
        same: from `same_pixels`: source id → the source that stands for it and all its copies. They count as one,
            with the class of the one that stands for them; where one is held out, all are.

    Returns:
        source id → "train" or "test".

    Raises:
        UserError: a fraction outside [0, 1), a held-out name that does not occur, or nothing left to train
            on.
    """
    if not 0 <= test_fraction < 1:
        raise UserError(f"test fraction is {test_fraction}; it must be at least 0 and below 1")
    label_of: dict[str, str] = {}
    for source_id, label in zip(source_ids, labels or [""] * len(source_ids), strict=True):
        label_of.setdefault(source_id, label)
    _check_known(hold_out, label_of)
    held_names = set(hold_out)
    held = {
        same.get(source, source) for source, label in label_of.items() if source in held_names or label in held_names
    }
    classes: dict[str, list[str]] = defaultdict(list)
    for source_id in dict.fromkeys(same.get(source, source) for source in label_of):
        if source_id not in held:
            classes[label_of[source_id]].append(source_id)
    if label_of and not classes:
        raise UserError(f"holding out {', '.join(map(repr, hold_out))} leaves no photo to train on; hold out fewer")
    # Those without a class are dealt out like one, but a stray photo is no reason to do without classes.
    if not all(len(of) > 1 and _test_count(len(of), test_fraction) for label, of in classes.items() if label):
        classes = {"": [source for members in classes.values() for source in members]}
    test = set(held)
    for members in classes.values():
        count = _test_count(len(members), test_fraction)
        if test_fraction > 0 and len(members) > 1:
            count = max(count, 1)
        test.update(sorted(members, key=lambda source: _rank(seed, source))[: min(count, len(members) - 1)])
    return {source_id: "test" if same.get(source_id, source_id) in test else "train" for source_id in label_of}


def same_pixels(photos: Sequence[Photo], scanned: Sequence[Scanned]) -> dict[str, str]:
    """Find the sources that have a picture in common, directly or by way of others.

    Args:
        photos: of one set.
        scanned: what was found of each.

    Returns:
        source id → the smallest source id among all that are the same; without those that are like no other.
    """
    stands_for: dict[str, str] = {}

    def first(source: str) -> str:
        while source in stands_for:
            next_one = stands_for[source]
            stands_for[source] = stands_for.get(next_one, next_one)  # a shorter way for whoever asks next
            source = next_one
        return source

    seen: dict[str, str] = {}
    for photo, each in zip(photos, scanned, strict=True):
        if not each.sha256:
            continue
        here, there = first(photo.source_id), first(seen.setdefault(each.sha256, photo.source_id))
        if here != there:
            stands_for[max(here, there)] = min(here, there)
    return {source: first(source) for source in stands_for}


def count_copies(scanned: Sequence[Scanned]) -> int:
    """Count the photos whose pixels are those of an earlier one."""
    digests = [each.sha256 for each in scanned if each.sha256]
    return len(digests) - len(set(digests))


def _check_known(names: Sequence[str], label_of: Mapping[str, str]) -> None:
    labels = set(label_of.values()) - {""}
    for name in names:
        if not name or (name not in labels and name not in label_of):
            near = nearest(name, (*sorted(labels), *label_of))
            raise UserError(
                f"held-out {name!r} is neither a class nor one of the {len(label_of)} photos taken; nearest: {near!r}"
                if near
                else f"held-out {name!r} is not in the empty set"
            )


def _test_count(sources: int, fraction: float) -> int:
    return int(sources * fraction + 0.5)


def _rank(seed: int, source_id: str) -> str:
    return hashlib.sha256(f"{seed}:{source_id}".encode()).hexdigest()
