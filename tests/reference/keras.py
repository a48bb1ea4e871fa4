"""The dream of the keras-io example (examples/generative/deep_dream.py) in plain loops.

Open in REFERENCE: how octave sizes are rounded (here: to the nearest pixel; keras-io: down), whether the step that
finds the loss past its limit is still taken (`take_last_step`), and when values are clamped (as published: only where
the picture is saved).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.plain import IMAGENET_MEAN, IMAGENET_STD, resize


def keras_loss(activations: Sequence[Tensor], coefficients: Sequence[float], border: int = 2) -> Tensor:
    """The squares away from the border, summed, over the number of all values, border included.

    Args:
        activations: Of one picture, each (1, C, h, w).
        coefficients: One per activation.
        border: Locations left out along each side.
    """
    losses = []
    for a, coefficient in zip(activations, coefficients, strict=True):
        height, width = a.shape[2:]
        inner = a[:, :, border : height - border, border : width - border]
        losses.append(coefficient * (inner**2).sum() / a.numel())
    return torch.stack(losses).sum()


def keras(
    photo: Tensor,
    network: Callable[[Tensor], Sequence[Tensor]],
    coefficients: Sequence[float],
    steps: Sequence[int],
    *,
    scale: float = 1.4,
    step_size: float = 0.01,
    max_loss: float = 15.0,
    take_last_step: bool = False,
) -> Tensor:
    """Dream one photo.

    Args:
        photo: (3, H, W) float64 in [0, 1].
        network: (1, 3, h, w), RGB minus ImageNet mean over std, to the activations of the layers.
        coefficients: Of the layers.
        steps: For each octave, coarse to fine, how many at most (published: 20, 20, 20).
        scale: Of the sides of neighbouring octaves.
        step_size: In [-1, 1] pixels.
        max_loss: An octave ends at the first step that finds more than this before it moves.
        take_last_step: Whether that step still moves the picture (today's keras-io example: yes; the example of
            Keras 2, of which it is a port: no).
    """
    height, width = photo.shape[1:]
    original = photo * 2 - 1
    x = original
    small_original = torch.empty(0)
    for octave, octave_steps in enumerate(steps):
        factor = scale ** (octave - len(steps) + 1)
        size = round(height * factor), round(width * factor)
        x = resize(x, *size)
        for _ in range(octave_steps):
            x = x.requires_grad_(True)
            normalised = ((x + 1) / 2 - IMAGENET_MEAN) / IMAGENET_STD
            loss = keras_loss(network(normalised[None]), coefficients)
            (g,) = torch.autograd.grad(loss, x)
            x = x.detach()
            too_much = float(loss.detach()) > max_loss
            if too_much and not take_last_step:
                break
            x = x + step_size * g / max(float(g.abs().mean()), 1e-6)
            if too_much:
                break
        octave_original = resize(original, *size)
        if octave > 0:
            x = x + octave_original - resize(small_original, *size)
        small_original = octave_original
    return ((x + 1) / 2).clamp(0, 1)
