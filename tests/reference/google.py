"""The dream of google/deepdream (dream.ipynb) in plain loops.

The notebook counts in 0 to 255; here everything is divided by 255, which the normalised step does not notice.
The sum of photo and detail may leave the range of pixels until the first step's clamp, as in the notebook;
`clamp_sum` keeps it in range at once.
Differs: the notebook shrinks each octave's photo from the next finer one and resizes with aligned corners (scipy's
zoom); here each comes from the photo itself, with half-pixel centres. Open in REFERENCE: all of this.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tests.reference.plain import IMAGENET_MEAN, IMAGENET_STD, resize

Shift = tuple[int, int]
Size = tuple[int, int]


def half_sum_of_squares(activation: Tensor, size: Size, roll: Shift) -> Tensor:
    """What the notebook ascends: the activation itself is handed down as its gradient."""
    return 0.5 * (activation**2).sum()


def google(
    photo: Tensor,
    network: Callable[[Tensor], Sequence[Tensor]],
    shifts: Sequence[Sequence[Shift]],
    *,
    scale: float = 1.4,
    step_size: float = 1.5 / 255,
    objective: Callable[[Tensor, Size, Shift], Tensor] = half_sum_of_squares,
    clamp_sum: bool = False,
) -> Tensor:
    """Dream one photo.

    Args:
        photo: (3, H, W) float64 in [0, 1].
        network: (1, 3, h, w), RGB minus ImageNet mean over std, to the activation of the one layer.
        shifts: For each octave, coarse to fine, the roll (dy, dx) of each iteration (published: 4 octaves of 10).
        scale: Of the sides of neighbouring octaves.
        step_size: In [0, 1] pixels.
        objective: Of the activation (1, C, h, w), the octave's size and the roll, which a guide may have to follow.
            Its scale does not matter.
        clamp_sum: Whether the sum of photo and detail is clamped before the first step of an octave.
    """
    height, width = photo.shape[1:]
    x = base = torch.empty(0)
    for octave, octave_shifts in enumerate(shifts):
        factor = scale ** (octave - len(shifts) + 1)
        size = round(height * factor), round(width * factor)
        detail = resize(x - base, *size) if octave > 0 else torch.zeros(3, *size, dtype=photo.dtype)
        base = resize(photo, *size)
        x = base + detail
        if clamp_sum:
            x = x.clamp(0, 1)
        for dy, dx in octave_shifts:
            x = torch.roll(x, (dy, dx), (1, 2)).requires_grad_(True)
            (a,) = network(((x - IMAGENET_MEAN) / IMAGENET_STD)[None])
            (g,) = torch.autograd.grad(objective(a, size, (dy, dx)), x)
            x = (x + step_size / g.abs().mean() * g).detach()
            x = torch.roll(x, (-dy, -dx), (1, 2)).clamp(0, 1)
    return x
