"""The dreams of the *styleconv* paper (Wang, Dong) in plain loops: one channel of a layer, or all of several layers.

Open in the paper and in REFERENCE: the ascent (here the TensorFlow tutorial's: [-1, 1], gradient over its standard
deviation, clamped), the number, ratio and steps of the scales, and whether lost detail comes back (here: no).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.plain import IMAGENET_MEAN, IMAGENET_STD, resize


def styleconv(
    start: Tensor,
    network: Callable[[Tensor], Sequence[Tensor]],
    steps: Sequence[int],
    *,
    channel: int | None,
    exponents: Sequence[int] = (0,),
    scale: float = 1.4,
    step_size: float = 0.01,
) -> Tensor:
    """Dream from a photo or from noise.

    Args:
        start: (3, H, W) float64 in [0, 1].
        network: (1, 3, h, w), RGB minus ImageNet mean over std, to the activations of the layers.
        steps: For each scale.
        channel: The map of the one layer to be ascended (of a head's (1, C) answer: the class); None: the mean of
            every layer, summed.
        exponents: The scales are the start's size times scale^n for these n, in this order; 0 alone is one scale.
        scale: Of the sides of neighbouring scales.
        step_size: In [-1, 1] pixels.
    """
    height, width = start.shape[1:]
    x = start * 2 - 1
    for n, scale_steps in zip(exponents, steps, strict=True):
        x = resize(x, round(height * scale**n), round(width * scale**n))
        for _ in range(scale_steps):
            x = x.requires_grad_(True)
            activations = network((((x + 1) / 2 - IMAGENET_MEAN) / IMAGENET_STD)[None])
            if channel is None:
                loss = torch.stack([a.mean() for a in activations]).sum()
            else:
                (a,) = activations
                loss = a[:, channel].mean()
            (g,) = torch.autograd.grad(loss, x)
            std = ((g - g.mean()) ** 2).mean().sqrt()
            x = (x + step_size * g / (std + 1e-8)).detach().clamp(-1, 1)
    return (resize(x, height, width) + 1) / 2
