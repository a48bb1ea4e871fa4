"""Equivalent steps: how long the direct recipe has to run for the objective that one pass reaches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from dreamgan.backbones.features import Extractor
from dreamgan.dream.engine import dream, score
from dreamgan.dream.recipe import DreamRecipe
from dreamgan.images import as_saved

SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)
"""Of the recipe's steps: where the direct dream is looked at. Between them the objective is taken to be straight."""


def equivalent_steps(
    photos: Tensor,
    generated: Tensor,
    extractor: Extractor,
    recipe: DreamRecipe,
    *,
    seed: int = 0,
    photo_ids: Sequence[str] | None = None,
    guides: Mapping[str, Tensor] | None = None,
) -> Tensor:
    """Steps of the direct recipe that first reach the objective of other pictures of the photos.

    The recipe is run with ``SHARES`` of its steps, so that this costs as much as 2.6 dreams of each photo.

    Args:
        photos: (B, 3, H, W) in [0, 1].
        generated: What was made of them.
        extractor: Must answer for the recipe's layers.
        recipe: The direct recipe.
        seed: Of its dreams.
        photo_ids: As for ``dream``.
        guides: As for ``dream``.

    Returns:
        (B,), float64 on the CPU: 0 for a picture no better than the photo, and at most all steps of the recipe.
    """
    (steps,) = equivalent_steps_of_several(
        photos, [generated], extractor, recipe, seed=seed, photo_ids=photo_ids, guides=guides
    )
    return steps


def equivalent_steps_of_several(
    photos: Tensor,
    generated: Sequence[Tensor],
    extractor: Extractor,
    recipe: DreamRecipe,
    *,
    seed: int = 0,
    photo_ids: Sequence[str] | None = None,
    guides: Mapping[str, Tensor] | None = None,
) -> list[Tensor]:
    """``equivalent_steps`` of several sets of pictures of the same photos, for the price of one."""
    total = sum(recipe.steps_per_octave)
    steps = sorted({max(1, math.floor(share * total + 0.5)) for share in SHARES})

    def objective(images: Tensor) -> Tensor:
        with torch.no_grad():
            return score(as_saved(images), extractor, recipe, guides=guides).cpu().double()

    curve = [objective(photos)]
    for count in steps:
        result = dream(photos, extractor, recipe, seed=seed, photo_ids=photo_ids, guides=guides, strength=count / total)
        curve.append(objective(result.images.to(photos)))
    heights = torch.stack(curve, dim=1)
    return [steps_reaching(heights, [0, *steps], objective(each)) for each in generated]


def steps_reaching(curve: Tensor, steps: Sequence[int], reached: Tensor) -> Tensor:
    """Where curves first come to a height, straight between their points.

    Args:
        curve: Heights, (B, K), K at least 2.
        steps: Where the K points lie, rising.
        reached: The heights looked for, (B,).

    Returns:
        (B,): the first of ``steps`` for heights at or below the curve's beginning, the last for those it never
        reaches.
    """
    found = []
    for heights, wanted in zip(curve.tolist(), reached.tolist(), strict=True):
        place = next((k for k, height in enumerate(heights) if height >= wanted), None)
        if place is None:
            found.append(float(steps[-1]))
        elif place == 0:
            found.append(float(steps[0]))
        else:
            share = (wanted - heights[place - 1]) / (heights[place] - heights[place - 1])
            found.append(steps[place - 1] + share * (steps[place] - steps[place - 1]))
    return torch.tensor(found, dtype=torch.float64)
