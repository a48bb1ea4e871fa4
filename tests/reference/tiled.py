"""The tiled dream of the TensorFlow tutorial in plain loops: the gradient of a large picture, a tile at a time.

Differs from the tutorial's code: it cuts tiles of exactly the given size, leaves out the last row and column of them
unless there is only one, and lets every tile count alike. Here the tiles are of equal size, up to a pixel, and cover
the whole picture, and each counts by its share of the area. Open in REFERENCE: all of this, and the distribution of
the roll (the caller gives it).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.plain import IMAGENET_MEAN, IMAGENET_STD, resize

Shift = tuple[int, int]
Size = tuple[int, int]
Box = tuple[int, int, int, int]  # top, bottom, left, right of a tile in the rolled picture


def cuts(length: int, tile: int) -> list[tuple[int, int]]:
    """As few stretches of at most `tile` as cover the length, equal up to a pixel: where each begins and ends."""
    count = math.ceil(length / tile)
    return [(round(i * length / count), round((i + 1) * length / count)) for i in range(count)]


def sum_of_means(activations: Sequence[Tensor], size: Size, roll: Shift, box: Box) -> Tensor:
    """What the tutorial ascends."""
    return torch.stack([a.mean() for a in activations]).sum()


def tiled_gradient(image: Tensor, objective: Callable[[Tensor, Box], Tensor], tile: int, roll: Shift) -> Tensor:
    """The gradient of the area-weighted sum of the tiles' objectives, each tile seen alone.

    Args:
        image: (3, H, W) float64.
        objective: A tile (3, h, w), and where it lies, to a number.
        tile: Pixels, the longest side of a tile.
        roll: (dy, dx), down and right, before cutting; undone in the gradient.

    Returns:
        (3, H, W).
    """
    dy, dx = roll
    _, height, width = image.shape
    rolled = torch.roll(image, (dy, dx), (1, 2))
    g = torch.zeros_like(rolled)
    for top, bottom in cuts(height, tile):
        for left, right in cuts(width, tile):
            part = rolled[:, top:bottom, left:right].detach().clone().requires_grad_(True)
            share = (bottom - top) * (right - left) / (height * width)
            (part_g,) = torch.autograd.grad(objective(part, (top, bottom, left, right)) * share, part)
            g[:, top:bottom, left:right] += part_g
    return torch.roll(g, (-dy, -dx), (1, 2))


def tiled(
    photo: Tensor,
    network: Callable[[Tensor], Sequence[Tensor]],
    rolls: Sequence[Sequence[Shift]],
    *,
    exponents: Sequence[int],
    tile: int = 512,
    scale: float = 1.3,
    step_size: float = 0.01,
    objective: Callable[[Sequence[Tensor], Size, Shift, Box], Tensor] = sum_of_means,
) -> Tensor:
    """Dream one photo.

    Args:
        photo: (3, H, W) float64 in [0, 1].
        network: (1, 3, h, w), RGB minus ImageNet mean over std, to the activations of the layers.
        rolls: For each octave the roll (dy, dx) of each step.
        exponents: The octaves are the photo's size times scale^n for these n, in this order.
        tile: Pixels, the longest side of a tile.
        scale: Of the sides of neighbouring octaves.
        step_size: In [-1, 1] pixels.
        objective: Of a tile's activations, each (1, C, h, w), given the octave's size, the roll and where the tile
            lies, which a guide may have to follow.
    """
    height, width = photo.shape[1:]
    x = photo * 2 - 1
    for n, octave_rolls in zip(exponents, rolls, strict=True):
        size = round(height * scale**n), round(width * scale**n)
        x = resize(x, *size)
        for roll in octave_rolls:

            def of_tile(part: Tensor, box: Box, size: Size = size, roll: Shift = roll) -> Tensor:
                normalised = ((part + 1) / 2 - IMAGENET_MEAN) / IMAGENET_STD
                return objective(network(normalised[None]), size, roll, box)

            g = tiled_gradient(x, of_tile, tile, roll)
            std = ((g - g.mean()) ** 2).mean().sqrt()
            x = (x + step_size * g / (std + 1e-8)).clamp(-1, 1)
    return (resize(x, height, width) + 1) / 2
