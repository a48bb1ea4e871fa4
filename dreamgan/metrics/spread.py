"""Means over photos, with how far the photos lie apart."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

NAN = float("nan")


class Spread(NamedTuple):
    """A figure over photos.

    Attributes:
        mean: The figure.
        std: Standard deviation over photos (n - 1); divided by the root of n it is the standard error, if no two
            photos are crops of one photograph. NaN for fewer than 2.
    """

    mean: float
    std: float


MISSING = Spread(NAN, NAN)


def spread(values: Tensor) -> Spread:
    """Mean and standard deviation of (N,); values that are NaN are left out."""
    values = values[~values.isnan()].double()
    if not len(values):
        return MISSING
    return Spread(float(values.mean()), float(values.std()) if len(values) > 1 else NAN)


def ratio_spread(above: Tensor, below: Tensor) -> Spread:
    """mean(above) / mean(below) of paired (N,); photos of which either is NaN are left out.

    A ratio per photo would be ruled by the photos whose ``below`` is near 0. The standard deviation is that of what
    each photo contributes, (above - ratio x below) / mean(below) (the delta method), so that here, too, the standard
    error is its part by the root of n.
    """
    known = ~(above.isnan() | below.isnan())
    above, below = above[known].double(), below[known].double()
    if not len(above):
        return MISSING
    ratio = above.mean() / below.mean()
    contributions = (above - ratio * below) / below.mean()
    return Spread(float(ratio), float(contributions.std()) if len(above) > 1 else NAN)
