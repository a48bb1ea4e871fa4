"""Ranges of hyper-parameters: what makes no sense is refused before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dreamgan.errors import UserError


def check(values: Mapping[str, Any], name: str, ok: bool, range_: str) -> None:
    """Refuse a hyper-parameter.

    Args:
        values: Name to value.
        name: Of the one that was looked at.
        ok: What was found.
        range_: What it must be, as the end of a sentence.

    Raises:
        UserError: Where it is not ok, naming value and range.
    """
    if not ok:
        raise UserError(f"{name} is {values[name]}; {range_}")


def check_ranges(
    values: Mapping[str, Any],
    *,
    positive: Sequence[str] = (),
    not_negative: Sequence[str] = (),
    below_one: Sequence[str] = (),
    shares: Sequence[str] = (),
) -> None:
    """Refuse numbers out of their range, and betas that Adam does not take.

    Args:
        values: Name to value, "betas" among them.
        positive: Names of those that must be above 0.
        not_negative: Of those that must be at least 0.
        below_one: Of those that must be at least 0 and below 1.
        shares: Of those that must be from 0 to 1.

    Raises:
        UserError: Naming the value and its range.
    """
    for name in positive:
        check(values, name, 0 < values[name] < math.inf, "it must be above 0")
    for name in not_negative:
        check(values, name, 0 <= values[name] < math.inf, "it must be at least 0")
    for name in below_one:
        check(values, name, 0 <= values[name] < 1, "it must be at least 0 and below 1")
    for name in shares:
        check(values, name, 0 <= values[name] <= 1, "it must be from 0 to 1")
    check(values, "betas", all(0 <= beta < 1 for beta in values["betas"]), "each must be at least 0 and below 1")
