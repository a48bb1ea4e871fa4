"""What the oracles share: reflection, blur and bilinear resizing, written out. One picture, (C, H, W)."""

import math

import torch
from torch import Tensor

IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(3, 1, 1)
IMAGENET_STD = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(3, 1, 1)


def mirrored(index: int, count: int) -> int:
    """Where a position outside of 0 ... count - 1 falls by reflection that does not repeat the border."""
    while not 0 <= index < count:
        index = -index if index < 0 else 2 * (count - 1) - index
    return index


def pad(image: Tensor, above: int, below: int, left: int, right: int) -> Tensor:
    """Reflect padding."""
    height, width = image.shape[1:]
    rows = [mirrored(y, height) for y in range(-above, height + below)]
    columns = [mirrored(x, width) for x in range(-left, width + right)]
    return image[:, rows][:, :, columns]


def gaussian_blur(image: Tensor, sigma: float, radius: int) -> Tensor:
    """Every pixel becomes the mean of its (2 radius + 1)² neighbours, Gaussian weights that sum to one."""
    height, width = image.shape[1:]
    padded = pad(image, radius, radius, radius, radius)
    total, weights = torch.zeros_like(image), 0.0
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            weight = math.exp(-(dy * dy + dx * dx) / (2 * sigma * sigma))
            total += weight * padded[:, radius + dy : radius + dy + height, radius + dx : radius + dx + width]
            weights += weight
    return total / weights


def interpolation(count: int, new_count: int) -> Tensor:
    """Matrix (new_count, count) of linear interpolation with half-pixel centres, borders repeated."""
    matrix = torch.zeros(new_count, count, dtype=torch.float64)
    for i in range(new_count):
        position = min(max((i + 0.5) * count / new_count - 0.5, 0.0), count - 1.0)
        below = int(position)
        matrix[i, below] += 1 - (position - below)
        matrix[i, min(below + 1, count - 1)] += position - below
    return matrix


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, half-pixel centres, no antialiasing."""
    rows, columns = interpolation(image.shape[1], height), interpolation(image.shape[2], width)
    return torch.stack([rows @ channel @ columns.T for channel in image])
