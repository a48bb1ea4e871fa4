"""Every photo in every way: what is finished is kept on disk, and the next run goes on from there."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dreamgan.compare.memory import PeakMemory
from dreamgan.compare.way import Make, Way, sha256_of
from dreamgan.errors import UserError
from dreamgan.files import write_text
from dreamgan.images import load_image, save_png, to_picture, to_unit

# A single pass takes so little that what else the machine does would show.
REPEATS = 3
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Made:
    """A photo in one way.

    Attributes:
        photo: Name of the photo.
        way: Name of the way.
        file: The picture, PNG; 8 bit, as all measures take it.
        seconds: What the picture took, without loading networks; the median of three where it is a single pass.
        peak_mb: Memory at the peak, the way's networks among it; NaN where the system does not tell.
    """

    photo: str
    way: str
    file: Path
    seconds: float
    peak_mb: float

    def image(self) -> Tensor:
        """The picture, (1, 3, H, W) in [0, 1]."""
        return to_unit(load_image(self.file).picture)[None]


@dataclass(frozen=True)
class Gathered:
    """All that was made, and what could not be.

    Attributes:
        made: In the order of photos, then of ways.
        missing: Name of a way to what it lacks.
    """

    made: tuple[Made, ...]
    missing: Mapping[str, str]


def gather(
    photos: Mapping[str, Tensor],
    ways: Sequence[Way],
    folder: Path,
    tell: Callable[[str], object],
    device: torch.device = CPU,
) -> Gathered:
    """Change every photo in every way.

    Args:
        photos: Name to photo, (1, 3, H, W) in [0, 1]; names are good for folders.
        ways: No two of one name.
        folder: Gets ``<photo>/<way>.png`` and, when that is whole, ``<way>.json``.
        tell: Gets a line for every picture and for every way that cannot be run.
        device: Where the ways run; its memory is what is measured.

    Raises:
        UserError: If no way but the photo itself can be run.
    """
    lacking: dict[str, str] = {}
    found: dict[tuple[str, str], Made] = {}
    # Way by way, so that no more than one way's networks are in memory.
    for way in ways:
        make: Make | None = None
        memory: PeakMemory | None = None
        for photo, image in photos.items():
            target = folder / photo / f"{way.name}.png"
            facts = json.loads(json.dumps({**way.facts, "photo": sha256_of(image), "device": device.type}))
            cost = _kept(target, facts)
            if cost is None:
                try:
                    memory = memory or PeakMemory(device)
                    make = make or way.load()
                except UserError as error:
                    lacking[way.name] = str(error)
                    tell(f"{way.label}: left out: {error}")
                    break
                cost = _make(make, image, photo, target, facts, memory, repeats=1 if way.steps else REPEATS)
                tell(f"{way.label}, {photo}: {cost.seconds:.3g} s")
            found[photo, way.name] = Made(photo, way.name, target, *cost)
    if not any(made.way != "photo" for made in found.values()):
        raise UserError(f"none of the ways can be run; first: {next(iter(lacking.values()), 'there is none')}")
    # A way that a part of the photos has from an earlier run is not compared with those that have all.
    whole = [way.name for way in ways if way.name not in lacking]
    return Gathered(tuple(found[photo, way] for photo in photos for way in whole), lacking)


class _Cost(NamedTuple):
    seconds: float
    peak_mb: float


def _make(
    make: Make, image: Tensor, name: str, target: Path, facts: dict[str, Any], memory: PeakMemory, repeats: int
) -> _Cost:
    times = []
    memory.begin()
    for _ in range(repeats):
        begun = time.perf_counter()
        picture = make(image, name)
        if picture.is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    cost = _Cost(statistics.median(times), memory.peak_mb())
    save_png(to_picture(picture[0].float().cpu()), target)
    write_text(target.with_suffix(".json"), json.dumps({"facts": facts, **_as_json(cost)}) + "\n")
    return cost


def _as_json(cost: _Cost) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in cost._asdict().items()}


def _kept(target: Path, facts: dict[str, Any]) -> _Cost | None:
    """What it took to make a picture that an earlier run has finished from the same facts."""
    try:
        content = json.loads(target.with_suffix(".json").read_text(encoding="utf-8"))
        if content["facts"] == facts:
            load_image(target)
            peak = content["peak_mb"]
            return _Cost(float(content["seconds"]), math.nan if peak is None else float(peak))
    except (OSError, ValueError, LookupError, TypeError, UserError):
        pass  # made again
    return None
