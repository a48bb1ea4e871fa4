"""The kinds of dream that one or several dream datasets hold, and the rows of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from dreamgan.data.guides import read_guides
from dreamgan.data.pairs import classes, has_split, load_pairs
from dreamgan.errors import UserError

# What must be the same of all pairs of a style.
_SAME = ("recipe_json", "backbone", "weights_sha256", "guides")


@dataclass(frozen=True)
class Style:
    """A kind of dream to learn.

    Attributes:
        name: What its recipe is called.
        facts: "recipe", "recipe_json", "backbone", "weights", "weights_sha256", "guides": str; "layers": list of str;
            "seed", "size_px": int; "strengths": list of float, "labels": list of str: those of the training pairs.
        guides: The pictures that the recipe dreams of, by name, (1, 3, h, w) float32 in [0, 1].
    """

    name: str
    facts: Mapping[str, Any]
    guides: Mapping[str, Tensor]


@dataclass(frozen=True)
class StyleRows:
    """The rows of a style in one split of one dataset.

    Attributes:
        dataset: Its folder or name.
        rows: A `datasets.Dataset`.
        strengths: One per row.
    """

    dataset: str
    rows: Any
    strengths: tuple[float, ...]


def find_styles(datasets: Sequence[str], wanted: Sequence[str] = ()) -> list[Style]:
    """Find the kinds of dream in the training splits.

    Args:
        datasets: Folders or names of dream datasets, at least one.
        wanted: Names of the recipes to take, in this order; none: all, in the order in which they are found.

    Raises:
        UserError: If a dataset is given twice or is none, a recipe is not there, or two datasets mean different dreams
            by one name.
    """
    if len(set(datasets)) < len(datasets):
        raise UserError(f"a dataset is given twice in {', '.join(datasets)}")
    found: dict[str, Style] = {}
    for dataset in datasets:
        rows = load_pairs(dataset, "train")
        labels = classes(rows)
        of: dict[str, list[int]] = {}
        for row, name in enumerate(rows["recipe"][:]):
            of.setdefault(name, []).append(row)
        strengths = rows["strength"][:]
        for name, members in of.items():
            if wanted and name not in wanted:
                continue
            style = _style(dataset, rows[members[0]], name)
            if name in found:
                _check_same(found[name], style, dataset)
                style = found[name]
            facts = {
                **style.facts,
                "strengths": sorted({*style.facts["strengths"], *(strengths[row] for row in members)}),
                "labels": sorted({*style.facts["labels"], *(labels[row] for row in members)}),
            }
            found[name] = Style(name, facts, style.guides)
    lacking = [name for name in wanted if name not in found]
    if lacking:
        known = sorted({name for dataset in datasets for name in load_pairs(dataset, "train")["recipe"][:]})
        raise UserError(f"{', '.join(datasets)}: there is no recipe {lacking[0]!r}, only {', '.join(known)}")
    if not found:
        raise UserError(f"{', '.join(datasets)}: there is no pair to train on; make the dataset again")
    return [found[name] for name in wanted or found]


def rows_of(style: str, datasets: Sequence[str], split: str, strength: float | None = None) -> list[StyleRows]:
    """The rows of a style.

    Args:
        style: Its name.
        datasets: Where to look; those without the split are passed over.
        split: "train" or "test".
        strength: Which strength to take; None: all.
    """
    found = []
    for dataset in datasets:
        if not has_split(dataset, split):
            continue
        rows = load_pairs(dataset, split)
        pairs = enumerate(zip(rows["recipe"][:], rows["strength"][:], strict=True))
        members = [(row, own) for row, (name, own) in pairs if name == style and strength in (None, own)]
        if members:
            chosen = rows if len(members) == len(rows) else rows.select([row for row, _ in members])
            found.append(StyleRows(dataset, chosen, tuple(own for _, own in members)))
    return found


def _style(dataset: str, row: Mapping[str, Any], name: str) -> Style:
    facts = {key: row[key] for key in ("recipe", *_SAME, "weights", "seed")}
    facts |= {"layers": row["layers"].split(","), "size_px": min(row["photo"].size), "strengths": [], "labels": []}
    return Style(name, facts, read_guides(dataset, name, row["guides"]))


def _check_same(one: Style, other: Style, dataset: str) -> None:
    differing = [key for key in _SAME if one.facts[key] != other.facts[key]]
    if differing:
        raise UserError(
            f"{dataset} and a dataset before it both hold a recipe {one.name!r}, but with another {differing[0]}; make "
            "one of them again under another name"
        )
