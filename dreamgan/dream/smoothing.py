"""Gaussian smoothing of the gradient."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamgan.dream.recipe import DreamRecipe

# Above this a gradient is blurred in place, colour by colour and strip by strip: a convolution of the whole would take
# many times the picture's memory.
LARGE_PX = 2_000_000
STRIP_PX = 128

CASCADE_RADIUS = 4
CASCADE_FACTORS = (0.5, 1.0, 2.0)


def gaussian_kernel(sigma: float, radius: int) -> Tensor:
    """A (2 radius + 1)² Gaussian that sums to one, float64."""
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64)
    line = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = line[:, None] * line[None, :]
    return kernel / kernel.sum()


def smoothing_kernel(recipe: DreamRecipe, step: int, steps: int) -> Tensor | None:
    """The one kernel that does the recipe's smoothing at a step; None when it has none.

    The cascade's three blurs are linear, so the mean of their kernels gives the mean of their results.
    """
    if recipe.smoothing == "gaussian":
        return gaussian_kernel(recipe.smoothing_sigma, math.ceil(3 * recipe.smoothing_sigma))
    if recipe.smoothing == "cascade":
        sigma = (step + 1) / steps * recipe.smoothing_sigma + 0.5
        kernels = [gaussian_kernel(factor * sigma, CASCADE_RADIUS) for factor in CASCADE_FACTORS]
        return torch.stack(kernels).mean(dim=0)
    return None


def smooth(gradient: Tensor, kernel: Tensor) -> Tensor:
    """Blur every channel with one kernel under reflect padding; (B, C, H, W) to the same, in place if large."""
    channels, height, width = gradient.shape[1:]
    # Reflection needs more pixels than it adds; at tiny octaves the kernel is cut and summed to one again.
    radius = kernel.shape[0] // 2
    allowed = min(radius, height - 1, width - 1)
    kernel = kernel[radius - allowed : radius + allowed + 1, radius - allowed : radius + allowed + 1]
    # First the dtype: not every device takes float64.
    kernel = (kernel / kernel.sum()).to(gradient.dtype).to(gradient.device)
    # Under autocast the network may run in bfloat16, but not what is done to its gradient.
    with torch.autocast(gradient.device.type, enabled=False):
        if height * width > LARGE_PX:
            return _smooth_by_strips(gradient, kernel, allowed)
        padded = F.pad(gradient, (allowed,) * 4, mode="reflect")
        return F.conv2d(padded, kernel.expand(channels, 1, -1, -1), groups=channels)


def _smooth_by_strips(gradient: Tensor, kernel: Tensor, radius: int) -> Tensor:
    for colour in range(gradient.shape[1]):
        part = gradient[:, colour : colour + 1]
        padded = F.pad(part, (radius,) * 4, mode="reflect")
        for top in range(0, part.shape[2], STRIP_PX):
            strip = part[:, :, top : top + STRIP_PX]
            strip.copy_(F.conv2d(padded[:, :, top : top + strip.shape[2] + 2 * radius], kernel[None, None]))
    return gradient
