"""The dreams of the *layers* paper (Al-Khazraji, Abbas, Jamil) in plain loops.

Open in the paper and in REFERENCE: the step size, whether the gradient is divided by its standard deviation, whether
the pixels are clamped (here: yes, as in REFERENCE's probe: without it the loss never levels off), and what the network
sees after the min-max step (here: ImageNet normalisation of it).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.plain import IMAGENET_MEAN, IMAGENET_STD


def stretched(photo: Tensor) -> Tensor:
    """(x - min) / (max - min) with one minimum and one maximum for the whole picture, not one per colour."""
    return (photo - photo.min()) / (photo.max() - photo.min())


def ascend(
    start: Tensor,
    network: Callable[[Tensor], Sequence[Tensor]],
    steps: int,
    *,
    step_size: float,
    divide_by_std: bool,
) -> tuple[Tensor, list[float]]:
    """Dream one picture, already stretched or on its way.

    Args:
        start: (3, H, W) float64 in [0, 1].
        network: (1, 3, h, w), RGB minus ImageNet mean over std, to the activations of the layers.
        steps: Published: 1000.
        step_size: In [0, 1] pixels, times the gradient.
        divide_by_std: Whether the gradient is divided by its population standard deviation + 1e-8; else it is taken
            as it is.

    Returns:
        The dream, in [0, 1], and the loss that each step found before it moved.
    """
    x = start.clone()
    losses = []
    for _ in range(steps):
        x = x.requires_grad_(True)
        loss = torch.stack([a.mean() for a in network(((x - IMAGENET_MEAN) / IMAGENET_STD)[None])]).sum()
        losses.append(float(loss.detach()))
        (g,) = torch.autograd.grad(loss, x)
        if divide_by_std:
            g = g / (((g - g.mean()) ** 2).mean().sqrt() + 1e-8)
        x = (x + step_size * g).detach().clamp(0, 1)
    return x, losses


def layers(
    photo: Tensor,
    network: Callable[[Tensor], Sequence[Tensor]],
    steps: int,
    *,
    step_size: float,
    divide_by_std: bool,
) -> tuple[Tensor, list[float]]:
    """Dream one photo, (3, H, W) float64 in [0, 1]; the paper's are at most 224 pixels long. Otherwise as `ascend`."""
    return ascend(stretched(photo), network, steps, step_size=step_size, divide_by_std=divide_by_std)
