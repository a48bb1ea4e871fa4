"""A group of pairs through a generator and all measures, some pictures at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from dreamgan.devices import halving
from dreamgan.evaluation.groups import Group, evenly
from dreamgan.evaluation.pictures import GroupPictures
from dreamgan.evaluation.yardstick import Yardstick
from dreamgan.metrics import Measures, Measuring, with_residual_of
from dreamgan.metrics.cheats import Pairs
from dreamgan.metrics.equivalent import equivalent_steps_of_several
from dreamgan.metrics.measuring import Compared
from dreamgan.metrics.spread import MISSING, Spread, spread

FIGURES = (
    "dream_gain",
    "robust_gain",
    "wrong_photo_cosine",
    "floor_cosine",
    "feature_cosine",
    "ceiling_cosine",
    "agreement",
    "referee_agreement",
    "universal_share",
    "dream_universal_share",
    "equivalent_steps",
    "kid",
)

Make = Callable[[Pairs], Tensor]
"""Makes a picture, (B, 3, H, W) in [0, 1], of each photo: a generator, or a cheat."""


@dataclass(frozen=True)
class Result:
    """What was measured of a group.

    Attributes:
        group: Which pairs.
        measures: Of the pictures that were made.
        steps: Equivalent steps over some of the photos; NaN where there were none.
        steps_photos: How many photos that is.
        yardstick: What it was measured with.
    """

    group: Group
    measures: Measures
    steps: Spread
    steps_photos: int
    yardstick: Yardstick

    def as_row(self) -> dict[str, Any]:
        """The result as JSON holds it; a figure that could not be taken is None."""
        found = {
            **asdict(self.measures),
            "equivalent_steps": self.steps.mean,
            "equivalent_steps_std": self.steps.std,
        }
        figures = [key for name in FIGURES for key in (name, f"{name}_std") if key in found]
        return {
            "split": self.group.split,
            "recipe": self.group.recipe,
            "strength": self.group.strength,
            **({} if self.group.label is None else {"label": self.group.label}),
            "n": self.measures.n,
            **{key: found[key] if math.isfinite(found[key]) else None for key in figures},
        }


def measure_group(
    pictures: GroupPictures,
    makes: Mapping[str, Make],
    yardstick: Yardstick,
    batch: int,
    done: Callable[[int], object],
) -> dict[str, Measures]:
    """Measure what is made of the photos of a group; photos and direct dreams are looked at once for all of it.

    Args:
        pictures: Of the group, at least 2.
        makes: Name to what makes pictures, at least one.
        yardstick: What to measure with.
        batch: Pictures at a time; fewer where memory runs out.
        done: Is told how many more have been measured.

    Returns:
        Name to measures.

    Raises:
        UserError: If a picture cannot be read, or memory runs out with a single one.
    """
    measurings = {
        name: Measuring(yardstick.extractor, yardstick.recipe, guides=yardstick.guides, referee=yardstick.referee)
        for name in makes
    }
    order = pictures.in_company()
    for start in range(0, len(order), batch):
        places = order[start : start + batch]

        def run(part: slice, places: list[int] = places) -> None:
            found = _compare(pictures, places[part], makes, measurings)
            for name, compared in found.items():  # all at once: when memory runs out before, nothing is counted twice
                measurings[name].take(compared)

        halving(run, len(places))
        done(len(places))
    return {name: measuring.measures() for name, measuring in measurings.items()}


def _compare(
    pictures: GroupPictures, places: Sequence[int], makes: Mapping[str, Make], measurings: Mapping[str, Measuring]
) -> dict[str, Compared]:
    others = pictures.others(places) if pictures.has_others else []
    wanted = list(dict.fromkeys([*places, *others]))
    pairs = pictures.pairs(wanted)
    own, other = slice(len(places)), [wanted.index(place) for place in others]

    def wrong(made: Tensor) -> Tensor | None:
        """What was made of other photos, on these."""
        return with_residual_of(pairs.photos[own], pairs.photos[other], made[other]) if other else None

    seconds = pairs.second_dreams
    measuring = next(iter(measurings.values()))
    direct = measuring.direct(
        pairs.photos[own],
        pairs.dreams[own],
        None if seconds is None else seconds[own],
        None if seconds is None else wrong(seconds),
    )
    found = {}
    for name, make in makes.items():
        made = make(pairs)
        found[name] = measurings[name].compare(direct, made[own], wrong(made))
    return found


def measure_steps(
    pictures: GroupPictures,
    makes: Mapping[str, Make],
    yardstick: Yardstick,
    photos: int,
    batch: int,
    done: Callable[[int], object],
) -> dict[str, Spread]:
    """Equivalent steps over some photos of a group, evenly spread over it.

    Args:
        pictures: Of the group.
        makes: Name to what makes pictures.
        yardstick: What to measure with.
        photos: How many; 0: none.
        batch: Pictures at a time; fewer where memory runs out.
        done: Is told how many more have been measured.

    Returns:
        Name to steps.

    Raises:
        UserError: If a picture cannot be read, or memory runs out with a single one.
    """
    chosen = evenly(range(len(pictures)), photos)
    found: list[list[Tensor]] = []
    for start in range(0, len(chosen), batch):
        places = chosen[start : start + batch]

        def run(part: slice, places: list[int] = places) -> list[Tensor]:
            pairs = pictures.pairs(places[part])
            return equivalent_steps_of_several(
                pairs.photos,
                [make(pairs) for make in makes.values()],
                yardstick.extractor,
                yardstick.recipe,
                seed=pictures.seed,
                photo_ids=[pictures.photo_ids[place] for place in places[part]],
                guides=yardstick.guides,
            )

        found += halving(run, len(places))
        done(len(places))
    if not found:
        return dict.fromkeys(makes, MISSING)
    return {name: spread(torch.cat(parts)) for name, parts in zip(makes, zip(*found, strict=True), strict=True)}
