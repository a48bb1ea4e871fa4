"""Dream objectives: from activations to one number per picture."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dreamgan.dream.recipe import DreamRecipe


def mean(activation: Tensor) -> Tensor:
    """Mean activation, (B, C, h, w) (layers of the head: (B, C)) to (B,)."""
    return activation.mean(dim=tuple(range(1, activation.ndim)))


def l2(activation: Tensor) -> Tensor:
    """Mean squared activation, (B, C, h, w) (layers of the head: (B, C)) to (B,)."""
    return mean(activation.square())


OBJECTIVES = {"mean": mean, "l2": l2}


def layer_scores(activations: Mapping[str, Tensor], recipe: DreamRecipe) -> Tensor:
    """Weighted sum over the recipe's layers of its objective; over their number if ``average_layers``.

    Args:
        activations: Layer to activation, (B, C, h, w) or (B, C).
        recipe: Gives layers, weights and the objective.

    Returns:
        One score per picture, (B,), in the dtype of the activations but at least float32.

    Raises:
        ValueError: If a layer of the recipe is not among the activations.
    """
    missing = [layer for layer in recipe.layer_names if layer not in activations]
    if missing:
        has = ", ".join(activations)
        raise ValueError(f"the extractor has no layer {missing[0]!r}, only {has}; load it with recipe.layer_names")
    objective = OBJECTIVES[recipe.objective]
    terms = []
    for layer, weight in recipe.layers:
        activation = activations[layer]
        if activation.dtype in (torch.bfloat16, torch.float16):
            activation = activation.float()
        terms.append(weight * objective(activation))
    total = torch.stack(terms).sum(dim=0)
    return total / len(terms) if recipe.average_layers else total
