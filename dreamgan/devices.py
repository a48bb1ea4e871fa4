"""Where and how precisely things run: device, precision, and what to do when memory runs out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, TypeVar

import torch
from torch import Tensor

from dreamgan.errors import UserError

Precision = Literal["32", "bf16"]
T = TypeVar("T")


def pick_device(name: str) -> torch.device:
    """A torch device from ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; auto takes the best there is.

    Raises:
        UserError: If there is no such device on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"device {name!r} is not known; use auto, cpu, cuda, cuda:0 … or mps") from None
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not available.get(device.type, False):
        raise UserError(f"device {name!r} is not available on this machine; use --device auto or --device cpu")
    return device


def precision_context(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Autocast to bfloat16 for ``bf16``; nothing for ``32``."""
    if precision == "32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def default_batch(device: torch.device) -> int:
    """Pictures at a time: few on a CPU, so that activations stay in its caches; many on a GPU, to fill it."""
    return 4 if device.type == "cpu" else 32


def most_processes() -> int:
    """How many processes may share the CPUs of this machine: beyond its cores they only take its memory."""
    return max(8, os.cpu_count() or 1)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    text = str(error).lower()
    # The CPU and MPS raise plain RuntimeErrors.
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "out of memory" in text
        or "can't allocate memory" in text
    )


def halving(run: Callable[[slice], T], count: int) -> list[T]:
    """Run over ``slice(0, count)``, in halves when memory runs out, and say so on stderr.

    Args:
        run: Does the work for the pictures of a slice.
        count: Number of pictures, at least 1.

    Returns:
        The results of the parts, in order.

    Raises:
        UserError: If memory runs out with a single picture.
    """
    results: list[T] = []
    start, size = 0, count
    while start < count:
        part = slice(start, min(start + size, count))
        try:
            results.append(run(part))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            failed = True
        else:
            failed = False
        # Out of the handler, so that the traceback no longer holds the tensors that did not fit.
        if failed:
            if part.stop - part.start == 1:
                raise UserError("out of memory with a single picture; make it smaller, or use another --device")
            size = (part.stop - part.start) // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            print(f"out of memory: going on with {size} pictures at a time", file=sys.stderr, flush=True)
            continue
        start = part.stop
    return results


def joined(parts: list[Tensor]) -> Tensor:
    """The results of ``halving`` as one batch."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)
