"""Sets of pictures against sets, by their features: whether they were memorised, what they cover, what they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamgan.metrics.spread import Spread

NEIGHBOURS = 5
DRAWS = 20
_DECAY = 1e-3


def nearest(pictures: Tensor, among: Tensor) -> Tensor:
    """Distance of each picture to the nearest one of a set.

    Args:
        pictures: Features, (N, C).
        among: (M, C).

    Returns:
        (N,), float64.
    """
    return torch.cdist(pictures.double(), among.double()).amin(dim=1)


def nearest_ratio(pictures: Tensor, trained: Tensor, held_out: Tensor, *, seed: int = 0) -> Spread:
    """Mean distance to the nearest training picture over that to the nearest held-out one, from sets of equal size.

    1: training pictures are no nearer than others of their kind; well below 1: they were memorised.

    Source: the idea is that of Lopez-Paz and Oquab 2017 and of Meehan et al. 2020, with a ratio in place of a test.

    Args:
        pictures: Features of what was generated, (N, C).
        trained: Of what was trained on, (M, C).
        held_out: Of other pictures of the same kind, (K, C).
        seed: Of the draws.

    Returns:
        Mean and standard deviation over ``DRAWS`` draws of half as many pictures as the smaller set has, from each.
    """
    count = max(1, min(len(trained), len(held_out)) // 2)
    stream = torch.Generator().manual_seed(seed)
    ratios = []
    for _ in range(DRAWS):
        near, far = (each[torch.randperm(len(each), generator=stream)[:count]] for each in (trained, held_out))
        ratios.append(nearest(pictures, near).mean() / nearest(pictures, far).mean().clamp_min(1e-12))
    found = torch.stack(ratios)
    return Spread(float(found.mean()), float(found.std()))


def density_coverage(real: Tensor, generated: Tensor, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """How much of the generated lies where the real is dense, and how much of the real has a generated one near.

    Source: Naeem et al. 2020.

    Args:
        real: Features, (N, C), more of them than ``neighbours``.
        generated: (M, C).
        neighbours: How far "near" is: to so manieth other real one.

    Returns:
        Density, which is 1 for two sets of one kind, and coverage, from 0 to 1, which has 1 - (about) 2^-neighbours
        for two sets of one kind and one size.

    Raises:
        ValueError: If there are too few real ones.
    """
    if len(real) <= neighbours:
        raise ValueError(f"{len(real)} real pictures have no {neighbours} neighbours each")
    real, generated = real.double(), generated.double()
    reach = torch.cdist(real, real).kthvalue(neighbours + 1, dim=1).values  # the first is itself
    within = torch.cdist(real, generated) < reach[:, None]
    return float(within.sum(dim=0).double().mean() / neighbours), float(within.any(dim=1).double().mean())


class Classifier(NamedTuple):
    """A linear classifier of features.

    Attributes:
        mean: Of the features that it learnt from, (C,).
        scale: Their standard deviation, (C,).
        layer: (C,) to one logit per class.
    """

    mean: Tensor
    scale: Tensor
    layer: nn.Linear

    def classes(self, features: Tensor) -> Tensor:
        """The likeliest class of each row, (N,)."""
        with torch.no_grad():
            answer: Tensor = self.layer((features.float() - self.mean) / self.scale).argmax(dim=1)
        return answer


def fit_classifier(features: Tensor, labels: Sequence[int], classes: int) -> Classifier:
    """Fit a linear classifier: cross-entropy with a small weight decay, to its minimum.

    Args:
        features: (N, C).
        labels: Class of each, from 0 to classes - 1.
        classes: How many there are.
    """
    features, wanted = features.detach().float(), torch.tensor(labels)
    mean, scale = features.mean(dim=0), features.std(dim=0).clamp_min(1e-6)
    known = (features - mean) / scale
    layer = nn.Linear(features.shape[1], classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(layer(known), wanted) + _DECAY * layer.weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return Classifier(mean, scale, layer.requires_grad_(False))
