"""How much of a dream's rise in the recipe's objective another picture has."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dreamgan.backbones.features import Extractor
from dreamgan.dream.engine import score
from dreamgan.dream.recipe import DreamRecipe
from dreamgan.views import robust_views

LEAST_RISE = 1e-12


def gains(photos: Tensor, dreams: Tensor, others: Tensor) -> Tensor:
    """Share of the dream's rise in objective, per photo; NaN where there is no rise.

    Args:
        photos: Objective of the photos, (N,) or any other shape.
        dreams: The same of their dreams.
        others: The same of what is measured.

    Returns:
        The same shape; 0 for the photo itself, 1 for its dream.
    """
    rise = dreams - photos
    return (others - photos) / torch.where(rise.abs() < LEAST_RISE, torch.full_like(rise, float("nan")), rise)


def view_scores(
    images: Tensor, extractor: Extractor, recipe: DreamRecipe, guides: Mapping[str, Tensor] | None = None
) -> Tensor:
    """The recipe's objective of pictures under the six robust views: blurred, shifted four times, enlarged.

    Args:
        images: (B, 3, H, W) in [0, 1].
        extractor: Must answer for the recipe's layers.
        recipe: Gives the objective.
        guides: Pictures that the objective names, each (1, 3, h, w) in [0, 1].

    Returns:
        (B, views).
    """
    scores = [score(view(images), extractor, recipe, guides=guides) for view in robust_views()]
    return torch.stack(scores, dim=1)
