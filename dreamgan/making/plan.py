"""Who dreams which photo, and the work units that follow from it."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from dreamgan.data.pairs import SPLITS
from dreamgan.data.photos import Photo
from dreamgan.lit.dream_job import WorkUnit

Way = tuple[str, int, float, bool]  # split, teacher, strength, second dream: what the photos of a unit have in common


def share_out(count: int, shares: Sequence[float]) -> list[int]:
    """Deal ``count`` things out by shares: each goes to whoever is farthest behind, so that any stretch is fair.

    Args:
        count: How many.
        shares: In relation to each other, each above 0.

    Returns:
        For each thing the place of its owner in ``shares``.
    """
    whole = math.fsum(shares)
    had = [0] * len(shares)
    owners = []
    for number in range(1, count + 1):
        behind = [number * share / whole - have for share, have in zip(shares, had, strict=True)]
        owner = behind.index(max(behind))
        had[owner] += 1
        owners.append(owner)
    return owners


def plan_units(
    photos: Sequence[Photo],
    sha256: Sequence[str],
    split: Mapping[str, str],
    shares: Sequence[float],
    strengths: Sequence[Sequence[float]],
    *,
    every: bool,
    second_dreams: Sequence[float],
    unit_photos: int,
    seed: int,
    folder: Path,
) -> list[WorkUnit]:
    """Cut a dataset into work units: the same for the same arguments, whoever does the work.

    Photos are shared out class by class, in an order drawn from (seed, photo id), so that every class has its share
    of every recipe and strength.

    Args:
        photos: All of the set, in order.
        sha256: Of the pixels of each; "" for those that cannot be used.
        split: Source id to "train" or "test".
        shares: Of each teacher.
        strengths: Of each teacher.
        every: Every teacher dreams every photo, whatever the shares.
        second_dreams: Share of the test photos of each teacher that get a second dream.
        unit_photos: Most photos per unit.
        seed: Of the order.
        folder: Where the units' files go.

    Returns:
        Units in the order in which their rows shall stand: training before test, then as the photos.
    """
    ways: dict[Way, list[int]] = defaultdict(list)
    for name in SPLITS:
        usable = [k for k, photo in enumerate(photos) if sha256[k] and split[photo.source_id] == name]
        usable.sort(key=lambda k: (photos[k].label, _rank(seed, photos[k].photo_id)))
        owners = share_out(len(usable), shares)
        for teacher in range(len(shares)):
            own = usable if every else [k for k, owner in zip(usable, owners, strict=True) if owner == teacher]
            for place, k in enumerate(own):
                # Among the photos of each strength, as many as the share of second dreams asks for.
                turn, which = divmod(place, len(strengths[teacher]))
                share = second_dreams[teacher]
                second = name == "test" and math.floor((turn + 1) * share) > math.floor(turn * share)
                ways[name, teacher, strengths[teacher][which], second].append(k)
    cut: list[tuple[Way, tuple[int, ...]]] = []
    for way, members in ways.items():
        members.sort()
        cut += [(way, tuple(members[k : k + unit_photos])) for k in range(0, len(members), unit_photos)]
    cut.sort(key=lambda item: (SPLITS.index(item[0][0]), item[1][0], item[0]))
    return [
        WorkUnit(*way, members, tuple(sha256[k] for k in members), folder / f"{number:07d}.parquet")
        for number, (way, members) in enumerate(cut)
    ]


def _rank(seed: int, photo_id: str) -> bytes:
    return hashlib.sha256(f"{seed}:share:{photo_id}".encode()).digest()
