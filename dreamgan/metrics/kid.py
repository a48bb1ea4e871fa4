"""Kernel distance between two sets of pictures, in features of a backbone of ours."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from dreamgan.metrics.spread import MISSING, Spread

SUBSET, SUBSETS = 50, 100


def pooled(features: Tensor) -> Tensor:
    """Means over places, (B, C, h, w) to (B, C)."""
    return features.flatten(2).mean(dim=2) if features.ndim > 2 else features


def kernel_distance(
    real: Tensor, fake: Tensor, *, seed: int = 0, subset: int | None = None, subsets: int | None = None
) -> Spread:
    """KID between two sets, over random subsets of each.

    The estimator has no bias for sets that are drawn independently; of dreams and one-pass dreams of the same photos
    it is a little too small, below 0 where the two are alike, for a second dream as for a generator.

    Args:
        real: Features, (N, C).
        fake: Features, (M, C).
        seed: Of the subsets; torch's global stream is left alone.
        subset: Pictures in a subset; None: ``SUBSET``.
        subsets: How many there are; None: ``SUBSETS``.

    Returns:
        Mean and standard deviation over the subsets; NaN where there are fewer pictures than a subset has.

    Source: Binkowski et al. 2018, kernel (x·y / C + 1)³, as torchmetrics computes it.
    Differs: the features are those of a backbone of ours, not of the InceptionV3 of the FID, which has to be
        downloaded and knows no dreams; so figures can be compared only within one backbone and layer.
    """
    subset, subsets = subset or SUBSET, subsets or SUBSETS
    if min(len(real), len(fake)) < subset:
        return MISSING
    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings():
        # That it keeps all features, which is what we want: they are small.
        warnings.filterwarnings("ignore", message=".*will save all extracted features.*")
        # The features are at hand already; a module of one's own also does without torch-fidelity.
        distance = KernelInceptionDistance(feature=nn.Identity(), subsets=subsets, subset_size=subset)
    distance.update(real.detach().cpu().float(), real=True)
    distance.update(fake.detach().cpu().float(), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, std = distance.compute()
    return Spread(float(mean), float(std))
