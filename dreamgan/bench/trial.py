"""A dataset that is made once without interruption, and again with kills: what must come out, what may not change."""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dreamgan.bench.attempt import Attempt, Operation, Trap
from dreamgan.bench.table import Row
from dreamgan.bench.victim import PHASES, phase
from dreamgan.errors import UserError

HANGS_S = 600.0
NAME = "dataset"
EARLY_BYTES = 100
UNITS, CARD, DATA = Path(".work/units"), Path("README.md"), Path("data")
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")


class Trial:
    """Makes the dataset, kills the making, and looks for what was lost.

    Args:
        make: Makes a dataset in the folder that it is given, or finishes what lies there.
        whole: Folder for the uninterrupted dataset, in a folder ``NAME``: the card gives the name.
        killed: The same for the others.
        log: File for what the last run printed.

    Attributes:
        seconds: That the uninterrupted run took.
        operations: What it did.
        problems: What was found, one line each.
        finished: Datasets that were killed on the way, then finished.

    Raises:
        UserError: If the uninterrupted run fails.
    """

    def __init__(self, make: Callable[[Path], None], whole: Path, killed: Path, log: Path) -> None:
        self._make, self._whole, self._killed, self._log = make, whole / NAME, killed / NAME, log
        self.problems: list[str] = []
        self.finished = self._kills = 0
        self._units: dict[str, tuple[int, int]] = {}
        for folder in (whole, killed):
            folder.mkdir(exist_ok=True)
        started = time.monotonic()
        attempt = self._attempt(self._whole)
        if not attempt.wait(HANGS_S) or attempt.code:
            raise UserError(f"the uninterrupted run failed; read {log}")
        self.seconds = time.monotonic() - started
        self.operations = attempt.operations
        self._files = contents(self._whole)

    def at_moments(self, kills: int, stream: random.Random) -> Iterator[Row]:
        """Kill at random moments; each run goes on where the last ended.

        The moments are drawn in turns from the whole time of the uninterrupted run and from that of one of its phases,
        as some phases are short.

        Args:
            kills: How many.
            stream: Of the moments.

        Yields:
            A row of the table for each kill.
        """
        self._begin()
        durations = _durations(self.operations, self.seconds)
        while kills:
            name = stream.choice(PHASES) if kills % 2 else None
            started = time.monotonic()
            attempt = self._attempt(self._killed)
            if name is not None:
                while phase(attempt.operations) != name and not attempt.wait(0.001):
                    pass
            if attempt.wait(stream.uniform(0, self.seconds if name is None else durations[name])):
                self._check_finished(attempt)
                self._begin()
                continue
            attempt.kill()
            kills -= 1
            yield self._row(attempt, time.monotonic() - started)
        if self._kills:
            self._finish()

    def at_operations(self, traps: Sequence[Trap], stream: random.Random) -> Iterator[Row]:
        """Kill at operations on files; the run after that is killed at any of its own, and the next one finishes.

        Args:
            traps: Where to kill first; each is a dataset of its own.
            stream: Of the second places.

        Yields:
            A row of the table for each kill.
        """
        for trap in traps:
            self._begin()
            attempt, seconds = self._trapped(trap)
            if attempt.code == 0:
                self.problems.append(f"the run with {trap} was not killed but finished")
            yield self._row(attempt, seconds)
            # There are less operations left; beyond the last of them the run finishes.
            attempt, seconds = self._trapped(Trap(stream.randrange(len(self.operations))))
            if attempt.code == 0:
                self._check_finished(attempt)
            else:
                yield self._row(attempt, seconds)
                self._finish()

    def _trapped(self, trap: Trap) -> tuple[Attempt, float]:
        started = time.monotonic()
        attempt = self._attempt(self._killed, trap)
        if not attempt.wait(HANGS_S):
            attempt.kill()
            self.problems.append(f"the run with {trap} hangs")
        if attempt.code not in (0, -signal.SIGKILL, -signal.SIGXFSZ):
            self.problems.append(f"the run with {trap} ended with code {attempt.code}: {self._last_line()}")
        return attempt, time.monotonic() - started

    def _begin(self) -> None:
        shutil.rmtree(self._killed, ignore_errors=True)
        self._units = {}

    def _finish(self) -> None:
        attempt = self._attempt(self._killed)
        if not attempt.wait(HANGS_S):
            self.problems.append(f"after kill {self._kills} the run hangs")
            attempt.kill()
        self._check_finished(attempt)

    def _attempt(self, target: Path, trap: Trap | None = None) -> Attempt:
        return Attempt(lambda: self._make(target), target, self._log, trap)

    def _row(self, attempt: Attempt, seconds: float) -> Row:
        self._kills += 1
        operations = attempt.operations
        problems = self._check_units(operations) + self._check_visible()
        self.problems += [f"after kill {self._kills}: {problem}" for problem in problems]
        return {
            "kill": self._kills,
            "seconds": seconds,
            "phase": phase(operations),
            "operation": ("half of " if attempt.code == -signal.SIGXFSZ else "") + _in_words(operations),
            "units": None if (self._killed / CARD).exists() else len(self._units),  # no longer needed
            "verdict": "LOST" if problems else "ok",
        }

    def _check_units(self, operations: Sequence[Operation]) -> list[str]:
        """A committed unit stays the very same file until the dataset is finished."""
        paths = sorted((self._killed / UNITS).glob("*.parquet"))
        now = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}
        finished = (self._killed / CARD).exists()
        problems = [
            f"unit {name} was written again" if name in now else f"unit {name} is gone"
            for name, was in self._units.items()
            if now.get(name) != was and (name in now or not finished)
        ]
        for each in operations:
            written = Path(each.target or each.path)
            if each.overwrites and written.match(f"{UNITS}/*.parquet"):
                problems.append(f"{written} was written a second time")
        self._units |= now
        return problems

    def _check_visible(self) -> list[str]:
        """What lies outside of the work folder is finished: byte by byte what the uninterrupted run has made."""
        now = {name: each for name, each in contents(self._killed).items() if not name.startswith(".work")}
        problems = [f"{name} is not what it should be" for name, each in now.items() if self._files.get(name) != each]
        for folder, needed in ((DATA, "data/"), (CARD, "")):
            if (self._killed / folder).exists():
                lacking = [name for name in self._files if name.startswith(needed) and name not in now]
                problems += [f"{folder} is there but {name} is not" for name in lacking]
        return problems

    def _check_finished(self, attempt: Attempt) -> None:
        problems = self._check_units(attempt.operations)
        if attempt.code:
            problems.append(f"the run ended with code {attempt.code}: {self._last_line()}")
        now = contents(self._killed)
        for name in sorted(now.keys() | self._files.keys()):
            if now.get(name) != self._files.get(name):
                state = "missing" if name not in now else "left over" if name not in self._files else "different"
                problems.append(f"{name} is {state} in the finished dataset")
        self.finished += bool(self._kills)
        self.problems += [f"finished after kill {self._kills}: {problem}" for problem in problems]

    def _last_line(self) -> str:
        return (self._log.read_text(errors="replace").splitlines() or [""])[-1]


