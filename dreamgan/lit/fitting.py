"""Does a checkpoint fit a model? What differs is said in words of the flags that would mend it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from dreamgan.data.styles import Style

# What decides a style's dreams: a run goes on with the same ones only.
_SAME = ("backbone", "weights_sha256", "guides", "recipe_json")


def dreams_of(styles: Sequence[Style]) -> dict[str, dict[str, str]]:
    """Name of each style to what decides its dreams: network, weights, guides and the whole recipe."""
    return {style.name: {fact: str(style.facts[fact]) for fact in _SAME} for style in styles}


def misfit(
    checkpoint: Mapping[str, Any],
    values: Mapping[str, Any],
    shape: Sequence[str],
    styles: Sequence[Style],
    state: Mapping[str, Tensor],
) -> str | None:
    """Say why a checkpoint is not one of a model, as the end of a sentence; None where it is.

    Args:
        checkpoint: As Lightning writes it, with what ``Gan.on_save_checkpoint`` adds.
        values: The model's hyper-parameters.
        shape: Names of those that decide the shapes of the networks.
        styles: That the model was made for.
        state: The model's own weights.
    """
    theirs = checkpoint.get("hyper_parameters", {})
    other = [name for name in shape if name in theirs and _text(theirs[name]) != _text(values[name])]
    if other:
        was, now = (", ".join(f"{name} {_text(side[name])}" for name in other) for side in (theirs, values))
        flags = " and ".join(f"--model.{name}" for name in other)
        return f"was trained with {was}, this model has {now}; give the same {flags}"
    names = [style.name for style in styles]
    learnt = checkpoint.get("styles", names)
    if learnt != names:
        return (
            f"is of the styles {', '.join(learnt)}, the datasets hold {', '.join(names)}; give the same "
            "--data.dataset and --data.recipe"
        )
    dreams = dreams_of(styles)
    for name, theirs in checkpoint.get("dreams", {}).items():
        differing = _differing(theirs, dreams[name])
        if differing:
            return (
                f"learnt the style {name!r} from other dreams: {differing}; give the dataset it was trained on, or "
                "begin anew with --model.start_from"
            )
    found = checkpoint["state_dict"]
    for said, missing in (
        ("lacks", [name for name in state if name not in found]),
        ("has the unknown", [name for name in found if name not in state]),
        ("has other shapes of", [name for name in state if name in found and found[name].shape != state[name].shape]),
    ):
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            return f"is not of this model: it {said} {missing[0]}{more}"
    return None


def _text(value: Any) -> str:
    """A hyper-parameter as it is written in a flag; a tuple may have become a list on its way through a file."""
    return str(list(value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    """The first thing in which dreams differ, theirs and ours; "" where they are the same."""
    for fact in _SAME[:-1]:
        if one[fact] != other[fact]:
            return f"{fact} was {one[fact][:40]}, and is {other[fact][:40]} in the dataset"
    recipes = [json.loads(each["recipe_json"]) for each in (one, other)]
    for field in sorted({*recipes[0], *recipes[1]}):
        was, now = (recipe.get(field) for recipe in recipes)
        if was != now:
            return f"the recipe's {field} was {was}, and is {now} in the dataset"
    return ""
