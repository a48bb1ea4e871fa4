"""What each way gives: nearness to the direct dream, content kept, distance in style."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Tensor

from dreamgan.backbones.features import Extractor
from dreamgan.compare.gathering import Gathered, Made
from dreamgan.compare.way import Way
from dreamgan.dream import DreamRecipe, score
from dreamgan.metrics import Referee, cosines, feature_map, kernel_distance
from dreamgan.metrics.kid import pooled
from dreamgan.style import Comparison

# Of fewer the kernel distance is mostly noise.
KID_PHOTOS = 200
Role = Literal["", "floor", "reference", "ceiling"]


@dataclass(frozen=True)
class Row:
    """One way, in the mean over photos; NaN where a measure does not apply.

    Attributes:
        way: Its name.
        label: What people call it.
        kind: What it is one of.
        steps: Gradient steps of a picture.
        photos: How many.
        series: Of those that differ in their steps only.
        role: What the others are held against: floor (the photo), ceiling (the second dream) or reference (the dream
            itself); empty for all others.
        seconds: Of a picture.
        peak_mb: The largest of all photos: memory at the peak, the way's networks among it.
        agreement: With the direct dream of the reference recipe: 0 the photo, 1 a second dream.
        referee_agreement: The same in a network that took no part.
        dream_gain: Share of the dream's rise in the reference's objective.
        content_kept: Cosine of the features to the photo's, in the reference's deepest layer.
        kid: Kernel distance between the way's pictures and the dreams, as sets; of ``KID_PHOTOS`` photos or more.
        style_distance: Style loss to the style picture.
    """

    way: str
    label: str
    kind: str
    steps: int
    photos: int
    series: str
    role: Role
    seconds: float
    peak_mb: float
    agreement: float
    referee_agreement: float
    dream_gain: float
    content_kept: float
    kid: float
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
    referee: Referee | None = None,
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
        referee: Another network to compare the pictures in; None: no referee agreement.

    Returns:
        A row for each way that was run, in their order.
    """
    device = next(extractor.parameters()).device
    by_photo: dict[str, dict[str, Made]] = {}
    for made in gathered.made:
        by_photo.setdefault(made.photo, {})[made.way] = made
    found: dict[str, list[dict[str, float]]] = {}
    sets: dict[str, list[Tensor]] = {}
    layer = extractor.deepest(recipe.layer_names)
    for of in by_photo.values():
        images = {name: made.image().to(device) for name, made in of.items()}
        # Pictures from noise have a size of their own.
        size = images["photo"].shape[-2:]
        images = {name: _fit(image, size) for name, image in images.items()}
        with torch.no_grad():
            maps = {name: feature_map(image, extractor, layer) for name, image in images.items()}
            features = {name: each.flatten(1) for name, each in maps.items()}
            judged = {name: referee.vectors(image) for name, image in images.items()} if referee else {}
            scores = {name: float(score(image, extractor, recipe)) for name, image in images.items()}
            styles = {name: float(style(image, {})["style"]) if style else math.nan for name, image in images.items()}
        for name in images:
            values = {
                "kept": _cosine(features[name], features["photo"]),
                "cosine": _cosine(features[name], features[dream]) if dream in features else math.nan,
                "referee": _cosine(judged[name], judged[dream]) if dream in judged else math.nan,
                "score": scores[name],
                "style": styles[name],
                "seconds": of[name].seconds,
                "peak": of[name].peak_mb,
            }
            sets.setdefault(name, []).append(pooled(maps[name]).cpu())
            found.setdefault(name, []).append(values)
    mean = {name: {key: _mean(values, key) for key in values[0]} for name, values in found.items()}
    floor, none = mean["photo"], {"cosine": math.nan, "referee": math.nan, "score": math.nan}
    best, ceiling = mean.get(dream, none), mean.get(second, none)
    roles: dict[str, Role] = {"photo": "floor", dream: "reference", second: "ceiling"}
    rows = []
    for way in ways:
        if way.name not in mean:
            continue
        own = mean[way.name]

        def agreement(cosine: str, own: dict[str, float] = own, is_dream: bool = way.name == dream) -> float:
            # The dream itself would be beyond the ceiling, which says nothing.
            return math.nan if is_dream else _share(own[cosine], floor[cosine], ceiling[cosine])

        row = Row(
            way=way.name,
            label=way.label,
            kind=way.kind,
            steps=way.steps,
            photos=len(found[way.name]),
            series=way.series,
            role=roles.get(way.name, ""),
            seconds=own["seconds"],
            peak_mb=max(each["peak"] for each in found[way.name]),
            agreement=agreement("cosine"),
            referee_agreement=agreement("referee"),
            dream_gain=_share(own["score"], floor["score"], best["score"]),
            content_kept=own["kept"],
            kid=_kid(sets, way.name, dream),
            style_distance=own["style"],
        )
        rows.append(row)
    return rows


def _kid(sets: Mapping[str, list[Tensor]], way: str, dream: str) -> float:
    if way == dream or dream not in sets or len(sets[way]) < KID_PHOTOS:
        return math.nan
    return kernel_distance(torch.cat(sets[dream]), torch.cat(sets[way])).mean


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
    # Added 0: -0 would be shown as such.
    return (value - floor) / (whole - floor) + 0.0 if whole != floor else math.nan


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
