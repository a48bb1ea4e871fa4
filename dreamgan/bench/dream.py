"""The benchmark of the dream engine: what is compared with what, the table and its JSON."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from json import dumps
from pathlib import Path

import torch
from torch import Tensor

from dreamgan.bench.measure import Usage, alternate, measure, products
from dreamgan.bench.table import KEYS, Row, table_head, table_line
from dreamgan.bench.work import Size, Way, Work, dreamer, needed_flops, photos
from dreamgan.devices import pick_device
from dreamgan.errors import UserError
from dreamgan.files import write_text
from dreamgan.images import MIN_SIDE_PX

CASES = ("vgg16", "resnet50", "folding", "batch", "hd", "gpu")
HD_SIZES: tuple[Size, ...] = ((1500, 2000), (3000, 4000))
_MIB = 1024**2


def bench_dream(
    cases: str = "all",
    sizes: str = "224x224,332x500",
    repeats: int = 5,
    threads: int = 1,
    device: str = "cpu",
    json: str | None = None,
) -> None:
    """Time the dream engine against the arithmetic floor of its machine, and against a plain loop.

    Cases, all of the recipe gordic with random weights, each in turns with what it is compared with:

      vgg16     VGG16 relu4_3: the engine, and at the first size the plain loop
      resnet50  ResNet50 layer3 at the first size: the engine and the plain loop
      folding   ResNet50 layer3 at the first size: with batch norm unfolded and folded
      batch     pictures at a time, at 128 px, with VGG16 and MobileNetV2
      hd        memory of dreams in tiles, 1500x2000 and 3000x4000, SqueezeNet, two octaves of one step
      gpu       VGG16 in bf16, compiled, with CUDA graphs, one picture or 64 at a time (CUDA devices only)

    Columns: "seconds" is the median of the turns. "x first" compares pictures per second with the first row of the
    case. "of floor" is the fraction of the arithmetic floor: the time that the convolutions' operations of two
    forward passes per step would take at the speed of a 2048 x 2048 x 2048 float32 matrix product on the same
    threads (the best of all turns). On some CPUs the library of the matrix product does not use the widest
    instructions while that of the convolutions does, and the fraction passes 1; "of conv." is therefore the same
    fraction at the speed of the best 3 x 3 convolution (256 to 256 maps of 56 x 56). On a CUDA device both peaks are
    those of bfloat16. "peak MiB" is the memory of a fresh process that makes the dream once, "dream MiB" the part
    beyond libraries and network, and "bytes/px" that part over the pixels of the picture; the last row of hd gives
    the growth from the smaller picture to the larger one.

    The plain loop is ours, written from the published recipe of gordicaleksa/pytorch-deepdream; it is not that
    project's code. It runs the whole network with a hook, unfolded, in torch's own memory format, and builds three
    Gaussians at every step. Its parameters are frozen, as in that project; beside it stands the same loop with
    trainable parameters, as torchvision builds them.

    Args:
        cases: all, or names from the list above with commas.
        sizes: Pictures to dream, HEIGHTxWIDTH in pixels, several with commas.
        repeats: Timed turns.
        threads: CPU threads.
        device: auto, cpu, cuda, cuda:1 or mps.
        json: Write the rows into this file too.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    for name, value in (("threads", threads), ("repeats", repeats)):
        if value < 1:
            raise UserError(f"--{name} is {value}; it must be at least 1")
    pictures = [_size(size) for size in sizes.split(",")]
    where = pick_device(device)
    chosen = _cases(cases, where)
    rows: list[Row] = []

    def show(more: Iterable[Row]) -> None:
        for row in more:
            rows.append(row | {"device": str(where), "threads": threads, "repeats": repeats})
            print(table_line(row), flush=True)
        if json:  # after each case: what was finished is kept
            write_text(Path(json).expanduser(), dumps(rows, indent=2) + "\n")

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        print(table_head(), flush=True)
        for title, works in timed_cases(chosen, pictures, where):
            show(time_works(title, works, where, repeats))
        if "hd" in chosen:
            show(measure_hd(HD_SIZES, where))
    finally:
        torch.set_num_threads(before)


def _size(text: str) -> Size:
    match = re.fullmatch(r"(\d+)x(\d+)", text.strip())
    if not match or min(map(int, match.groups())) < MIN_SIDE_PX:
        raise UserError(f"--sizes: {text!r} is not HEIGHTxWIDTH of at least {MIN_SIDE_PX} px, such as 224x224")
    return int(match[1]), int(match[2])


def _cases(text: str, device: torch.device) -> list[str]:
    if text.strip() == "all":
        return [case for case in CASES if case != "gpu" or device.type == "cuda"]
    chosen = [case.strip() for case in text.split(",")]
    for case in chosen:
        if case not in CASES:
            raise UserError(f"--cases: {case!r} is not a case; choose among all, {', '.join(CASES)}")
    if "gpu" in chosen and device.type != "cuda":
        raise UserError(f"--cases: gpu needs a CUDA device, --device is {device}; leave it out or use --device cuda")
    return chosen


