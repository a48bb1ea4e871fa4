"""What was added to the photos: is it of the photo, or the same for all of them?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor


def universal_share(residuals: Tensor) -> float:
    """|mean residual|² / mean |residual|² over photos; (N, 3, H, W)."""
    share = UniversalShare()
    share.add(residuals)
    return share.value


class UniversalShare:
    """``universal_share`` of pictures that come in batches: the sum of the residuals is all that is kept.

    1 for one pattern on every photo; 1 / N where what was added to N photos has nothing in common.
    """

    def __init__(self) -> None:
        self._sum = torch.zeros(())
        self._energy = 0.0
        self._count = 0

    def add(self, residuals: Tensor) -> None:
        """Take up a batch, (B, 3, H, W)."""
        residuals = residuals.detach().cpu().double()
        self._sum = self._sum + residuals.sum(dim=0)
        self._energy += float(residuals.square().sum())
        self._count += len(residuals)

    @property
    def value(self) -> float:
        """The share, in [0, 1]; 0 where nothing was added to any photo."""
        if self._energy <= 1e-12:
            return 0.0
        return float(self._sum.square().sum() / self._count / self._energy)


def with_residual_of(photos: Tensor, other_photos: Tensor, others: Tensor) -> Tensor:
    """Photos with what was added to other photos, x + (G(y) - y); all (B, 3, H, W) in [0, 1]."""
    return (photos + (others - other_photos)).clamp(0, 1)


def other_photos(sources: Sequence[Hashable]) -> list[int] | None:
    """For each photo the place of another one, of another photograph, for the wrong-photo control.

    Half the way round, since neighbours are often of one class, and on from there to the first photo that was not
    cut from the same photograph.

    Args:
        sources: The photograph that each photo was cut from.

    Returns:
        One place per photo, or None where all are of one photograph.
    """
    count = len(sources)
    if len(set(sources)) < 2:
        return None
    return [
        next(
            place % count
            for place in range(start - count // 2, start - count // 2 + count)
            if sources[place % count] != source
        )
        for start, source in enumerate(sources)
    ]
