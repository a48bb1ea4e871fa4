"""Octaves: the sizes that a dream passes through."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamgan.dream.recipe import DreamRecipe

# Above this, colours are resized one at a time: of three at once torch makes copies, on one thread, with colours last.
LARGE_PX = 2_000_000


def octave_sizes(height: int, width: int, recipe: DreamRecipe) -> list[tuple[int, int]]:
    """Sizes (height, width) of all octaves, coarse to fine: round(side x octave_scale^k)."""
    highest = recipe.octaves_above
    exponents = range(highest - recipe.octaves + 1, highest + 1)
    return [(round(height * recipe.octave_scale**k), round(width * recipe.octave_scale**k)) for k in exponents]


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with half-pixel centres and no antialiasing, as the peers do; (B, C, H, W) to (B, C, *size)."""
    if tuple(images.shape[-2:]) == size:
        return images
    if size[0] * size[1] <= LARGE_PX:
        return F.interpolate(images, size=size, mode="bilinear", align_corners=False)
    resized = images.new_empty((*images.shape[:2], *size))
    for colour, part in enumerate(torch.split(images, 1, dim=1)):
        resized[:, colour : colour + 1] = F.interpolate(part, size=size, mode="bilinear", align_corners=False)
    return resized


def enlarge_to(images: Tensor, min_side_px: int) -> Tensor:
    """Enlarge pictures whose shorter side is below what a network can take; others come back as they are."""
    height, width = images.shape[-2:]
    shorter = min(height, width)
    if shorter >= min_side_px:
        return images
    # Integer arithmetic: the shorter side becomes min_side_px exactly, the longer one is rounded up.
    return resize(images, (-(-height * min_side_px // shorter), -(-width * min_side_px // shorter)))
