"""The dream stage beside the engine alone: what reading, scoring and writing add to the time of dreaming."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from dreamgan.bench.measure import alternate
from dreamgan.bench.table import Columns, Row
from dreamgan.data.pairs import Pair, write_unit
from dreamgan.data.photos import PhotoSet
from dreamgan.dream import dream
from dreamgan.lit.dream_job import Cut, DreamJob, FinishedUnit, LoadedUnit, Teacher, UnitPhotos, UnitWriter, WorkUnit
from dreamgan.making.run import run_job

OVERLAP: Columns = (
    ("way", "way", 34, None),
    ("seconds", "seconds", 8, 3),
    ("pictures_per_second", "pictures/s", 10, 3),
    ("times_the_engine", "of engine", 9, 3),
    ("times_the_dreams", "of dreams", 9, 3),
    ("cpu_times_the_engine", "CPU, of engine", 14, 3),
    ("gpu_idle", "GPU idle", 8, 3),
)
DREAMS, ENGINE, READING, WRITING, STAGE, COMMAND = (
    "dreams alone",
    "engine: dreams and their scores",
    "reading alone",
    "writing alone",
    "stage: all of these",
    "whole command, imports left out",
)


@dataclass(frozen=True)
class Stage:
    """Photos to be dreamed in units, in one way.

    Attributes:
        photo_set: The photos; all are dreamed, once.
        teacher: Recipe and network.
        size_px: Side of the squares that they are cut to.
        batch: Photos per unit.
        device: Where to dream.
        threads: CPU threads.
    """

    photo_set: PhotoSet
    teacher: Teacher
    size_px: int
    batch: int
    device: torch.device
    threads: int

    def units(self, folder: Path, *, second: bool = False) -> list[WorkUnit]:
        """Work units over all photos, in order; without second dreams, as in a training split."""
        count = len(self.photo_set)
        members = [tuple(range(first, min(first + self.batch, count))) for first in range(0, count, self.batch)]
        return [
            WorkUnit("train", 0, 1.0, second, each, ("",) * len(each), folder / f"{number:07d}.parquet")
            for number, each in enumerate(members)
        ]

    def job(self, units: Sequence[WorkUnit]) -> DreamJob:
        """The job that dreams these units, not on a device yet."""
        cut = Cut(self.size_px, self.size_px, random=False, seed=0)
        return DreamJob([self.teacher], self.photo_set, units, cut, seed=0, second_seed=1, threads=self.threads)

    def pairs(self) -> list[Pair]:
        """All photos with their dreams and second dreams."""
        units = self.units(Path(), second=True)
        job = self.job(units)
        return [pair for unit in self.dreamed(job, self.loaded(units)) for pair in job.pairs_of(unit)[0]]

    def loaded(self, units: Sequence[WorkUnit]) -> list[LoadedUnit]:
        """Units with their photos, decoded."""
        return list(UnitPhotos(units, self.photo_set, self.size_px))

    def dreamed(self, job: DreamJob, loaded: Sequence[LoadedUnit]) -> list[FinishedUnit]:
        """What the engine makes of units in memory, without the Trainer."""
        job.to(self.device)
        with torch.no_grad():
            return [job.predict_step(job.transfer_batch_to_device(unit, self.device, 0)) for unit in loaded]

    def dream_only(self, loaded: Sequence[LoadedUnit]) -> None:
        """The engine without scores."""
        extractor, recipe = self.teacher.extractor.to(self.device), self.teacher.recipe
        for unit in loaded:
            names = [photo.photo_id for photo in unit.photos]
            dream(unit.images.to(self.device), extractor, recipe, photo_ids=names, guides=self.teacher.guides)

    def run(self) -> None:
        """The whole stage, from files to files."""
        with tempfile.TemporaryDirectory() as folder:
            run_job(
                self.job(self.units(Path(folder))),
                self.device,
                devices=1,
                nodes=1,
                precision="32",
                callbacks=[UnitWriter()],
            )


def time_stage(stage: Stage, command: dict[str, Any], repeats: int) -> list[Row]:
    """Time the stage in turns with its parts.

    Args:
        stage: What is timed.
        command: Arguments of ``make_dataset`` that dream the same photos in the same way.
        repeats: Timed turns.

    Returns:
        A row for each way. Ratios are medians over the turns, so that what slows a whole turn down does not count.
    """
    from dreamgan.commands.quiet import quiet_lightning

    with tempfile.TemporaryDirectory() as folder, quiet_lightning():
        units = stage.units(Path(folder))
        job, loaded = stage.job(units), stage.loaded(units)
        finished = stage.dreamed(job, loaded)
        ways: dict[str, Callable[[], object]] = {
            DREAMS: lambda: stage.dream_only(loaded),
            ENGINE: lambda: stage.dreamed(job, loaded),
            READING: lambda: stage.loaded(units),
            WRITING: lambda: _write(job, finished),
            STAGE: stage.run,
            COMMAND: lambda: quiet_command(**command),
        }
        seconds, cpu_seconds = _timed(ways, repeats)
        idle = None
        if stage.device.type == "cuda":
            idle = 1 - busy_seconds(stage.run) / statistics.median(seconds[STAGE])
    return [
        {
            "case": "overlap",
            "way": way,
            "seconds": statistics.median(seconds[way]),
            "pictures_per_second": len(stage.photo_set) / statistics.median(seconds[way]),
            "times_the_engine": median_ratio(seconds[way], seconds[ENGINE]),
            "times_the_dreams": median_ratio(seconds[way], seconds[DREAMS]),
            "cpu_times_the_engine": median_ratio(cpu_seconds[way], cpu_seconds[ENGINE]),
            "gpu_idle": idle if way == STAGE else None,
        }
        for way in ways
    ]


def _timed(
    ways: Mapping[str, Callable[[], object]], repeats: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds on the wall, and of all CPUs together, in which no other program's work counts."""
    spent: dict[str, list[float]] = {way: [] for way in ways}

    def run(way: str) -> None:
        start = time.process_time()
        ways[way]()
        spent[way].append(time.process_time() - start)

    seconds = alternate({way: partial(run, way) for way in ways}, repeats)
    return seconds, {way: some[1:] for way, some in spent.items()}  # the first was to warm up


def median_ratio(seconds: Sequence[float], others: Sequence[float]) -> float:
    """How many times as long one of two things took, turn by turn; the median."""
    return statistics.median(one / other for one, other in zip(seconds, others, strict=True))


def quiet_command(**arguments: Any) -> None:
    """Run ``make_dataset`` into a temporary folder; what it says is not shown."""
    from dreamgan.commands.dataset import make_dataset

    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        make_dataset(out=f"{folder}/out", **arguments)


def _write(job: DreamJob, finished: Sequence[FinishedUnit]) -> None:
    for each in finished:
        pairs, rejects = job.pairs_of(each)
        write_unit(each.loaded.unit.path, pairs, each.loaded.unit.split, rejects=rejects)


def busy_seconds(run: Callable[[], object]) -> float:
    """Seconds in which a CUDA device computes or copies at all during a run, by torch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        run()
        torch.cuda.synchronize()
    events: Any = profiler.events()
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type.name == "CUDA" and not event.is_user_annotation
    ]
    return covered(spans) / 1e6


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """The length of all spans together, what several of them cover counted once.

    Args:
        spans: Start and end of each, in any order.
    """
    total, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
