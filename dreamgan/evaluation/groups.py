"""Which pairs of a dataset are measured together, and whether a generator can be held against them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dreamgan.dream import DreamRecipe

SEEN, UNSEEN = "seen categories", "unseen categories"


@dataclass(frozen=True)
class Group:
    """Pairs that are measured together: one row of the result.

    Attributes:
        split: "train" or "test".
        recipe: Name of the recipe.
        strength: Share of its steps that were run.
        label: What else the pairs were told apart by, such as their class; None: nothing.
        places: The rows of the split that are measured.
        pairs: How many there are of this kind.
        has_second: Whether those that are measured have a second dream.
    """

    split: str
    recipe: str
    strength: float
    label: str | None
    places: tuple[int, ...]
    pairs: int
    has_second: bool

    @property
    def title(self) -> str:
        """What it is, for people."""
        return f"{self.split}, recipe {self.recipe}, strength {self.strength:g}" + (
            "" if self.label is None else f", {self.label or 'no label'}"
        )


def groups_of(rows: Any, split: str, labels: Sequence[str | None], limit: int | None) -> list[Group]:
    """Sort the pairs of a split into groups of one recipe, strength and label.

    Where pairs of a group have a second dream, only these are measured, so that all figures of a row are of the same
    photos.

    Args:
        rows: A ``datasets.Dataset`` from ``load_pairs``.
        split: Its name.
        labels: What to tell the pairs apart by, one per row; None: nothing.
        limit: Most pairs of a group, evenly spread over it; None: all.
    """
    found: dict[tuple[str, float, str | None], list[int]] = defaultdict(list)
    for place, key in enumerate(zip(rows["recipe"][:], rows["strength"][:], labels, strict=True)):
        found[key].append(place)
    seeds = rows["second_seed"][:]
    groups = []
    for recipe, strength, label in sorted(found, key=lambda key: (key[0], key[1], key[2] or "")):
        places = found[recipe, strength, label]
        seconds = [place for place in places if seeds[place] is not None]
        chosen = evenly(seconds or places, limit)
        groups.append(Group(split, recipe, strength, label, tuple(chosen), len(places), bool(seconds)))
    return groups


def evenly(places: Sequence[int], count: int | None) -> list[int]:
    """So many of the places, evenly spread over them; None: all."""
    count = len(places) if count is None else min(count, len(places))
    return [places[k * len(places) // count] for k in range(count)]


def classes(rows: Any) -> list[str]:
    """The class of each pair as text, "" without one."""
    names = getattr(rows.features["label"], "names", None)
    return [names[label] if names and isinstance(label, int) else label or "" for label in rows["label"][:]]


def seen_or_not(labels: Sequence[str], trained: Collection[str]) -> list[str | None]:
    """``SEEN`` for classes that training pairs have, else ``UNSEEN``."""
    return [SEEN if label in trained else UNSEEN for label in labels]


def misfit(learnt: Mapping[str, Any], pair: Mapping[str, Any]) -> str:
    """Say why a generator cannot be held against a pair, as the end of a sentence; "" where it can.

    Args:
        learnt: What the generator learnt: "recipe_json", "backbone" and "weights_sha256".
        pair: Has these columns and "strength".

    Raises:
        UserError: If one of them holds no recipe that this version can read.
    """
    if learnt["backbone"] != pair["backbone"]:
        return f"is of the backbone {pair['backbone']}"
    if learnt["weights_sha256"] != pair["weights_sha256"]:
        return f"was dreamed with other weights (sha256 {pair['weights_sha256'][:12]}…)"
    ours, theirs = (DreamRecipe.from_json(facts["recipe_json"]).as_dict() for facts in (learnt, pair))
    # A name says nothing of what a dream looks like.
    other = [field for field in ours if field != "name" and ours[field] != theirs[field]]
    if other:
        return f"is another recipe ({', '.join(other)})"
    if pair["strength"] != 1:
        return f"is of strength {pair['strength']:g}, and the generator knows whole dreams only"
    return ""
