"""Does a checkpoint fit a model? What differs is said in words of the flags that would mend it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from dreamgan.data.styles import Style
from dreamgan.dream import DreamRecipe


def recipes_of(styles: Sequence[Style]) -> dict[str, str]:
    """Name of each style to its whole recipe, JSON."""
    return {style.name: style.facts["recipe_json"] for style in styles}


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
    recipes = recipes_of(styles)
    for name, recipe in checkpoint.get("recipes", {}).items():
        if recipe != recipes[name]:
            return (
                f"learnt the style {name!r} from other dreams: of {_objective(recipe)}, the dataset's are of "
                f"{_objective(recipes[name])}, or differ in a detail; give the dataset it was trained on"
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


def _objective(recipe_json: str) -> str:
    return str(DreamRecipe.from_json(recipe_json).objective)
