"""Feature-wise modulation: one network, many kinds of dream."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Modulation(nn.Module):
    """Feature-wise scale and shift of C maps, by style and strength: h * (1 + scale) + shift.

    Both are linear in the weights of the styles and in the strength, so that blends of styles and strengths that were
    never trained come out between, or beyond, those that were.

    Source: Perez et al. 2018 (FiLM); a table per style as in Dumoulin et al. 2017.
    Differs: without the normalisation of the latter, which would take the contrast out of the photo.
    """

    def __init__(self, styles: int, channels: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(2, styles, 2 * channels))  # at strength 1; per unit of strength beyond

    def forward(self, x: Tensor, styles: Tensor, strength: Tensor) -> Tensor:
        """Modulate (B, C, h, w) by styles (B, S) and strength (B,)."""
        both = styles @ self.table[0] + (strength - 1)[:, None] * (styles @ self.table[1])
        scale, shift = both[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift
