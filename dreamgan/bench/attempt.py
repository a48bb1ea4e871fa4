"""A command in a child process whose file operations are watched and which is killed, at a moment or at one of them."""

from __future__ import annotations

import mmap
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

_NOTES_BYTES = 1024**2
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_EVENTS = {"open": "write", "os.mkdir": "mkdir", "os.rename": "rename", "os.remove": "remove", "os.rmdir": "rmdir"}


class Operation(NamedTuple):
    """Something that a function was about to do to a file; the last of a killed one may not have been done.

    Attributes:
        name: write (open for writing), mkdir, rename, remove or rmdir.
        path: Below the watched folder; "." is the folder itself.
        target: Of a rename, the new path; else "".
        size: Bytes of the file that is renamed; else 0.
        overwrites: Whether a file is there already that is written or that a rename replaces.
        second: When, since the child was started.
    """

    name: str
    path: str
    target: str
    size: int
    overwrites: bool
    second: float


@dataclass(frozen=True)
class Trap:
    """Where a function is killed.

    Attributes:
        operation: Number of the operation, from 0; it is killed before this one is done.
        file_bytes: If not None, it goes on from there until a file that it writes outgrows so many bytes: it is
            killed in the middle of that write.
    """

    operation: int
    file_bytes: int | None = None


class Attempt:
    """Runs a function in a forked child: what this process has imported it need not import again.

    This process must not have run torch, whose threads would be missing in the child.

    Args:
        function: What to run; an exception ends the child with code 70 and its traceback in the log.
        folder: Absolute path of the folder that is watched; it need not exist.
        log: File for what the function prints.
        trap: Where it is killed; None: nowhere.
    """

    def __init__(self, function: Callable[[], object], folder: Path, log: Path, trap: Trap | None = None) -> None:
        self._notes = mmap.mmap(-1, _NOTES_BYTES)  # shared with the child, and still there when it is dead
        self.code: int | None = None
        # What is still in the buffers would be printed by the child, too.
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            _live(function, log, _Watch(str(folder), self._notes, trap))

    def wait(self, seconds: float) -> bool:
        """Wait for the end, not longer than so many seconds; then ``code`` is the exit code, or a signal below 0.

        Returns:
            Whether it has ended.
        """
        until = time.monotonic() + seconds
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() >= until:
                return False
            else:
                time.sleep(0.001)
        return True

    def kill(self) -> None:
        """Kill it with signal 9, and wait until it is dead."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait(float("inf"))

    @property
    def operations(self) -> list[Operation]:
        """What it has done so far."""
        text = self._notes[: self._notes.find(b"\0")].decode("utf-8", "surrogateescape")
        # The last line may have been cut off.
        lines = [line.split("\t") for line in text.split("\n")[:-1]]
        return [
            Operation(name, path, target, int(size), over == "1", float(second))
            for name, path, target, size, over, second in lines
        ]


def _live(function: Callable[[], object], log: Path, watch: _Watch) -> NoReturn:
    """The child's life; it never returns to the code of its parent."""
    code = 70
    try:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # Python ignores this signal, with which the system ends a process whose file outgrows the limit.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        sys.addaudithook(watch)
        function()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class _Watch:
    """An audit hook: notes what is done below a folder, and springs the trap."""

    def __init__(self, folder: str, notes: mmap.mmap, trap: Trap | None) -> None:
        self._folder, self._inside = folder, folder + os.sep
        self._notes, self._trap = notes, trap
        self._count = 0
        self._started = time.monotonic()
        self._lock = threading.Lock()  # units are written in a thread of their own

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in _EVENTS:
            return
        name = _EVENTS[event]
        if name == "write" and (not isinstance(args[0], str | bytes) or not args[2] & _WRITING):
            return
        path = _absolute(args[0], -1 if name == "write" else args[2 if name in ("mkdir", "rename") else 1])
        target = _absolute(args[1], args[3]) if name == "rename" else ""
        new = target or path
        if new != self._folder and not new.startswith(self._inside):
            return
        size = os.path.getsize(path) if target and os.path.isfile(path) else 0
        overwrites = name in ("write", "rename") and os.path.isfile(new)
        second = time.monotonic() - self._started
        fields = (name, self._inner(path), self._inner(target), str(size), f"{overwrites:d}", f"{second:.6f}")
        with self._lock:
            self._notes.write(("\t".join(fields) + "\n").encode("utf-8", "surrogateescape"))
            if self._trap is not None and self._count == self._trap.operation:
                self._spring(self._trap)
            self._count += 1

    def _inner(self, path: str) -> str:
        return path and os.path.relpath(path, self._folder)

    def _spring(self, trap: Trap) -> None:
        if trap.file_bytes is None:
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (trap.file_bytes, trap.file_bytes))


def _absolute(path: str | bytes, folder_descriptor: int) -> str:
    text = os.fsdecode(path)
    if folder_descriptor >= 0:  # as `shutil.rmtree` names what it removes
        text = os.path.join(os.readlink(f"/proc/self/fd/{folder_descriptor}"), text)
    return os.path.abspath(text)
