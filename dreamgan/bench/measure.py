"""Fair measuring: functions that take turns, the operations that a dream needs, a machine's peak, peak memory."""

from __future__ import annotations

import multiprocessing
import re
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from dreamgan.backbones.features import Extractor
from dreamgan.dream import DreamRecipe
from dreamgan.dream.octaves import octave_sizes
from dreamgan.errors import UserError


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
            taken = _seconds(function)
            if turn:
                seconds[name].append(taken)
    return seconds


def _seconds(function: Callable[[], object]) -> float:
    _wait()
    start = time.perf_counter()
    function()
    _wait()
    return time.perf_counter() - start


def _wait() -> None:
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()


def forward_flops(network: nn.Module, images: Tensor) -> int:
    """Operations (twice the multiply-adds) of the convolutions and matrix products of one forward pass."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images)
    return int(counter.get_total_flops())


def dream_flops(extractor: Extractor, recipe: DreamRecipe, height: int, width: int, *, dropped_octaves: int = 0) -> int:
    """Operations that a dream of one picture cannot do without: two forward passes' worth per step.

    Smoothing, padding and the rest are not counted. The gradient with respect to the activations costs as much as
    the forward pass; parameters are frozen.

    Args:
        extractor: Cut at the deepest layer of the recipe.
        recipe: Gives octaves and steps.
        height: Of the picture, in pixels.
        width: The same.
        dropped_octaves: Coarse octaves that the engine leaves out, as its result says.

    Returns:
        Their number.
    """
    like = next(extractor.parameters())
    octaves = list(zip(octave_sizes(height, width, recipe), recipe.steps_per_octave, strict=True))
    return sum(
        steps * 2 * forward_flops(extractor, like.new_zeros(1, 3, *size)) for size, steps in octaves[dropped_octaves:]
    )


@dataclass(frozen=True)
class Product:
    """A piece of arithmetic that shows how fast a machine can be.

    Attributes:
        run: Does it once.
        flops: Operations of one run.
    """

    run: Callable[[], object]
    flops: int


def products(device: torch.device) -> dict[str, Product]:
    """A matrix product and a 3 x 3 convolution that keep a device busy.

    Returns:
        ``matrix``: 2048 x 2048 x 2048, and ``convolution``: 256 to 256 maps of 56 x 56; float32. On a CUDA device
        8192 x 8192 x 8192 and 64 pictures, in bfloat16: what is the fastest there.
    """
    side, batch, dtype = (8192, 64, torch.bfloat16) if device.type == "cuda" else (2048, 1, torch.float32)
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    shapes = ((batch, 256, 56, 56), (256, 256, 3, 3))
    pixels, kernel = (
        torch.randn(shape, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last) for shape in shapes
    )
    return {
        "matrix": Product(lambda: left @ right, 2 * side**3),
        "convolution": Product(
            lambda: functional.conv2d(pixels, kernel, padding=1), 2 * batch * 256 * 256 * 9 * 56 * 56
        ),
    }


@dataclass(frozen=True)
class Usage:
    """What one run took.

    Attributes:
        seconds: Of that run; nothing was warm.
        base_bytes: Memory in use before the run, with the network loaded.
        peak_bytes: The most in use during the run.
    """

    seconds: float
    base_bytes: int
    peak_bytes: int

    @property
    def bytes(self) -> int:
        """Memory that the run took beyond what was in use before."""
        return self.peak_bytes - self.base_bytes


def measure(prepare: Callable[[], Callable[[], object]], device: torch.device) -> Usage:
    """Memory and time of one run.

    On a CUDA device what torch has allocated there; elsewhere the resident memory of a fresh process, since what an
    earlier run has left behind hides what a later one needs.

    Args:
        prepare: Makes what is to be run and measured; picklable.
        device: Where it runs.

    Raises:
        UserError: If the fresh process is killed, as happens where memory runs out.
    """
    if device.type == "cuda":
        return _measure_cuda(prepare, device)
    # Spawned, not forked: a forked process starts with the memory of its parent.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(_measure_resident, prepare, torch.get_num_threads()).result()
        except BrokenProcessPool:
            raise UserError("a dream was killed, probably since memory ran out; leave this case out") from None


def _measure_cuda(prepare: Callable[[], Callable[[], object]], device: torch.device) -> Usage:
    run = prepare()
    torch.cuda.reset_peak_memory_stats(device)
    base = torch.cuda.memory_allocated(device)
    seconds = _seconds(run)
    return Usage(seconds, base, torch.cuda.max_memory_allocated(device))


def _measure_resident(prepare: Callable[[], Callable[[], object]], threads: int) -> Usage:
    torch.set_num_threads(threads)
    run = prepare()
    with suppress(OSError):  # Linux only: forget the peak of loading; elsewhere the peak may be that of loading
        Path("/proc/self/clear_refs").write_text("5")
    base = _resident_bytes("VmRSS")
    seconds = _seconds(run)
    return Usage(seconds, base, _resident_bytes("VmHWM"))


def _resident_bytes(key: str) -> int:
    """Resident memory of this process: now (``VmRSS``) or at its peak (``VmHWM``); elsewhere than on Linux the peak."""
    status = Path("/proc/self/status")
    found = re.search(rf"^{key}:\s+(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    if found:
        return int(found[1]) * 1024
    import resource  # Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
