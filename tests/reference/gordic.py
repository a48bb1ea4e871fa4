"""The dream of gordicaleksa/pytorch-deepdream in plain loops."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.plain import IMAGENET_MEAN, IMAGENET_STD, gaussian_blur, resize

Shift = tuple[int, int]


def gordic(
    photo: Tensor,
    network: Callable[[Tensor], Sequence[Tensor]],
    shifts: Sequence[Sequence[Shift]],
    *,
    ratio: float = 1.8,
    step_size: float = 0.09,
) -> Tensor:
    """Dream one photo.

    Args:
        photo: (3, H, W) float64 in [0, 1].
        network: (1, 3, h, w), RGB minus ImageNet mean over std, to the activations of the layers.
        shifts: For each level, coarse to fine, the roll (dy, dx) of each iteration.
        ratio: Of the sides of neighbouring levels.
        step_size: In normalised space.
    """
    height, width = photo.shape[1:]
    low, high = (0 - IMAGENET_MEAN) / IMAGENET_STD, (1 - IMAGENET_MEAN) / IMAGENET_STD
    x = (photo - IMAGENET_MEAN) / IMAGENET_STD
    for level, level_shifts in enumerate(shifts):
        factor = ratio ** (level - len(shifts) + 1)
        x = resize(x, round(height * factor), round(width * factor))
        iterations = len(level_shifts)
        for i, (dy, dx) in enumerate(level_shifts):
            x = torch.roll(x, (dy, dx), (1, 2)).requires_grad_(True)
            losses = [(a**2).mean() for a in network(x[None])]
            loss = torch.stack(losses).mean()
            (g,) = torch.autograd.grad(loss, x)
            sigma = (i + 1) / iterations * 2.0 + 0.5
            g = (gaussian_blur(g, 0.5 * sigma, 4) + gaussian_blur(g, sigma, 4) + gaussian_blur(g, 2 * sigma, 4)) / 3
            g = g - g.mean()
            g = g / ((g**2).sum() / (g.numel() - 1)).sqrt()
            x = (x + step_size * g).detach()
            x = torch.minimum(torch.maximum(x, low), high)
            x = torch.roll(x, (-dy, -dx), (1, 2))
    return x * IMAGENET_STD + IMAGENET_MEAN
