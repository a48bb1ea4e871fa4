"""The other side of a generator's benchmark: one pass, in PyTorch and in ONNX Runtime."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from dreamgan.bench.measure import alternate, forward_flops
from dreamgan.exporting.graph import as_onnx
from dreamgan.exporting.runtime import Session
from dreamgan.sampling import Generator, sample

PYTORCH, ONNX_RUNTIME = "pytorch", "onnxruntime"
CALLS = 5
Dreamer = Callable[[Tensor], Tensor]


def has_onnx() -> bool:
    """Whether the packages of the extra ``onnx`` are there."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxscript", "onnxruntime"))


def one_passes(generator: Generator, style: str, threads: int, runtimes: Sequence[str]) -> dict[str, Dreamer]:
    """Ways to dream in one pass, at strength 1.

    Args:
        generator: For ONNX Runtime on the CPU.
        style: Name of a style; for ONNX Runtime it is worked in.
        threads: Of ONNX Runtime; PyTorch takes those that it has.
        runtimes: Of ``PYTORCH`` and ``ONNX_RUNTIME``.

    Returns:
        By runtime, from photos, (B, 3, H, W) float32 in [0, 1] on the generator's device, to their dreams.
    """
    ways: dict[str, Dreamer] = {}
    if PYTORCH in runtimes:
        ways[PYTORCH] = partial(sample, generator, style=style, tile_px=0)
    if ONNX_RUNTIME in runtimes:
        session = Session(as_onnx(generator, style, 1.0).model, threads)
        ways[ONNX_RUNTIME] = lambda photos: session(photos=photos)
    return ways


def several(way: Dreamer, photos: Tensor) -> Callable[[], None]:
    """Dream photos ``CALLS`` times in a row: a single pass is over before the processor has found its pace."""

    def run() -> None:
        for _ in range(CALLS):
            way(photos)

    return run


def best_batch(ways: Mapping[str, Dreamer], batches: Mapping[int, Tensor]) -> int:
    """The batch at which most photos per second go through one pass, by the faster runtime.

    Args:
        ways: From ``one_passes``.
        batches: Photos, by how many they are.
    """
    runs = {(runtime, size): several(way, batches[size]) for runtime, way in ways.items() for size in batches}
    seconds = alternate({f"{runtime} {size}": run for (runtime, size), run in runs.items()}, 3)
    return min(runs, key=lambda run: min(seconds[f"{run[0]} {run[1]}"]) / run[1])[1]


def one_pass_macs(generator: Generator, height: int, width: int) -> int:
    """Multiply-adds of the convolutions and matrix products of one pass over one photo."""
    return forward_flops(generator.network, torch.zeros(1, 3, height, width, device=generator.device)) // 2
