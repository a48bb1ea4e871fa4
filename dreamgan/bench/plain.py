"""The dream of `gordic` as a plain loop over a whole network: what the engine is compared with.

Ours, written from the published recipe; not the code of the project whose recipe it is. It does the engine's steps
on the same octaves without the engine's savings: the whole network runs and a hook picks the layer, batch norm stands
by itself, the memory format is torch's own, and three Gaussians are built and applied at every step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamgan.backbones.registry import IMAGENET_MEAN, IMAGENET_STD

SHIFT_PX = 32
STEP_SIZE = 0.09
SIGMA = 2.0
SIGMA_FACTORS = (0.5, 1.0, 2.0)
RADIUS_PX = 4

Octave = tuple[tuple[int, int], int]


def plain_network(backbone: str, *, trainable: bool) -> nn.Module:
    """The network as torchvision builds it, with random weights, in evaluation mode.

    Args:
        backbone: Name of torchvision's builder.
        trainable: Leave the parameters trainable, as torchvision builds them: a gradient is then computed at every
            step for each of them up to the layer, for nothing. The project whose recipe it is freezes them.

    Returns:
        The network, float32, on the CPU.
    """
    from torchvision.models import get_model

    network: nn.Module = get_model(backbone, weights=None)
    return network.eval().requires_grad_(trainable)


def plain_gordic(
    photo_unit: Tensor, network: nn.Module, module: str, octaves: Sequence[Octave], rolls: Sequence[tuple[int, int]]
) -> Tensor:
    """Dream one photo.

    Args:
        photo_unit: (1, 3, H, W), floating, in [0, 1]; dtype and device of the network.
        network: From RGB minus the ImageNet mean over std, whole.
        module: Path of the module whose output, (1, C, h, w), is to grow in mean square.
        octaves: Size (height, width) and number of steps of each octave, coarse to fine; the last size is H x W.
        rolls: (dy, dx) of each step, all octaves in a row.

    Returns:
        The dream, (1, 3, H, W) in [0, 1].

    Raises:
        ValueError: If there is not one roll per step.
    """
    if len(rolls) != sum(steps for _, steps in octaves):
        raise ValueError(f"{len(rolls)} rolls for {sum(steps for _, steps in octaves)} steps; give one per step")
    mean, std = (photo_unit.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    low, high = -mean / std, (1 - mean) / std
    activations: list[Tensor] = []
    hook = network.get_submodule(module).register_forward_hook(lambda _, __, output: activations.append(output))
    remaining = iter(rolls)
    pixels = (photo_unit - mean) / std
    try:
        for size, steps in octaves:
            pixels = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
            for step in range(steps):
                dy, dx = next(remaining)
                frame = pixels.roll((dy, dx), dims=(2, 3)).requires_grad_(True)
                activations.clear()
                network(frame)
                activations[0].square().mean().backward()  # type: ignore[no-untyped-call]
                gradient = frame.grad
                if gradient is None:
                    raise ValueError(f"the output of {module!r} does not depend on the picture")
                gradient = _cascade(gradient, (step + 1) / steps * SIGMA + 0.5)
                gradient = (gradient - gradient.mean()) / gradient.std()
                frame = torch.minimum(torch.maximum(frame.detach() + STEP_SIZE * gradient, low), high)
                pixels = frame.roll((-dy, -dx), dims=(2, 3))
    finally:
        hook.remove()
    return (pixels * std + mean).clamp(0, 1)


def _cascade(gradient: Tensor, sigma: float) -> Tensor:
    """The mean of three 9x9 Gaussian blurs, each kernel summing to one, reflect padding."""
    padded = F.pad(gradient, (RADIUS_PX,) * 4, mode="reflect")
    offsets = torch.arange(-RADIUS_PX, RADIUS_PX + 1, dtype=gradient.dtype, device=gradient.device)
    squares = offsets[:, None].square() + offsets[None, :].square()
    blurred = torch.zeros_like(gradient)
    for factor in SIGMA_FACTORS:
        kernel = torch.exp(-squares / (2 * math.pow(factor * sigma, 2)))
        kernel = (kernel / kernel.sum()).repeat(3, 1, 1, 1)
        blurred = blurred + F.conv2d(padded, kernel, groups=3)
    return blurred / len(SIGMA_FACTORS)
