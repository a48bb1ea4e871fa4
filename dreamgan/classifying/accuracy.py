"""How often a classifier is right, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Z_95 = 1.959964
"""Standard normal deviate of a two-sided 95 % interval."""


def wilson(right: int, count: int, z: float = Z_95) -> tuple[float, float]:
    """Interval of a share, by Wilson's score: true to its level also near 0 and 1, where errors are few.

    Source: Wilson 1927.

    Args:
        right: how many were right, 0 to `count`.
        count: of how many, at least 1.
        z: standard normal deviate of the level.

    Returns:
        Lower and upper end, in [0, 1].

    Raises:
        ValueError: the numbers make no sense.
    """
    if not 0 <= right <= count or count < 1:
        raise ValueError(f"{right} of {count} is no share")
    share = right / count
    middle = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def confusion(targets: Tensor, guesses: Tensor, classes: int) -> Tensor:
    """Count what was taken for what.

    Args:
        targets: (N,) int64, the true classes.
        guesses: (N,) int64.
        classes: how many there are.

    Returns:
        (classes, classes) int64: rows are the true classes, columns the guesses.
    """
    return torch.bincount(targets * classes + guesses, minlength=classes**2).view(classes, classes)


def accuracy_facts(counts: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """Accuracy of all and of each class, with 95 % intervals.

    Args:
        counts: from `confusion`.
        names: of the classes.

    Returns:
        "accuracy", "interval_95", "errors", "n", "per_class": name → the same, and "confusion", rows of counts.
    """
    per_class = {
        name: _facts(int(row[place]), int(row.sum()))
        for place, (name, row) in enumerate(zip(names, counts, strict=True))
    }
    whole = _facts(int(counts.diagonal().sum()), int(counts.sum()))
    return {**whole, "per_class": per_class, "confusion": counts.tolist()}


def _facts(right: int, count: int) -> dict[str, Any]:
    return {"accuracy": right / count, "interval_95": list(wilson(right, count)), "errors": count - right, "n": count}