def contents(folder: Path) -> dict[str, str]:
    """SHA-256 of each file below a folder, "folder" of each folder, by path."""
    return {
        str(path.relative_to(folder)): "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
    }


def all_traps(operations: Sequence[Operation], whole: Path) -> list[Trap]:
    """Before each operation, and in the middle of each file's writing.

    Args:
        operations: Of an uninterrupted run.
        whole: The folder that it has left.

    Returns:
        In the order of the operations.
    """
    sizes = {each.path: each.size for each in operations if each.name == "rename"}
    traps: list[Trap] = []
    for number, each in enumerate(operations):
        traps.append(Trap(number))
        if each.name == "write":
            # Of a file that is neither renamed nor kept the size is not known; it or the next one is cut off early.
            kept = whole / each.path
            size = sizes.get(each.path) or (kept.stat().st_size if kept.is_file() else 2 * EARLY_BYTES)
            traps.append(Trap(number, size // 2))
    return traps


def _durations(operations: Sequence[Operation], seconds: float) -> dict[str, float]:
    """How long each phase of a run took: from its first operation on a file to that of the next phase."""
    starts = {PHASES[0]: 0.0}
    for number, each in enumerate(operations):
        starts.setdefault(phase(operations[: number + 1]), each.second)
    ends = [*sorted(starts.values())[1:], seconds]
    return dict.fromkeys(PHASES, 0.0) | {
        name: end - starts[name] for name, end in zip(sorted(starts, key=starts.__getitem__), ends, strict=True)
    }


def _in_words(operations: Sequence[Operation]) -> str:
    if not operations:
        return ""
    last = operations[-1]
    return f"{last.name} {_TEMPORARY.sub('*.tmp', last.target or last.path)}"
