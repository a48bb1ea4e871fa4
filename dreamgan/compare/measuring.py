"""What each way gives: nearness to the direct dream, content kept, distance in style."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from dreamgan.backbones.features import Extractor
from dreamgan.compare.gathering import Gathered, Made
from dreamgan.compare.way import Way
from dreamgan.dream import DreamRecipe, score
from dreamgan.metrics import cosines, feature_vectors
from dreamgan.style import Comparison


@dataclass(frozen=True)
class Row:
    """One way, in the mean over photos; NaN where a measure does not apply.

    Attributes:
        way: Its name.
        label: What people call it.
        kind: What it is one of.
        steps: Gradient steps of a picture.
        photos: How many.
        seconds: Of a picture.
        agreement: With the direct dream of the reference recipe: 0 the photo, 1 a second dream.
        dream_gain: Share of the dream's rise in the reference's objective.
        content_kept: Cosine of the features to the photo's, in the reference's deepest layer.
        style_distance: Style loss to the style picture.
    """

    way: str
    label: str
    kind: str
    steps: int
    photos: int
    seconds: float
    agreement: float
    dream_gain: float
    content_kept: float
    style_distance: float

    def as_json(self) -> dict[str, object]:
        """With None for NaN, which JSON has not."""
        return {name: None if _is_nan(value) else value for name, value in asdict(self).items()}


def measure_ways(
    gathered: Gathered,
    ways: Sequence[Way],
    recipe: DreamRecipe,
    extractor: Extractor,
    *,
    dream: str,
    second: str,
    style: Comparison | None,
) -> list[Row]:
    """Measure all pictures.

    Args:
        gathered: From ``gather``, the way ``photo`` among them.
        ways: As they were gathered.
        recipe: The reference: what dreams are held against.
        extractor: Must answer for its layers.
        dream: Name of the way that is the reference's direct dream; the measures of dreams are NaN where it is missing.
        second: Name of the way that is a second dream of it, with another seed.
        style: Compares with the style picture; None: no style distance.

    Returns:
        A row for each way that was run, in their order.
    """
    device = next(extractor.parameters()).device
    by_photo: dict[str, dict[str, Made]] = {}
    for made in gathered.made:
        by_photo.setdefault(made.photo, {})[made.way] = made
    found: dict[str, list[dict[str, float]]] = {}
    for of in by_photo.values():
        images = {name: made.image().to(device) for name, made in of.items()}
        # Pictures from noise have a size of their own.
        size = images["photo"].shape[-2:]
        images = {name: _fit(image, size) for name, image in images.items()}
        with torch.no_grad():
            features = {name: feature_vectors(image, extractor, recipe) for name, image in images.items()}
            scores = {name: float(score(image, extractor, recipe)) for name, image in images.items()}
            styles = {name: float(style(image, {})["style"]) if style else math.nan for name, image in images.items()}
        for name in images:
            values = {
                "kept": _cosine(features[name], features["photo"]),
                "cosine": _cosine(features[name], features[dream]) if dream in features else math.nan,
                "score": scores[name],
                "style": styles[name],
                "seconds": of[name].seconds,
            }
            found.setdefault(name, []).append(values)
    mean = {name: {key: _mean(values, key) for key in values[0]} for name, values in found.items()}
    floor, none = mean["photo"], {"cosine": math.nan, "score": math.nan}
    best, ceiling = mean.get(dream, none), mean.get(second, none)
    rows = []
    for way in ways:
        if way.name not in mean:
            continue
        own = mean[way.name]
        agreement = _share(own["cosine"], floor["cosine"], ceiling["cosine"]) if way.name != dream else math.nan
        gain = _share(own["score"], floor["score"], best["score"])
        row = Row(
            *(way.name, way.label, way.kind, way.steps, len(found[way.name])),
            *(own["seconds"], agreement, gain, own["kept"], own["style"]),
        )
        rows.append(row)
    return rows


def _fit(image: Tensor, size: torch.Size) -> Tensor:
    if image.shape[-2:] == size:
        return image
    height, width = size
    return torch.nn.functional.interpolate(image, size=(height, width), mode="bilinear", antialias=True)


def _cosine(a: Tensor, b: Tensor) -> float:
    return float(cosines(a, b))


def _mean(values: Sequence[Mapping[str, float]], key: str) -> float:
    return sum(each[key] for each in values) / len(values)


def _share(value: float, floor: float, whole: float) -> float:
    return (value - floor) / (whole - floor) if whole != floor else math.nan


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
