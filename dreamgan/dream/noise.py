"""Pictures of noise to dream from, where there is no photo."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dreamgan.dream.shifts import stream
from dreamgan.errors import UserError


def noise_images(height: int, width: int, *, seed: int, names: Sequence[str], contrast: float = 0.1) -> Tensor:
    """Grey pictures under uniform noise, every value drawn on its own; each picture from its own random stream.

    Args:
        height: Rows.
        width: Columns.
        seed: Seed of all the streams.
        names: One name per picture; a picture follows from (seed, its name, its size) alone.
        contrast: How far values lie from 0.5 at most, in [0, 0.5].

    Returns:
        (B, 3, height, width), float32, in [0.5 - contrast, 0.5 + contrast], on the CPU.

    Raises:
        UserError: If ``contrast`` is out of its range.
        ValueError: If there are no names.
    """
    if not 0 <= contrast <= 0.5:
        raise UserError(f"contrast of the noise is {contrast}; give a number from 0 to 0.5")
    if not names:
        raise ValueError("no names for the pictures of noise; give one per picture")
    uniform = torch.stack([torch.rand(3, height, width, generator=stream(seed, "noise", name)) for name in names])
    return 0.5 + contrast * (2 * uniform - 1)
