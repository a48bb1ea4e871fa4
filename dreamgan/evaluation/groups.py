"""Which pairs of a dataset are measured together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

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
        style: The generator's style that they are held against.
        trained: Whether that style was trained on this strength.
    """

    split: str
    recipe: str
    strength: float
    label: str | None
    places: tuple[int, ...]
    pairs: int
    has_second: bool
    style: str
    trained: bool

    @property
    def title(self) -> str:
        """What it is, for people."""
        style = "" if self.style == self.recipe else f", style {self.style}"
        label = "" if self.label is None else f", {self.label or 'no label'}"
        return f"{self.split}, recipe {self.recipe}{style}, {self.strength_text}{label}"

    @property
    def strength_text(self) -> str:
        """Its strength, for people."""
        return f"{'' if self.trained else 'untrained '}strength {self.strength:g}"


Kind = tuple[str, float]
"""Name of a recipe, and a strength."""


def kinds_of(rows: Any) -> dict[Kind, int]:
    """The kinds of dreams of a split, in order, each with the row of the first pair.

    Args:
        rows: A ``datasets.Dataset`` from ``load_pairs``.
    """
    found: dict[Kind, int] = {}
    for place, kind in enumerate(zip(rows["recipe"][:], rows["strength"][:], strict=True)):
        found.setdefault(kind, place)
    return dict(sorted(found.items()))


def groups_of(
    rows: Any,
    split: str,
    kind: Kind,
    labels: Sequence[str | None],
    limit: int | None,
    *,
    style: str = "",
    trained: bool = True,
) -> list[Group]:
    """Sort the pairs of a kind into groups by their label.

    Where pairs of a group have a second dream, only these are measured, so that all figures of a row are of the same
    photos.

    Args:
        rows: A ``datasets.Dataset`` from ``load_pairs``.
        split: Its name.
        kind: Recipe and strength of the pairs; others are left out.
        labels: What to tell the pairs apart by, one per row; None: nothing.
        limit: Most pairs of a group, evenly spread over it; None: all.
        style: The style that they are held against.
        trained: Whether it was trained on this strength.
    """
    found: dict[str | None, list[int]] = defaultdict(list)
    for place, other in enumerate(zip(rows["recipe"][:], rows["strength"][:], strict=True)):
        if other == kind:
            found[labels[place]].append(place)
    seeds = rows["second_seed"][:]
    groups = []
    for label in sorted(found, key=lambda label: label or ""):
        seconds = [place for place in found[label] if seeds[place] is not None]
        chosen = tuple(evenly(seconds or found[label], limit))
        groups.append(Group(split, *kind, label, chosen, len(found[label]), bool(seconds), style, trained))
    return groups


def evenly(places: Sequence[int], count: int | None) -> list[int]:
    """So many of the places, evenly spread over them; None: all."""
    count = len(places) if count is None else min(count, len(places))
    return [places[k * len(places) // count] for k in range(count)]


def seen_or_not(labels: Sequence[str], trained: Collection[str]) -> list[str | None]:
    """``SEEN`` for classes that were trained on, else ``UNSEEN``; "" is the class of photos without one."""
    return [SEEN if label in trained else UNSEEN for label in labels]
