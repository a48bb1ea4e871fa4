"""Every objective and regulariser as a loop over one picture, from REFERENCE §2 and the code that it names.

Activations are (C, h, w), pictures (3, H, W) in [0, 1], results numbers that carry a gradient. Open in REFERENCE, and
so a choice: the exact forms of total variation, `norm` and the batch-norm statistics, whether a selection looks at the
photo or at the dream (here the caller gives the activation), and which of two equally active maps is taken (the first).
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def mean(activation: Tensor) -> Tensor:
    """The sum of all values over their number."""
    return torch.stack([own_map.sum() for own_map in activation]).sum() / activation.numel()


def l2(activation: Tensor, inset: int = 0) -> Tensor:
    """The squares `inset` or more locations from the border, summed, over the number of all values.

    Inset 0 is the mean square; 2 is keras-io's.
    """
    channels, height, width = activation.shape
    total = torch.zeros((), dtype=activation.dtype)
    for c in range(channels):
        for y in range(inset, height - inset):
            for x in range(inset, width - inset):
                total = total + activation[c, y, x] ** 2
    return total / (channels * height * width)


def channel(activation: Tensor, c: int) -> Tensor:
    """The mean of one map."""
    _, height, width = activation.shape
    return activation[c].sum() / (height * width)


def maps(activation: Tensor, chosen: Sequence[int]) -> Tensor:
    """The mean over the listed maps and all locations; a map listed twice counts twice."""
    return torch.stack([channel(activation, c) for c in chosen]).sum() / len(chosen)


def neuron(activation: Tensor, c: int, y: int, x: int) -> Tensor:
    """One value."""
    return activation[c, y, x]


def class_logit(logits: Tensor, c: int) -> Tensor:
    """The answer for one class before the softmax: of (C,), or the mean over the locations of (C, h, w)."""
    return logits[c] if logits.ndim == 1 else channel(logits, c)


def selected_maps(photo_activation: Tensor, count: int, most: bool) -> list[int]:
    """The `count` maps with the largest mean on the photo, or with the least, in that order."""
    means = [float(own_map.detach().mean()) for own_map in photo_activation]
    by_activity = sorted(range(len(means)), key=lambda c: -means[c] if most else means[c])
    return by_activity[:count]


def select_max(activation: Tensor, photo_activation: Tensor, count: int) -> Tensor:
    """The mean of the maps that the photo activates most, after Lucid as *bedtime* has it."""
    return maps(activation, selected_maps(photo_activation, count, most=True))


def select_min(activation: Tensor, photo_activation: Tensor, count: int) -> Tensor:
    """The mean of the maps that the photo activates least."""
    return maps(activation, selected_maps(photo_activation, count, most=False))


def total_variation(picture: Tensor) -> Tensor:
    """How far pixels are from their right neighbours, on average, plus the same for those below.

    DeepInversion's first two differences, as absolute values; it adds both diagonals.
    """
    right = picture[:, :, 1:] - picture[:, :, :-1]
    below = picture[:, 1:, :] - picture[:, :-1, :]
    return right.abs().sum() / right.numel() + below.abs().sum() / below.numel()


def norm(picture: Tensor) -> Tensor:
    """The mean square distance from mid grey."""
    return ((picture - 0.5) ** 2).sum() / picture.numel()


def batch_norm_statistics(
    inputs: Sequence[Tensor], running_means: Sequence[Tensor], running_variances: Sequence[Tensor]
) -> Tensor:
    """How far one picture is from what the batch norms saw in training, as DeepInversion's feature hook has it.

    Differs: DeepInversion takes the statistics of a whole batch, this of the one picture. Where statistics agree
    exactly the length has no gradient (here NaN, there 0).

    Args:
        inputs: For each batch norm what goes into it, (C, h, w).
        running_means: For each, (C,).
        running_variances: For each, (C,).
    """
    total = torch.zeros((), dtype=inputs[0].dtype)
    for a, running_mean, running_variance in zip(inputs, running_means, running_variances, strict=True):
        means = torch.stack([own_map.mean() for own_map in a])
        variances = torch.stack([((own_map - own_map.mean()) ** 2).mean() for own_map in a])
        total = total + ((means - running_mean) ** 2).sum().sqrt() + ((variances - running_variance) ** 2).sum().sqrt()
    return total
