"""Intervals and a test for paired differences."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
from torch import Tensor

# Student's t, two-sided 95 %, by degrees of freedom; beyond, the last one is taken, a little too wide.
_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


def t_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95 % interval by Student's t.

    Args:
        values: at least two.

    Returns:
        Mean, lower end, upper end.
    """
    mean = statistics.fmean(values)
    t = _T_95[min(len(values) - 1, len(_T_95)) - 1]
    half = t * statistics.stdev(values) / len(values) ** 0.5
    return mean, mean - half, mean + half


def bootstrap_interval(values: Tensor, draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean, by drawing with replacement.

    Args:
        values: (N,).
        draws: how many.
        seed: of the draws.
    """
    stream = torch.Generator().manual_seed(seed)
    places = torch.randint(len(values), (draws, len(values)), generator=stream)
    low, high = torch.quantile(values.double()[places].mean(1), torch.tensor([0.025, 0.975], dtype=torch.float64))
    return float(low), float(high)


def sign_flip_p(values: Tensor, draws: int = 20_000, seed: int = 0) -> float:
    """Two-sided p of the mean under random signs: how often chance alone gives a mean as far from 0.

    Args:
        values: (N,) paired differences.
        draws: how many; the values as they are count as one more.
        seed: of the signs.
    """
    values = values.double()
    stream = torch.Generator().manual_seed(seed)
    signs = torch.randint(2, (draws, len(values)), generator=stream).double() * 2 - 1
    # Rounding must not decide between equal means.
    as_far = ((signs @ values).abs() >= values.sum().abs() * (1 - 1e-12)).sum()
    return (int(as_far) + 1) / (draws + 1)
