"""A group of pairs through a generator and all measures, some pictures at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from dreamgan.data.datamodule import PairPictures
from dreamgan.devices import halving
from dreamgan.evaluation.groups import Group, evenly
from dreamgan.evaluation.yardstick import Yardstick
from dreamgan.metrics import Measures, Measuring, equivalent_steps, other_photos, with_residual_of
from dreamgan.metrics.cheats import Pairs
from dreamgan.metrics.spread import MISSING, Spread, spread

COLUMNS = ("photo", "dream", "second_dream")
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


class GroupPictures:
    """The pictures of a group, decoded when they are asked for.

    Args:
        group: Which pairs.
        rows: The split that they are in.
        device: Where the pictures shall live.

    Raises:
        UserError: If the first pair cannot be read, or its pictures differ in size.
    """

    def __init__(self, group: Group, rows: Any, device: torch.device) -> None:
        own = rows.select(group.places)
        self.photo_ids: list[str] = own["photo_id"][:]
        self.seed = int(own["seed"][0])
        self.has_second = group.has_second
        others = other_photos(own["source_id"][:])
        self.has_others = others is not None
        self._others = others or [(place + 1) % len(own) for place in range(len(own))]
        self._device = device
        self._pictures = PairPictures(own, COLUMNS, cache_mib=0)
        self._first = self._read([0])

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self.photo_ids)

    def others(self, places: Sequence[int]) -> list[int]:
        """For each photo the place of another: of another photograph where there is one."""
        return [self._others[place] for place in places]

    def pairs(self, places: Sequence[int]) -> Pairs:
        """The pictures of some places.

        Raises:
            UserError: If one cannot be read or has another size than the first.
        """
        own, other = self._read(places), self._read(self.others(places))
        return Pairs(
            photos=own["photo"],
            dreams=own["dream"],
            second_dreams=own["second_dream"] if self.has_second else None,
            other_photos=other["photo"],
            other_dreams=other["dream"],
            first_photo=self._first["photo"],
            first_dream=self._first["dream"],
        )

    def _read(self, places: Sequence[int]) -> dict[str, Tensor]:
        samples = [self._pictures[place] for place in places]
        return {name: torch.stack([sample[name] for sample in samples]).to(self._device) for name in COLUMNS}


def measure_group(
    pictures: GroupPictures, make: Make, yardstick: Yardstick, batch: int, done: Callable[[int], object]
) -> Measures:
    """Measure what is made of the photos of a group.

    Args:
        pictures: Of the group, at least 2.
        make: Makes the pictures.
        yardstick: What to measure with.
        batch: Pictures at a time; fewer where memory runs out.
        done: Is told how many more have been measured.

    Raises:
        UserError: If a picture cannot be read, or memory runs out with a single one.
    """
    measuring = Measuring(yardstick.extractor, yardstick.recipe, guides=yardstick.guides, referee=yardstick.referee)
    for start in range(0, len(pictures), batch):
        places = range(start, min(start + batch, len(pictures)))

        def run(part: slice, places: range = places) -> None:
            own = pictures.pairs(places[part])
            wrong = None
            if pictures.has_others:
                other = pictures.pairs(pictures.others(places[part]))
                wrong = with_residual_of(own.photos, other.photos, make(other))
            measuring.add(own.photos, own.dreams, own.second_dreams, make(own), wrong)

        halving(run, len(places))
        done(len(places))
    return measuring.measures()


def measure_steps(
    pictures: GroupPictures, make: Make, yardstick: Yardstick, photos: int, batch: int, done: Callable[[int], object]
) -> Spread:
    """Equivalent steps over some photos of a group, evenly spread over it.

    Args:
        pictures: Of the group.
        make: Makes the pictures.
        yardstick: What to measure with.
        photos: How many; 0: none.
        batch: Pictures at a time; fewer where memory runs out.
        done: Is told how many more have been measured.

    Raises:
        UserError: If a picture cannot be read, or memory runs out with a single one.
    """
    chosen = evenly(range(len(pictures)), photos)
    found: list[Tensor] = []
    for start in range(0, len(chosen), batch):
        places = chosen[start : start + batch]

        def run(part: slice, places: list[int] = places) -> Tensor:
            own = pictures.pairs(places[part])
            return equivalent_steps(
                own.photos,
                make(own),
                yardstick.extractor,
                yardstick.recipe,
                seed=pictures.seed,
                photo_ids=[pictures.photo_ids[place] for place in places[part]],
                guides=yardstick.guides,
            )

        found += halving(run, len(places))
        done(len(places))
    return spread(torch.cat(found)) if found else MISSING
