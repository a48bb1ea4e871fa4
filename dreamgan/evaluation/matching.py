"""Which style of a generator dreams like the pairs of a dataset: by what was dreamed, never by its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dreamgan.dream import DreamRecipe
from dreamgan.errors import UserError

Styles = Mapping[str, Mapping[str, Any]]


def check_styles(generator: str, styles: Styles) -> None:
    """Refuse a generator that does not say what it learnt.

    Args:
        generator: What the user called it.
        styles: Name to facts.

    Raises:
        UserError: If a fact is missing or of another version.
    """
    for name, facts in styles.items():
        missing = [key for key in ("recipe_json", "backbone", "weights_sha256") if key not in facts]
        if missing:
            raise UserError(
                f"the generator {generator!r} does not say what it learnt ({missing[0]}) as {name!r}; train it again"
            )
        try:
            DreamRecipe.from_json(facts["recipe_json"])
            guides_of(facts)
            _check_lists(facts)
        except (UserError, ValueError) as error:
            raise UserError(f"the generator {generator!r} is of another version: {error}; train it again") from None


def style_of(styles: Styles, pair: Mapping[str, Any]) -> tuple[str | None, str]:
    """The style that dreams like a pair.

    Args:
        styles: Name to facts, checked.
        pair: With the columns of a dream dataset.

    Returns:
        Its name, if several dream alike that of the pair's recipe where it is among them; or None with the nearest
        reason, as the end of a sentence.

    Raises:
        UserError: If the pair holds no recipe that this version can read.
    """
    misfits = {name: misfit(facts, pair) for name, facts in styles.items()}
    fitting = [name for name, (reason, _) in misfits.items() if not reason]
    if fitting:
        return pair["recipe"] if pair["recipe"] in fitting else fitting[0], ""
    nearest = max(misfits, key=lambda name: misfits[name][1])
    reason, _ = misfits[nearest]
    return None, reason if len(styles) == 1 else f"{reason}; nearest style: {nearest}"


def misfit(learnt: Mapping[str, Any], pair: Mapping[str, Any]) -> tuple[str, int]:
    """Say why a style cannot be held against a pair.

    Args:
        learnt: Facts of the style: "recipe_json", "backbone", "weights_sha256" and "guides".
        pair: Has the same as columns.

    Returns:
        The end of a sentence, "" where it can be held against it; and how near it comes, the larger the nearer.

    Raises:
        UserError: If one of them holds no recipe that this version can read.
    """
    if learnt["backbone"] != pair["backbone"]:
        return f"is of the backbone {pair['backbone']}", -1000
    if learnt["weights_sha256"] != pair["weights_sha256"]:
        return f"was dreamed with other weights (sha256 {pair['weights_sha256'][:12]}…)", -999
    ours, theirs = (DreamRecipe.from_json(facts["recipe_json"]).as_dict() for facts in (learnt, pair))
    # A name says nothing of what a dream looks like.
    other = [field for field in ours if field != "name" and ours[field] != theirs[field]]
    if other:
        return f"is another recipe ({', '.join(other)})", -len(other)
    if guides_of(learnt) != guides_of(pair):
        return f"was dreamed with another guide ({', '.join(guides_of(pair)) or 'none'})", 0
    return "", 1


def guides_of(facts: Mapping[str, Any]) -> dict[str, str]:
    """Name of each guide to the SHA-256 of its pixels; {} without any.

    Raises:
        ValueError: If that cannot be read.
    """
    guides = json.loads(facts.get("guides", "{}"))
    if not isinstance(guides, dict):
        raise ValueError(f"its guides are {guides!r}")
    return guides


def _check_lists(facts: Mapping[str, Any]) -> None:
    for key, kind in (("strengths", int | float), ("labels", str)):
        values = facts.get(key, [])
        if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
            raise ValueError(f"its {key} are {values!r}")


def trained_strength(learnt: Mapping[str, Any], strength: float) -> bool:
    """Whether a style was trained on dreams of a strength; one that does not say was trained on whole dreams."""
    return any(abs(strength - other) < 1e-6 for other in learnt.get("strengths", [1.0]))
