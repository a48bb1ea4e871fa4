"""Which pairs a training step sees, and how they are cut and mirrored: a function of seed and epoch alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class Draw(NamedTuple):
    """One pair of a batch.

    Attributes:
        style: Number of its style.
        row: Number of the pair within the style.
        flip: Mirror its pictures left to right.
        top: Where a crop is cut, 0 (uppermost) to 1 (lowest).
        left: Likewise.
    """

    style: int
    row: int
    flip: bool
    top: float
    left: float


class StyleSampler(Sampler[Draw]):
    """Deals out batches of one style each, in random order; a resumed run sees what the first one saw.

    A batch is of one style since it is compared in the network that dreamed that style. What all processes see at one
    step does not depend on their number, as long as batch size times processes stays the same: each takes its part of
    the same global batch.

    Args:
        rows: How many pairs each style has, at least 1.
        batch_size: Of each process.
        flip: Mirror half of the pairs.
        seed: Of everything.
        processes: That share an epoch.
        rank: This one's number.
    """

    def __init__(
        self, rows: Sequence[int], batch_size: int, *, flip: bool, seed: int, processes: int = 1, rank: int = 0
    ) -> None:
        self._rows, self._batch, self._flip = tuple(rows), batch_size, flip
        self._seed, self._processes, self._rank = seed, processes, rank
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Count this process's pairs of an epoch."""
        return sum(self._batches(rows) for rows in self._rows) * self._batch

    def __iter__(self) -> Iterator[Draw]:
        """Yield the draws, batch by batch."""
        random = np.random.default_rng([self._seed, self._epoch])
        whole = self._batch * self._processes
        batches: list[list[Draw]] = []
        for style, rows in enumerate(self._rows):
            # Of few pairs one batch is made all the same, some of them twice.
            order = np.resize(random.permutation(rows), self._batches(rows) * whole)
            flips, places = random.random(len(order)) < 0.5, random.random((len(order), 2))
            draws = [
                Draw(style, int(row), self._flip and bool(flip), float(top), float(left))
                for row, flip, (top, left) in zip(order, flips, places, strict=True)
            ]
            batches += [draws[start : start + whole] for start in range(0, len(draws), whole)]
        own = slice(self._rank * self._batch, (self._rank + 1) * self._batch)
        for number in random.permutation(len(batches)):
            yield from batches[number][own]

    def _batches(self, rows: int) -> int:
        """Full global batches of so many pairs, at least one."""
        return max(1, rows // (self._batch * self._processes))
