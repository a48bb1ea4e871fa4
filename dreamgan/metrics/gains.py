"""How much of a dream's rise in the recipe's objective another picture has."""

from __future__ import annotations

import torch
from torch import Tensor

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
