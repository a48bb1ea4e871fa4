"""Fair timing: functions that take turns, medians, and the arithmetic floor beside them."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Mapping
from json import dumps
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from dreamgan.backbones.features import Extractor, load_extractor
from dreamgan.backbones.registry import get_spec
from dreamgan.devices import pick_device
from dreamgan.dream import DreamRecipe, dream, get_recipe
from dreamgan.dream.engine import SMALLEST_OCTAVE_PX
from dreamgan.dream.octaves import octave_sizes
from dreamgan.errors import UserError
from dreamgan.files import write_text
from dreamgan.images import MIN_SIDE_PX

MATRIX_SIDE = 2048


def alternate(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of functions that take turns, so that a noisy machine is noisy to all of them.

    Args:
        functions: What to time, by name; each runs once before to warm up.
        repeats: Timed turns, at least 1.

    Returns:
        All seconds by name, in the order of the turns.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            _wait()
            start = time.perf_counter()
            function()
            _wait()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def _wait() -> None:
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def forward_flops(network: nn.Module, images: Tensor) -> int:
    """Operations (twice the multiply-adds) of the convolutions and matrix products of one forward pass."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images)
    return int(counter.get_total_flops())


def dream_flops(extractor: Extractor, recipe: DreamRecipe, height: int, width: int) -> int:
    """Operations that a dream of one picture cannot do without: two forward passes' worth per step.

    Smoothing, padding and the rest are not counted. The gradient with respect to the activations costs as much as
    the forward pass; parameters are frozen.
    """
    like = next(extractor.parameters())
    sizes = zip(octave_sizes(height, width, recipe), recipe.steps_per_octave, strict=True)
    smallest = max(extractor.min_size_px, SMALLEST_OCTAVE_PX)  # the engine leaves smaller octaves out
    return sum(
        steps * 2 * forward_flops(extractor, like.new_zeros(1, 3, *size))
        for size, steps in sizes
        if min(size) >= smallest
    )


def bench_dream(
    json: str | None = None,
    repeats: int = 7,
    threads: int = 1,
    sizes: str = "224x224",
    recipe: str = "gordic",
    backbone: str = "vgg16",
    weights: str = "random",
    device: str = "cpu",
) -> None:
    """Time the dream engine against the arithmetic floor of its machine.

    The floor is the time that the convolutions' operations of two forward passes per step would take at the speed of
    a 2048 x 2048 x 2048 matrix product on the same threads, measured in turns with the dreams; the dream's time is the
    median. On some CPUs the library of the matrix product does not use the widest instructions while that of the
    convolutions does, and the fraction passes 1; therefore the fraction of the time at the speed of the best 3 x 3
    convolution (256 to 256 maps of 56 x 56) is printed too.

    Args:
        json: Write the rows into this file too.
        repeats: Timed turns.
        threads: CPU threads.
        sizes: Pictures to dream, HEIGHTxWIDTH in pixels, several with commas.
        recipe: Recipe of the dreams.
        backbone: Backbone, at the recipe's default layer.
        weights: Its weights; the time does not depend on them.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    for name, value in (("threads", threads), ("repeats", repeats)):
        if value < 1:
            raise UserError(f"--{name} is {value}; it must be at least 1")
    pictures = [_size(size) for size in sizes.split(",")]
    where = pick_device(device)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rows = [_bench_size(*picture, recipe, backbone, weights, where, repeats) for picture in pictures]
    finally:
        torch.set_num_threads(before)
    if json:
        write_text(Path(json), dumps(rows, indent=2) + "\n")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text.strip())
    if not match or min(map(int, match.groups())) < MIN_SIDE_PX:
        raise UserError(f"--sizes: {text!r} is not HEIGHTxWIDTH of at least {MIN_SIDE_PX} px, such as 224x224")
    return int(match[1]), int(match[2])


def _bench_size(
    height: int, width: int, recipe: str, backbone: str, weights: str, device: torch.device, repeats: int
) -> dict[str, Any]:
    """One row: a picture of one size, in turns with the matrix product and the convolution."""
    backbone = get_spec(backbone).name
    chosen = get_recipe(recipe, backbone)
    extractor = load_extractor(backbone, chosen.layer_names, weights=weights, device=device)
    left, right = (torch.randn(MATRIX_SIDE, MATRIX_SIDE, device=device) for _ in range(2))
    pixels, kernel = torch.randn(1, 256, 56, 56, device=device), torch.randn(256, 256, 3, 3, device=device)
    pixels, kernel = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (pixels, kernel))
    convolution_flops = 2 * 256 * 256 * 9 * 56 * 56
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0)).to(device)
    seconds = alternate(
        {
            "dream": lambda: dream(image, extractor, chosen),
            "matrix": lambda: left @ right,
            "convolution": lambda: functional.conv2d(pixels, kernel, padding=1),
        },
        repeats,
    )
    peak = 2 * MATRIX_SIDE**3 / min(seconds["matrix"])
    convolution_peak = convolution_flops / min(seconds["convolution"])
    needed = dream_flops(extractor, chosen, height, width)
    median = statistics.median(seconds["dream"])
    row = {
        "case": f"{recipe} {backbone} {','.join(chosen.layer_names)} {height}x{width}",
        "seconds": median,
        "floor_seconds": needed / peak,
        "fraction_of_floor": needed / peak / median,
        "fraction_of_convolution_peak": needed / convolution_peak / median,
        "matrix_gflops": peak / 1e9,
        "convolution_gflops": convolution_peak / 1e9,
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "device": str(device),
    }
    print(
        f"{row['case']:42} {median:8.3f} s  floor {needed / peak:.3f} s  fraction of floor "
        f"{row['fraction_of_floor']:.2f}, of the convolution peak {row['fraction_of_convolution_peak']:.2f}",
        flush=True,
    )
    return row
