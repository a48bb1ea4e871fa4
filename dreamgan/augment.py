"""Differentiable augmentation: both networks of a GAN see pictures moved and with a hole, so that few are enough."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

DRAWS = 4
"""Random numbers that ``augmented`` takes for each picture."""

SHIFT, HOLE = 1 / 8, 1 / 2  # of the side
_GREY = 0.5


def augmented(pictures: Tensor, draws: Tensor) -> Tensor:
    """Move every picture by up to an eighth of its side and cut a square of half its side out of it.

    What comes in from outside and what is cut out is grey.

    Source: Zhao et al. 2020 (DiffAugment), translation and cutout.
    Differs: the colours are left alone, since they are much of what a dream is.

    Args:
        pictures: (B, 3, H, W) in [0, 1].
        draws: (B, 4) in [0, 1], float32 or wider: how far down and to the right, and where the hole is.

    Returns:
        As the pictures; the gradient goes through.
    """
    sides = pictures.shape[-2:]
    places = []
    for side, share in zip(sides, draws[:, :2].to(pictures.device).unbind(1), strict=True):
        most = round(side * SHIFT)
        # Of a picture with a border of the widest shift: (B, side).
        # At most the widest shift: 1 itself comes where a draw was rounded.
        start = (share * (2 * most + 1)).long().clamp_max(2 * most)
        places.append(start[:, None] + torch.arange(side, device=pictures.device))
    down, right = (round(side * SHIFT) for side in sides)
    wide = F.pad(pictures, (right, right, down, down), value=_GREY)
    rows, columns = places
    picture = torch.arange(len(pictures), device=pictures.device)[:, None, None]
    moved = wide.movedim(1, -1)[picture, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)

    within = []
    for side, share in zip(sides, draws[:, 2:].to(pictures.device).unbind(1), strict=True):
        middle = (share * (side + 1)).long().clamp_max(side)[:, None]
        place = torch.arange(side, device=pictures.device)
        within.append((place >= middle - side * HOLE / 2) & (place < middle + side * HOLE / 2))
    hole = within[0][:, None, :, None] & within[1][:, None, None, :]
    return moved.masked_fill(hole, _GREY)
