"""What was added to the photos: is it of the photo, or the same for all of them?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from dreamgan.metrics.spread import MISSING, NAN, Spread

PARTS = 8


def universal_share(residuals: Tensor) -> float:
    """|mean residual|² / mean |residual|² over photos; (N, 3, H, W)."""
    share = UniversalShare()
    share.add(residuals)
    return share.value


class UniversalShare:
    """``universal_share`` of pictures that come in batches: ``PARTS`` sums of residuals are all that is kept.

    1 for one pattern on every photo; 1 / N where what was added to N photos has nothing in common.
    """

    def __init__(self) -> None:
        self._sums: list[Tensor] = [torch.zeros(())] * PARTS
        self._energies = [0.0] * PARTS
        self._counts = [0] * PARTS

    def add(self, residuals: Tensor) -> None:
        """Take up a batch, (B, 3, H, W)."""
        for residual in residuals.detach().cpu().double():
            part = self.count % PARTS
            self._sums[part] = self._sums[part] + residual
            self._energies[part] += float(residual.square().sum())
            self._counts[part] += 1

    @property
    def value(self) -> float:
        """The share, in [0, 1]; 0 where nothing was added to any photo."""
        return self._without(None)

    @property
    def count(self) -> int:
        """How many photos were taken up."""
        return sum(self._counts)

    def without_each(self) -> list[float]:
        """The share without each of the parts that the photos are dealt out to in turn, at most ``PARTS``."""
        return [self._without(part) for part in range(PARTS) if self._counts[part]]

    def _without(self, part: int | None) -> float:
        parts = [other for other in range(PARTS) if other != part]
        energy, count = (sum(values[other] for other in parts) for values in (self._energies, self._counts))
        if energy <= 1e-12:
            return 0.0
        together = sum((self._sums[other] for other in parts), torch.zeros(()))
        return float(together.square().sum() / count / energy)


def ratio_of_shares(added: UniversalShare, dreamed: UniversalShare) -> Spread:
    """Universal share of one set of residuals by that of the dreams of the same photos.

    There is no share of a single photo: the standard deviation is the root of n times the standard error, which comes
    of leaving out each part of the photos in turn (the jackknife).

    Args:
        added: Of what is measured.
        dreamed: Of the dreams, of as many photos.

    Source: Efron and Stein 1981; in parts rather than single photos, so that no residual has to be kept.
    """
    if dreamed.value == 0:
        return MISSING
    ratios = [
        ours / theirs for ours, theirs in zip(added.without_each(), dreamed.without_each(), strict=True) if theirs
    ]
    parts = len(ratios)
    if parts < 2:
        return Spread(added.value / dreamed.value, NAN)
    error = float(torch.tensor(ratios, dtype=torch.float64).std(correction=0)) * (parts - 1) ** 0.5
    return Spread(added.value / dreamed.value, error * dreamed.count**0.5)


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
