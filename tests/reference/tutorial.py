"""The dream of the TensorFlow tutorial in plain loops."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.plain import IMAGENET_MEAN, IMAGENET_STD, resize


def tutorial(
    photo: Tensor,
    network: Callable[[Tensor], Sequence[Tensor]],
    exponents: Sequence[int],
    steps: int,
    *,
    scale: float = 1.3,
    step_size: float = 0.01,
) -> Tensor:
    """Dream one photo.

    Args:
        photo: (3, H, W) float64 in [0, 1].
        network: (1, 3, h, w), RGB minus ImageNet mean over std, to the activations of the layers.
        exponents: The octaves are the photo's size times scale^n for these n, in this order.
        steps: Per octave.
        scale: Of the sides of neighbouring octaves.
        step_size: In [-1, 1] pixels.
    """
    height, width = photo.shape[1:]
    x = photo * 2 - 1
    for n in exponents:
        x = resize(x, round(height * scale**n), round(width * scale**n))
        for _ in range(steps):
            x = x.requires_grad_(True)
            normalised = ((x + 1) / 2 - IMAGENET_MEAN) / IMAGENET_STD
            loss = torch.stack([a.mean() for a in network(normalised[None])]).sum()
            (g,) = torch.autograd.grad(loss, x)
            std = ((g - g.mean()) ** 2).mean().sqrt()
            x = (x + step_size * g / (std + 1e-8)).detach().clamp(-1, 1)
    return (resize(x, height, width) + 1) / 2
