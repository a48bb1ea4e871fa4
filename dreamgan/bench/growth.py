"""Memory of the dataset command: whether it grows with the number of photos."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from dreamgan.bench.measure import measure
from dreamgan.bench.stage import quiet_command
from dreamgan.bench.table import Columns, Row
from dreamgan.data.samples import sample_crops

MEMORY: Columns = (
    ("way", "way", 34, None),
    ("photos", "photos", 7, 0),
    ("seconds", "seconds", 8, 1),
    ("peak_mib", "peak MiB", 8, 1),
    ("growth_mib", "growth MiB", 10, 1),
    ("bytes_per_photo", "bytes/photo", 11, 0),
)
SIDE_PX = 192
BATCH = 4
_MIB = 1024**2


def measure_growth(counts: Sequence[int], size_px: int, threads: int, repeats: int) -> list[Row]:
    """Peak memory of the dataset command for different numbers of photos, each run in a fresh process.

    The dreams are the cheapest there are, one step in a shallow layer of MobileNetV2 with random weights: what might
    grow is the same for all.

    Args:
        counts: Numbers of photos, ascending.
        size_px: Side of the pictures of the dataset.
        threads: CPU threads.
        repeats: Runs of each, in turns.

    Returns:
        A row for each number, medians over the runs, and with it how much more than the first it takes.
    """
    with tempfile.TemporaryDirectory() as folder:
        for count in counts:
            write_photos(Path(folder) / str(count), count)
        usages = [
            [measure(partial(_command, f"{folder}/{count}", size_px, threads), torch.device("cpu")) for count in counts]
            for _ in range(repeats)
        ]
    runs = list(zip(*usages, strict=True))
    peaks = [statistics.median(usage.peak_bytes for usage in some) for some in runs]
    return [
        {
            "case": "memory",
            "way": "dataset command",
            "recipe": "distillable, one step",
            "backbone": "mobilenet_v2 block_2_add",
            "batch": BATCH,
            "device": "cpu",
            "photos": count,
            "seconds": statistics.median(usage.seconds for usage in some),
            "peak_mib": peak / _MIB,
            "growth_mib": (peak - peaks[0]) / _MIB if count > counts[0] else None,
            "bytes_per_photo": (peak - peaks[0]) / (count - counts[0]) if count > counts[0] else None,
        }
        for count, some, peak in zip(counts, runs, peaks, strict=True)
    ]


def write_photos(folder: Path, count: int) -> None:
    """Write crops of the sample photographs as JPEG files, those of each photograph in a folder of their own.

    Args:
        folder: Where to; made if missing.
        count: How many in all; the same ones come first, whatever the count.
    """
    stream = np.random.default_rng(0)
    samples = sample_crops(SIDE_PX, 1, 0)
    photographs = [(photo.label, samples.open(photo).picture) for photo in samples.photos]
    for name, _ in photographs:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        name, picture = photographs[number % len(photographs)]
        left, top = (int(stream.integers(0, side - SIDE_PX + 1)) for side in picture.size)
        crop = picture.crop((left, top, left + SIDE_PX, top + SIDE_PX))
        crop.save(folder / name / f"{number:06d}.jpg", quality=90)


def _command(photos: str, size_px: int, threads: int) -> Callable[[], object]:
    return partial(
        quiet_command,
        photos=photos,
        backbone="mobilenet_v2",
        layers="block_2_add",
        weights="random",
        strengths=[0.05],
        size=size_px,
        batch=BATCH,
        threads=threads,
        device="cpu",
    )