def timed_cases(names: Sequence[str], sizes: Sequence[Size], device: torch.device) -> Iterator[tuple[str, list[Work]]]:
    """What is timed together.

    Args:
        names: Of ``CASES``.
        sizes: Height and width of the pictures to dream, in pixels; all but the engine on VGG16 takes the first.
        device: Large batches belong on a GPU.

    Yields:
        A title and the works; the first is what the others are compared with.
    """
    ways: tuple[Way, ...] = ("plain loop", "plain loop, trainable", "engine")
    if "vgg16" in names:
        yield "VGG16 relu4_3", [Work(way, "vgg16", sizes[0]) for way in ways]
        for size in sizes[1:]:
            yield "VGG16 relu4_3", [Work("engine", "vgg16", size)]
    if "resnet50" in names:
        yield "ResNet50 layer3", [Work(way, "resnet50", sizes[0]) for way in ways]
    if "folding" in names:
        ways = ("batch norm unfolded", "engine")
        yield "ResNet50 layer3, folding", [Work(way, "resnet50", sizes[0]) for way in ways]
    if "batch" in names:
        batches = (1, 4, 16, 64) if device.type == "cuda" else (1, 2, 4, 8)
        short = {"octaves": 1, "steps": (3,)}
        for title, backbone in (("VGG16, 3 steps", "vgg16"), ("MobileNetV2, 3 steps", "mobilenet_v2")):
            yield title, [Work("engine", backbone, (128, 128), batch, short) for batch in batches]
    if "gpu" in names:
        short = {"octaves": 1, "steps": (10,)}
        first = Work("engine", "vgg16", sizes[0], 1, short)
        modes = ("", "default", "reduce-overhead")  # the last one replays CUDA graphs
        fast = [replace(first, batch=batch, precision="bf16", compiled=mode) for batch in (1, 64) for mode in modes]
        yield "VGG16, 10 steps", [first, *fast]


def time_works(title: str, works: Sequence[Work], device: torch.device, repeats: int) -> list[Row]:
    """Time works in turns with one another and with the machine's peaks, then measure the memory of each.

    Args:
        title: Of the case.
        works: The first is what the others are compared with.
        device: Where to run.
        repeats: Timed turns.

    Returns:
        A row for each work.
    """
    peaks = products(device)
    seconds = alternate(
        {str(place): partial(dreamer(work, device), photos(work, device)) for place, work in enumerate(works)}
        | {name: product.run for name, product in peaks.items()},
        repeats,
    )
    speeds = {name: product.flops / min(seconds[name]) for name, product in peaks.items()}
    rates = [work.batch / statistics.median(seconds[str(place)]) for place, work in enumerate(works)]
    rows = []
    for work, rate in zip(works, rates, strict=True):
        flops_per_second = needed_flops(work) * rate
        timed = {
            "seconds": work.batch / rate,
            "pictures_per_second": rate,
            "times_the_first": rate / rates[0] if len(works) > 1 else None,
            "fraction_of_floor": flops_per_second / speeds["matrix"],
            "fraction_of_convolution_peak": flops_per_second / speeds["convolution"],
            "matrix_gflops": speeds["matrix"] / 1e9,
            "convolution_gflops": speeds["convolution"] / 1e9,
        }
        rows.append(_row(title, work, _usage(work, device), **timed))
    return rows


def measure_hd(sizes: Sequence[Size], device: torch.device) -> list[Row]:
    """Measure the memory of large dreams in tiles, each made once.

    Args:
        sizes: Height and width in pixels, ascending.
        device: Where to run.

    Returns:
        A row for each, and one with the bytes that each further pixel takes, from the first size to the last; in it
        nothing counts that does not grow with the picture.
    """
    tiles = {"octaves": 2, "steps": (1,), "tile_px": 512, "tile_overlap_px": 32}
    works = [Work("engine", "squeezenet1_1", size, overrides=tiles) for size in sizes]
    usages = [_usage(work, device) for work in works]
    rows = [
        _row("HD, SqueezeNet, tiles", work, usage, seconds=usage.seconds, bytes_per_pixel=usage.bytes / work.pixels)
        for work, usage in zip(works, usages, strict=True)
    ]
    growth = (usages[-1].bytes - usages[0].bytes) / (works[-1].pixels - works[0].pixels)
    return [*rows, {**dict.fromkeys(rows[0]), "case": rows[0]["case"], "way": "growth", "bytes_per_pixel": growth}]


def _usage(work: Work, device: torch.device) -> Usage:
    return measure(partial(_with_photos, work, device), device)


def _with_photos(work: Work, device: torch.device) -> Callable[[], Tensor]:
    """Photos are part of what a dream takes."""
    run = dreamer(work, device)
    return lambda: run(photos(work, device))


def _row(title: str, work: Work, usage: Usage, **figures: float | None) -> Row:
    return {
        **dict.fromkeys(KEYS),
        "case": title,
        "way": work.label,
        "size": work.size_text,
        "batch": work.batch,
        "peak_mib": usage.peak_bytes / _MIB,
        "dream_mib": usage.bytes / _MIB,
        **figures,
    }
