"""How much memory a way takes at its peak, above what was held before its networks were loaded."""

from __future__ import annotations

import ctypes
import gc
import math
import re
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MB = 1e6


class PeakMemory:
    """Counts from when it is made: networks that are loaded after that are part of what it finds.

    On a GPU the memory is that of torch's tensors there. Elsewhere it is the resident memory of this process, whose
    high-water mark Linux lowers on request; ``getrusage`` never lowers its own, so that each way would be given the
    largest before it.

    Args:
        device: Where the way runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        gc.collect()  # networks of the way before, if anything refers to itself
        self._before = self._held()

    def begin(self) -> None:
        """Forget the peaks until now: loading a network takes more for a moment than the network."""
        _give_back()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        elif STATUS.exists():
            try:
                CLEAR.write_text("5")  # proc(5): resets the high-water mark
            except OSError:  # a sandbox that forbids it
                self._before = math.nan

    def peak_mb(self) -> float:
        """The highest since ``begin``, in MB above what was held at first; NaN where the system does not tell."""
        on_gpu = self._device.type == "cuda"
        peak = float(torch.cuda.max_memory_allocated(self._device)) if on_gpu else _status("VmHWM")
        # In this order NaN stays NaN.
        return max(peak - self._before, 0.0) / MB

    def _held(self) -> float:
        _give_back()
        if self._device.type == "cuda":
            return float(torch.cuda.memory_allocated(self._device))
        return _status("VmRSS")


def _status(key: str) -> float:
    """A line of the process's status, in bytes; NaN elsewhere than on Linux."""
    found = re.search(rf"^{key}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE) if STATUS.exists() else None
    return float(found[1]) * 1024 if found else math.nan


def _give_back() -> None:
    """What is free is not to count as held, nor to serve the next way unseen."""
    if STATUS.exists():
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)
