"""The `distillable` dream in plain loops."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.plain import IMAGENET_MEAN, IMAGENET_STD, gaussian_blur, pad, resize

Shift = tuple[int, int]


def distillable(
    photo: Tensor,
    network: Callable[[Tensor], Sequence[Tensor]],
    shifts: Sequence[Sequence[Sequence[Shift]]],
    *,
    scale: float = 1.4,
    stride: int = 16,
    step_size: float = 0.015,
    sigma: float = 1.5,
) -> Tensor:
    """Dream one photo.

    Args:
        photo: (3, H, W) float64 in [0, 1].
        network: (1, 3, h, w), RGB minus ImageNet mean over std, to the activations of the layers.
        shifts: For each octave, coarse to fine, for each step: the slides (dy, dx) whose gradients are averaged.
        scale: Of the sides of neighbouring octaves.
        stride: Pixels of reflection, per axis, above or left and below or right together.
        step_size: In [0, 1] pixels.
        sigma: Of the blur of the gradient.
    """
    height, width = photo.shape[1:]
    x = small_photo = torch.empty(0)
    for octave, octave_shifts in enumerate(shifts):
        factor = scale ** (octave - len(shifts) + 1)
        size = round(height * factor), round(width * factor)
        octave_photo = resize(photo, *size)
        if octave == 0:
            x = octave_photo
        else:
            lost_detail = octave_photo - resize(small_photo, *size)
            x = (resize(x, *size) + lost_detail).clamp(0, 1)
        small_photo = octave_photo
        for slides in octave_shifts:
            g = torch.zeros_like(x)
            for dy, dx in slides:
                x = x.requires_grad_(True)
                view = pad(x, dy, stride - dy, dx, stride - dx)
                activations = network(((view - IMAGENET_MEAN) / IMAGENET_STD)[None])
                loss = torch.stack([(a**2).mean() for a in activations]).sum()
                g += torch.autograd.grad(loss, x)[0] / len(slides)
            g = gaussian_blur(g, sigma, math.ceil(3 * sigma))
            x = (x + step_size * g / g.abs().mean()).detach().clamp(0, 1)
    return x
