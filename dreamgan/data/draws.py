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


class Part(NamedTuple):
    """The pairs of a style that come from one dataset.

    Attributes:
        rows: How many they are, at least 1.
        share: How much of them an epoch takes, above 0 and at most 1; others in each epoch.
    """

    rows: int
    share: float = 1.0


class StyleSampler(Sampler[Draw]):
    """Deals out batches of one style each, in random order; a resumed run sees what the first one saw.

    A batch is of one style since it is compared in the network that dreamed that style. What all processes see at one
    step does not depend on their number, as long as batch size times processes stays the same: each takes its part of
    the same global batch.

    Args:
        styles: What each style's pairs are made up of; a pair is counted through its parts.
        batch_size: Of each process.
        flip: Mirror half of the pairs.
        seed: Of everything.
        processes: That share an epoch.
        rank: This one's number.
    """

    def __init__(
        self,
        styles: Sequence[Sequence[Part]],
        batch_size: int,
        *,
        flip: bool,
        seed: int,
        processes: int = 1,
        rank: int = 0,
    ) -> None:
        self._styles, self._batch, self._flip = tuple(styles), batch_size, flip
        self._seed, self._processes, self._rank = seed, processes, rank
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        """Count this process's pairs of an epoch."""
        return sum(self._batches(parts) for parts in self._styles) * self._batch

    def __iter__(self) -> Iterator[Draw]:
        """Yield the draws, batch by batch."""
        random = np.random.default_rng([self._seed, self._epoch])
        whole = self._batch * self._processes
        batches: list[list[Draw]] = []
        for style, parts in enumerate(self._styles):
            # Of few pairs one batch is made all the same, some of them twice.
            order = np.resize(random.permutation(_taken(parts, random)), self._batches(parts) * whole)
            flips, places = random.random(len(order)) < 0.5, random.random((len(order), 2))
            draws = [
                Draw(style, int(row), self._flip and bool(flip), float(top), float(left))
                for row, flip, (top, left) in zip(order, flips, places, strict=True)
            ]
            batches += [draws[start : start + whole] for start in range(0, len(draws), whole)]
        own = slice(self._rank * self._batch, (self._rank + 1) * self._batch)
        for number in random.permutation(len(batches)):
            yield from batches[number][own]

    def _batches(self, parts: Sequence[Part]) -> int:
        """Full global batches of an epoch's pairs, at least one."""
        return max(1, sum(map(_count, parts)) // (self._batch * self._processes))


def _count(part: Part) -> int:
    return max(1, round(part.rows * part.share))


def _taken(parts: Sequence[Part], random: np.random.Generator) -> np.ndarray:
    """The pairs of a style that an epoch takes, by number."""
    starts = np.cumsum([0, *(part.rows for part in parts)])
    own = [start + random.permutation(part.rows)[: _count(part)] for start, part in zip(starts, parts, strict=False)]
    return np.concatenate(own)
