"""Was it the dream that was learnt, or the photo's object? A generator of noise in figures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dreamgan.backbones.features import Extractor
from dreamgan.dream.engine import score
from dreamgan.evaluation.noise_sets import NoiseSets
from dreamgan.evaluation.yardstick import Yardstick
from dreamgan.metrics.features import feature_map
from dreamgan.metrics.from_noise import diversity
from dreamgan.metrics.kid import kernel_distance, pooled
from dreamgan.metrics.sets import NEIGHBOURS, density_coverage, fit_classifier, nearest_ratio
from dreamgan.metrics.spread import NAN, Spread, spread

SUBSETS = 20
_EVERY = 5  # training dreams on which the classifier is tried instead of fitted


@dataclass(frozen=True)
class NetworkFigures:
    """What one network says of the generated pictures, and of dreams in their place.

    Features are averaged over places, and divided by their root mean square over held-out dreams.

    Attributes:
        network: Backbone and layer.
        kid_dreams: Kernel distance to the first half of the held-out dreams; spreads are over subsets.
        kid_photos: To held-out photos.
        kid_halves: Of the second half of the dreams to the first.
        kid_between: Of held-out photos to the first half of the dreams.
        nearest: Distance to the nearest training dream over that to the nearest held-out one.
        nearest_halves: The same of the second half of the dreams.
        density: Share of the generated that lies among the dreams.
        density_halves: The same of the second half of the dreams.
        coverage: Share of the dreams that have a generated one near.
        coverage_halves: The same for the second half.
        diversity: Mean distance of two generated pictures over that of two dreams.
        accuracy: Share of dreams whose category a linear classifier names.
        categories: Share of the generated pictures that it gives to each.
    """

    network: str
    kid_dreams: Spread
    kid_photos: Spread
    kid_halves: Spread
    kid_between: Spread
    nearest: Spread
    nearest_halves: Spread
    density: float
    density_halves: float
    coverage: float
    coverage_halves: float
    diversity: float
    accuracy: float
    categories: dict[str, float]

    @property
    def of_between(self) -> float:
        """KID to dreams as a share of that between photos and dreams."""
        return self.kid_dreams.mean / self.kid_between.mean if self.kid_between.mean > 0 else NAN


@dataclass(frozen=True)
class NoiseFigures:
    """Everything that is said of a generator and a style.

    Attributes:
        style: Its name.
        count: Pictures of each set that is compared.
        objective: Of "photos", "dreams" and "generated" pictures at the size of the generator; spreads over pictures.
        dream_share: Where the objective of the generated lies between that of the photos, 0, and of the dreams, 1.
        trained: Share of each category among the training dreams.
        networks: What the networks say: that which dreamed, and the referee if there is one.
    """

    style: str
    count: int
    objective: dict[str, Spread]
    dream_share: float
    trained: dict[str, float]
    networks: list[NetworkFigures]

    def as_row(self) -> dict[str, Any]:
        """For JSON: without NaN, spreads as NAME and NAME_std."""
        row: dict[str, Any] = {"style": self.style, "n": self.count, "dream_share": _finite(self.dream_share)}
        for name, value in self.objective.items():
            row |= {f"objective_{name}": _finite(value.mean), f"objective_{name}_std": _finite(value.std)}
        row |= {"categories_trained": self.trained, "networks": []}
        for each in self.networks:
            found: dict[str, Any] = {}
            for field in dataclasses.fields(each):
                value = getattr(each, field.name)
                if isinstance(value, Spread):
                    found |= {field.name: _finite(value.mean), f"{field.name}_std": _finite(value.std)}
                else:
                    found[field.name] = _finite(value) if isinstance(value, float) else value
            row["networks"].append(found)
        return row


def noise_figures(
    style: str, generated: Tensor, sets: NoiseSets, yardstick: Yardstick, batch: int, device: torch.device
) -> NoiseFigures:
    """Measure.

    Args:
        style: Name of what was learnt.
        generated: Pictures from noise, (N, 3, S, S) in [0, 1], at least as many as each of the sets.
        sets: From ``gather``.
        yardstick: The networks.
        batch: Pictures at a time.
        device: Where the networks live.
    """
    judges = [(yardstick.extractor, yardstick.layer)]
    if yardstick.referee:
        judges.append((yardstick.referee.extractor, yardstick.referee.layer))

    def objective(images: Tensor) -> Tensor:
        return score(images, yardstick.extractor, yardstick.recipe, guides=yardstick.guides)

    heights = {
        name: spread(_over(images, objective, batch, device))
        for name, images in (
            ("photos", sets.photos),
            ("dreams", torch.cat(sets.dreams)),
            ("generated", generated),
        )
    }
    low, high = heights["photos"].mean, heights["dreams"].mean
    counts = torch.bincount(torch.tensor(sets.labels), minlength=len(sets.names)).double() / len(sets.labels)
    return NoiseFigures(
        style,
        sets.count,
        heights,
        (heights["generated"].mean - low) / (high - low) if high != low else NAN,
        dict(zip(sets.names, counts.tolist(), strict=True)),
        [_of_network(extractor, layer, generated, sets, batch, device) for extractor, layer in judges],
    )


def _of_network(
    extractor: Extractor, layer: str, generated: Tensor, sets: NoiseSets, batch: int, device: torch.device
) -> NetworkFigures:
    def features(images: Tensor) -> Tensor:
        return _over(images, lambda part: pooled(feature_map(part, extractor, layer)), batch, device)

    made, photos, trained, dreams, others = _at_one_size(
        [features(each) for each in (generated, sets.photos, sets.trained, *sets.dreams)]
    )
    some = made[: sets.count]

    def kid(real: Tensor, fake: Tensor) -> Spread:
        return kernel_distance(real, fake, subset=max(2, sets.count // 2), subsets=SUBSETS)

    enough = sets.count > NEIGHBOURS
    density, coverage = density_coverage(dreams, some) if enough else (NAN, NAN)
    density_halves, coverage_halves = density_coverage(dreams, others) if enough else (NAN, NAN)
    accuracy, categories = _categories(trained, made, sets)
    return NetworkFigures(
        network=f"{extractor.backbone} {layer}",
        kid_dreams=kid(dreams, some),
        kid_photos=kid(photos, some),
        kid_halves=kid(dreams, others),
        kid_between=kid(dreams, photos),
        nearest=nearest_ratio(some, trained, dreams),
        nearest_halves=nearest_ratio(others, trained, dreams),
        density=density,
        density_halves=density_halves,
        coverage=coverage,
        coverage_halves=coverage_halves,
        diversity=diversity(some, dreams),
        accuracy=accuracy,
        categories=categories,
    )


def _at_one_size(features: Sequence[Tensor]) -> list[Tensor]:
    """Divide by the root mean square of the last ones: networks differ in it widely, and the kernel cubes it."""
    size = features[-1].square().mean().sqrt().clamp_min(1e-12)
    return [each / size for each in features]


def _categories(trained: Tensor, made: Tensor, sets: NoiseSets) -> tuple[float, dict[str, float]]:
    """How often the classifier is right about dreams, and the shares that it sees in what was made."""
    if len(sets.names) < 2:
        return NAN, {}
    labels = torch.tensor(sets.labels)
    tried = torch.arange(len(labels)) % _EVERY == 0
    classifier = fit_classifier(trained[~tried], labels[~tried].tolist(), len(sets.names))
    right = (classifier.classes(trained[tried]) == labels[tried]).double().mean()
    counts = torch.bincount(classifier.classes(made), minlength=len(sets.names)).double() / len(made)
    return float(right), dict(zip(sets.names, counts.tolist(), strict=True))


def _over(images: Tensor, function: Callable[[Tensor], Tensor], batch: int, device: torch.device) -> Tensor:
    """A function of pictures, batch by batch, on the CPU."""
    with torch.no_grad():
        return torch.cat([function(part.to(device)).float().cpu() for part in torch.split(images, batch)])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
