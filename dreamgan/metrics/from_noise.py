"""How near pictures that were dreamed from noise are to dreams: as a set, since none of them has a photo."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dreamgan.metrics.kid import kernel_distance
from dreamgan.metrics.spread import NAN

# Generated pictures that lie nearer together than this share of what the dreams do are too much alike.
LEAST_DIVERSITY = 0.5


@dataclass(frozen=True)
class NoiseMeasures:
    """Distances between sets of pictures, in features of one layer of a backbone, averaged over places.

    A figure that could not be taken is NaN.

    Attributes:
        n: Generated pictures.
        kid_dreams: Kernel distance to held-out dreams, with its standard deviation over subsets.
        kid_dreams_std: That deviation.
        kid_photos: The same to held-out photos; it should be the larger one.
        kid_photos_std: Its deviation.
        kid_halves: The same between two halves of the held-out dreams: what is near.
        kid_between: The same between held-out dreams and photos: what is far.
        diversity: Mean distance of two generated pictures over that of two dreams; 0 where all are one.
    """

    n: int
    kid_dreams: float
    kid_dreams_std: float
    kid_photos: float
    kid_photos_std: float
    kid_halves: float
    kid_between: float
    diversity: float

    @property
    def collapsed(self) -> bool:
        """Whether the generated pictures are much alike."""
        return self.diversity < LEAST_DIVERSITY


def measure_noise(generated: Tensor, dreams: Tensor, photos: Tensor) -> NoiseMeasures:
    """Compare three sets of pictures by their features.

    Args:
        generated: (N, C), float32.
        dreams: (M, C), of held-out dreams.
        photos: (K, C), of held-out photos.
    """
    to_dreams, to_photos = kernel_distance(dreams, generated), kernel_distance(photos, generated)
    return NoiseMeasures(
        n=len(generated),
        kid_dreams=to_dreams.mean,
        kid_dreams_std=to_dreams.std,
        kid_photos=to_photos.mean,
        kid_photos_std=to_photos.std,
        kid_halves=kernel_distance(dreams[::2], dreams[1::2]).mean,
        kid_between=kernel_distance(photos, dreams).mean,
        diversity=diversity(generated, dreams),
    )


def diversity(generated: Tensor, dreams: Tensor) -> float:
    """Mean distance of two generated pictures over that of two dreams; NaN where there are no two of either.

    Args:
        generated: Features, (N, C).
        dreams: (M, C).
    """
    return _spread_of(generated) / _spread_of(dreams) if min(len(generated), len(dreams)) > 1 else NAN


def _spread_of(features: Tensor) -> float:
    """Mean distance of two of them; never 0, so that it can be divided by."""
    return max(1e-12, float(torch.pdist(features.cpu().double()).mean()))
