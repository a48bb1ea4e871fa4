"""The benchmark of the dataset stage: storage, what overlaps, and memory; the tables and their JSON."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from json import dumps
from pathlib import Path
from typing import Any

import torch

from dreamgan.bench.growth import MEMORY, measure_growth
from dreamgan.bench.stage import OVERLAP, Stage, time_stage
from dreamgan.bench.storage import STORAGE, measure_storage
from dreamgan.bench.table import Columns, Row, table_head, table_line
from dreamgan.commands.flags import at_least
from dreamgan.data.samples import SAMPLE_PHOTOS
from dreamgan.data.sources import find_photos
from dreamgan.devices import default_batch, pick_device
from dreamgan.errors import UserError
from dreamgan.files import write_text
from dreamgan.images import MIN_SIDE_PX
from dreamgan.making.mix import DreamEntry, make_ready

CASES = ("storage", "overlap", "memory")


def bench_dataset(
    cases: str = "all",
    photos: str = "samples",
    pictures: int = 96,
    recipe: str = "distillable",
    backbone: str = "mobilenet_v2",
    weights: str | None = None,
    size: int = 128,
    batch: int | None = None,
    threads: int = 1,
    device: str = "cpu",
    counts: str = "200,2000",
    repeats: int = 5,
    json: str | None = None,
) -> None:
    """Measure what a dream dataset costs beyond its dreams: bytes, time and memory.

    Cases:

      storage  ways to store photos and dreams: bytes of a picture, milliseconds to encode and to decode it (one
               thread); of lossy ways the PSNR, and what they would do to the measures: the mean relative change of
               the recipe's score, and the cosine of the features of dream and second dream, with its change
      overlap  the dream stage (read, decode, dream, score, encode, write) against the engine alone (dream and score of
               the same batches in memory) and against dreams alone; reading alone and writing alone are what the stage
               has to hide; the whole command scans the photos and puts the dataset together besides. On a CUDA device
               also the share of the stage's time in which the GPU does nothing, by torch's profiler
      memory   peak resident memory of the dataset command in fresh processes, for few and for many photos

    Everything that is timed takes turns with what it is compared with; times are medians of the turns, and so are
    ratios.

    Args:
        cases: all, or names from the list above with commas.
        photos: Photos for storage and overlap: samples, a folder, or what else the dataset command takes.
        pictures: How many of them.
        recipe: Of the dreams, for storage and overlap.
        backbone: Of the dreams, for storage and overlap.
        weights: File with the backbone's weights; random will do for overlap. Default: torchvision's own.
        size: Side of the pictures in pixels.
        batch: Photos dreamed at a time. Default: 4 on a CPU, 32 on a GPU.
        threads: CPU threads of the engine.
        device: auto, cpu, cuda, cuda:1 or mps; memory is measured on the CPU.
        counts: Numbers of photos for memory, ascending, with commas.
        repeats: Timed turns; for memory, runs.
        json: Write the rows into this file too.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    at_least(1, pictures=pictures, batch=batch, threads=threads, repeats=repeats)
    at_least(MIN_SIDE_PX, size=size)
    where = pick_device(device)
    chosen, numbers = _cases(cases), _counts(counts)
    command = {
        "photos": photos,
        "recipe": recipe,
        "backbone": backbone,
        "weights": weights,
        "size": size,
        "limit": pictures,
        "crops": math.ceil(pictures / len(SAMPLE_PHOTOS)),
        "test_fraction": 0.0,
        "batch": batch or default_batch(where),
        "threads": threads,
        "device": device,
    }
    rows: list[Row] = []
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for columns, found in _measured(chosen, command, where, numbers, repeats):
            about = {key: command[key] for key in ("recipe", "backbone", "size", "batch", "threads")}
            about |= {"device": str(where), "repeats": repeats, "load_average": _load_average()}
            rows += [about | row for row in found]
            if json:  # after each case: what was finished is kept
                write_text(Path(json).expanduser(), dumps(rows, indent=2) + "\n")
            _show(columns, found, about | found[0])
    finally:
        torch.set_num_threads(before)


def _cases(text: str) -> list[str]:
    if text.strip() == "all":
        return list(CASES)
    chosen = [case.strip() for case in text.split(",")]
    for case in chosen:
        if case not in CASES:
            raise UserError(f"--cases: {case!r} is not a case; choose among all, {', '.join(CASES)}")
    return chosen


def _counts(text: str) -> list[int]:
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if len(numbers) < 2 or numbers[0] < 1 or sorted(set(numbers)) != numbers:
        raise UserError(f"--counts is {text!r}; give at least two numbers, ascending, with commas, such as 200,2000")
    return numbers


def _measured(
    cases: Iterable[str], command: dict[str, Any], device: torch.device, counts: list[int], repeats: int
) -> Iterator[tuple[Columns, list[Row]]]:
    size, threads = command["size"], command["threads"]
    if {"storage", "overlap"} & set(cases):
        names = ("recipe", "backbone", "weights")
        (kind,) = make_ready([DreamEntry(**{name: command[name] for name in names})], dream_px=size)
        photo_set = find_photos(command["photos"], size_px=size, crops=command["crops"], limit=command["limit"])
        stage = Stage(photo_set, kind.teacher, size, command["batch"], device, threads)
        if "storage" in cases:
            yield STORAGE, measure_storage(stage.pairs(), kind.teacher, device, repeats)
        if "overlap" in cases:
            yield OVERLAP, time_stage(stage, command, repeats)
    if "memory" in cases:
        yield MEMORY, measure_growth(counts, size, threads, repeats)


def _load_average() -> float | None:
    """Of the last minute: who else was at work on the machine."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _show(columns: Columns, rows: list[Row], about: dict[str, Any]) -> None:
    columns_of = {key for key, *_ in columns}
    common = ", ".join(f"{key} {value}" for key, value in about.items() if key not in columns_of | {"case"})
    print(f"\n{about['case']}: {common}\n\n{table_head(columns)}")
    for row in rows:
        print(table_line(row, columns), flush=True)
