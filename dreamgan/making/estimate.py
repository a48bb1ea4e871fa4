"""What a dataset will take, from one unit of each kind of dream: time, disk and how the two are known."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dreamgan.data.pairs import write_unit
from dreamgan.devices import Precision, precision_context
from dreamgan.lit.dream_job import DreamJob, UnitPhotos, WorkUnit


@dataclass(frozen=True)
class Estimate:
    """What remains to be done.

    Attributes:
        seconds: On one process.
        bytes_on_disk: Of the finished dataset; while it is put together there is twice as much.
    """

    seconds: float
    bytes_on_disk: float


def estimate(
    job: DreamJob, units: Sequence[WorkUnit], waiting: Sequence[WorkUnit], device: torch.device, precision: Precision
) -> Estimate:
    """Dream one unit of each way (teacher, strength, second dream) and scale up; nothing is kept.

    Args:
        job: As it would be run.
        units: All of them.
        waiting: Those that are still to be dreamed.
        device: Where.
        precision: As it would be run.
    """
    ways: dict[tuple[int, float, bool], list[WorkUnit]] = defaultdict(list)
    for unit in units:
        ways[unit.teacher, unit.strength, unit.second].append(unit)
    undone = {unit.path for unit in waiting}
    threads = torch.get_num_threads()
    torch.set_num_threads(job.threads)
    job.to(device)
    seconds = size = 0.0
    try:
        with tempfile.TemporaryDirectory() as folder, precision_context(device, precision):
            for members in ways.values():
                spent, written = _measure(job, members[0], Path(folder) / "unit.parquet")
                one = len(members[0].photos)
                seconds += spent / one * sum(len(unit.photos) for unit in members if unit.path in undone)
                size += written / one * sum(len(unit.photos) for unit in members)
    finally:
        torch.set_num_threads(threads)
    return Estimate(seconds, size)


def _measure(job: DreamJob, unit: WorkUnit, path: Path) -> tuple[float, int]:
    for first in (True, False):
        started = time.perf_counter()
        for loaded in UnitPhotos([unit], job.photo_set, job.cut.dream_px):
            on_device = job.transfer_batch_to_device(loaded, job.device, 0)
            pairs, rejects = job.pairs_of(job.predict_step(on_device))
            write_unit(path, pairs, unit.split, rejects=rejects)
        spent = time.perf_counter() - started
        # The first unit pays for what is set up once: where that may be much of it, another one is timed.
        if first and spent > 5:
            break
    return spent, path.stat().st_size
