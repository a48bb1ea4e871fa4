"""Which pairs of which datasets a generator is held against."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dreamgan.data.pairs import SPLITS, classes, has_split, load_pairs
from dreamgan.errors import UserError
from dreamgan.evaluation.groups import Group, groups_of, kinds_of, seen_or_not
from dreamgan.evaluation.matching import Styles, style_of, trained_strength
from dreamgan.evaluation.pictures import COLUMNS


@dataclass(frozen=True)
class Wish:
    """What the user wants to have measured.

    Attributes:
        split: "test", "train" or "all".
        by_label: Each class on its own.
        by_seen: Classes that were trained on and classes that were not on their own.
        labels: Only these classes; None: all.
        limit: Most pairs of a group; None: all.
    """

    split: str = "test"
    by_label: bool = False
    by_seen: bool = False
    labels: tuple[str, ...] | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Chosen:
    """Pairs that are measured together.

    Attributes:
        group: Which ones.
        table: The split that they are in.
        pair: The facts of one of them, without its pictures.
        dataset: As the user named it.
    """

    group: Group
    table: Any
    pair: dict[str, Any]
    dataset: str


def names_in(text: str, flag: str) -> list[str]:
    """Names with commas between.

    Raises:
        UserError: If one is empty or given twice.
    """
    names = [part.strip() for part in text.split(",")]
    if not all(names):
        raise UserError(f"{flag} {text!r} holds an empty name; give NAME or NAME,NAME")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"{flag} {text!r} names {twice!r} twice; leave one out")
    return names


def datasets_in(text: str) -> list[str]:
    """Datasets with commas between; a folder may have a comma in its own name.

    Raises:
        UserError: If one is empty or given twice, also by another path.
    """
    if Path(text).expanduser().exists():
        return [text]
    names = names_in(text, "DATASET")
    found: dict[Path, str] = {}
    for name in names:
        place = Path(name).expanduser().resolve()
        if place in found:
            raise UserError(f"DATASET {found[place]!r} and {name!r} are the same folder; leave one out")
        found[place] = name
    return names


def choose(styles: Styles, datasets: Sequence[str], wish: Wish) -> tuple[list[Chosen], list[str]]:
    """The groups of pairs that a generator can be held against.

    Args:
        styles: What it learnt: name to facts, checked.
        datasets: Folders, or names on the Hugging Face hub.
        wish: Which pairs, and how they are told apart.

    Returns:
        The groups, and what was left out: sentences.

    Raises:
        UserError: If a dataset cannot be read or gives nothing, two hold pairs that a row could not tell apart, or no
            pair has one of the labels.
    """
    tables = {name: _splits(name, wish.split) for name in datasets}
    _check_labels(wish.labels, [table for splits in tables.values() for table in splits.values()])
    chosen: list[Chosen] = []
    left_out: list[str] = []
    for name, splits in tables.items():
        found, reasons = _choose(styles, name, splits, wish)
        if not found:
            learnt = ", ".join(f"{style} of {facts['backbone']}" for style, facts in styles.items())
            raise UserError(
                f"the generator learnt {learnt}, and {name!r} has no such pairs ({'; '.join(reasons[:3]) or 'no pair'})"
                "; give the dataset that it was trained on, or one of the same recipe"
            )
        chosen += found
        left_out += reasons
    _check_told_apart(chosen)
    return chosen, left_out


def _splits(dataset: str, split: str) -> dict[str, Any]:
    names = [split]
    if split == "all":
        names = [name for name in reversed(SPLITS) if has_split(dataset, name)] or ["train"]
    return {name: load_pairs(dataset, name) for name in names}


def _choose(styles: Styles, dataset: str, splits: dict[str, Any], wish: Wish) -> tuple[list[Chosen], list[str]]:
    chosen, reasons = [], []
    for split, table in splits.items():
        named = classes(table)
        if wish.labels is not None:
            kept = [place for place, label in enumerate(named) if label in wish.labels]
            table, named = table.select(kept), [named[place] for place in kept]
        facts = table.remove_columns(list(COLUMNS))
        for kind, first in kinds_of(table).items():
            style, reason = style_of(styles, facts[first])
            if style is None:
                reasons.append(f"{split}, recipe {kind[0]}, strength {kind[1]:g} {reason}")
                continue
            labels: Sequence[str | None] = named if wish.by_label else [None] * len(named)
            if wish.by_seen:
                labels = seen_or_not(named, _trained_labels(styles, style, dataset))
            trained = trained_strength(styles[style], kind[1])
            for group in groups_of(table, split, kind, labels, wish.limit, style=style, trained=trained):
                if len(group.places) < 2:
                    reasons.append(f"{group.title} has a single pair, and a spread takes two")
                else:
                    chosen.append(Chosen(group, table, facts[group.places[0]], dataset))
    return chosen, reasons


def _trained_labels(styles: Styles, style: str, dataset: str) -> Collection[str]:
    """The classes that a style was trained on; if it does not say, those of the dataset's training split."""
    labels: Collection[str] | None = styles[style].get("labels")
    return set(classes(load_pairs(dataset, "train"))) if labels is None else labels


def _check_labels(labels: Sequence[str] | None, tables: Sequence[Any]) -> None:
    known = sorted({label for table in tables for label in classes(table)} - {""})
    for label in labels or ():
        if label not in known:
            near = get_close_matches(label, known, n=1, cutoff=0.0)
            nearest = f"nearest: {near[0]!r}" if near else "no pair has a class"
            shown = f" (known: {', '.join(known)})" if 0 < len(known) <= 20 else ""
            raise UserError(f"--labels: no pair has the class {label!r}; {nearest}{shown}")


def _check_told_apart(chosen: Sequence[Chosen]) -> None:
    """The figures name split, recipe, strength and label, but no dataset."""
    seen: dict[tuple[str, str, float, str | None], str] = {}
    for each in chosen:
        group = each.group
        other = seen.setdefault((group.split, group.recipe, group.strength, group.label), each.dataset)
        if other != each.dataset:
            raise UserError(
                f"{other!r} and {each.dataset!r} both hold {group.title}; evaluate them one after the other"
            )
