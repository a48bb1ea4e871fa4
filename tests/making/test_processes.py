"""Several processes, on one machine or on several, make what one makes; and none of them is waited for in vain."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dreamgan import cli
from dreamgan.bench.trial import contents
from dreamgan.data.pairs import is_unit, write_unit
from dreamgan.data.photos import PhotoSet
from dreamgan.errors import UserError
from dreamgan.lit.dream_job import Cut, DreamJob
from dreamgan.making import make
from dreamgan.making.claim import writing_folder
from dreamgan.making.run import run_job
from tests.finished_dataset import picture

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = str(ROOT / "scripts" / "make_dream_dataset.py")
HANGS_S = 240
PHOTOS = 24
UNITS = 13
# Units that take so long that a kill hits the middle of the run.
FLAGS = ["--recipe", "gordic", "--backbone", "squeezenet1_1", "--layers", "features.4", "--weights", "random"]
FLAGS += ["--size", "64", "--batch", "2", "--threads", "1", "--device", "cpu", "--second_dreams", "0.5"]

# Python runs this file in every process that finds it: it tells who has put which unit into place.
WITNESS = """
import os, sys

def watch(event, args):
    if event == "os.rename" and os.path.basename(os.path.dirname(str(args[1]))) == "units":
        with open(os.environ["WITNESS"], "a") as file:
            file.write(f"{os.getpid()} {os.path.basename(args[1])}\\n")

if "WITNESS" in os.environ:
    sys.addaudithook(watch)
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        label = folder / ("cat" if number % 3 else "dog")
        label.mkdir(exist_ok=True)
        picture(number, 80).save(label / f"{number:02d}.png")
    (folder / "dog" / "bad.png").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def whole(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one process makes in one go."""
    out = tmp_path_factory.mktemp("whole") / "out"
    assert cli.main(command(photos, out)) == 0
    found = contents(out)
    assert "data/test-00000-of-00001.parquet" in found
    assert "rejects.csv" in found
    return found


def command(photos: Path, out: Path, *flags: str) -> list[str]:
    return ["dataset", "--photos", str(photos), "--out", str(out), *FLAGS, *flags]


@contextmanager
def running(arguments: Sequence[str], folder: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with all that it starts; what it says is in `name`.out and `name`.err."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(WITNESS)
    environment = os.environ | {
        "PYTHONPATH": str(site),
        "WITNESS": str(folder / "witness"),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    with (folder / f"{name}.out").open("wb") as out, (folder / f"{name}.err").open("wb") as err:
        process = subprocess.Popen(arguments, stdout=out, stderr=err, env=environment)
        try:
            yield process
        finally:
            for pid in (*children_of(process), process.pid):  # torchrun's children are in sessions of their own
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()


def plain(photos: Path, out: Path, *flags: str) -> list[str]:
    return [sys.executable, SCRIPT, *command(photos, out, *flags)[1:]]


def children_of(process: subprocess.Popen[bytes]) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(process.pid)], stdout=subprocess.PIPE, check=False)
    return [int(line) for line in found.stdout.split()]


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextmanager
def two_hosts(photos: Path, out: Path, *flags: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """torchrun as on two machines, which are called 127.0.0.1 and 127.0.0.2."""
    port = free_port()
    both = []
    for rank in (0, 1):
        start = ["--nnodes", "2", "--nproc_per_node", "1", "--node_rank", str(rank), "--master_addr", "127.0.0.1"]
        start += ["--master_port", str(port), "--local_addr", f"127.0.0.{rank + 1}"]
        both.append([sys.executable, "-m", "torch.distributed.run", *start, *plain(photos, out, *flags)[1:]])
    with running(both[0], out.parent, "host0") as first, running(both[1], out.parent, "host1") as second:
        yield [first, second]


def shares(folder: Path) -> list[set[str]]:
    """The units that each process has put into place; none of them twice."""
    found: dict[str, set[str]] = {}
    lines = [line.split() for line in (folder / "witness").read_text().splitlines()]
    for process, unit in lines:
        found.setdefault(process, set()).add(unit)
    assert len({unit for _, unit in lines}) == len(lines), "a unit was put into place twice"
    return list(found.values())


def units_in(out: Path) -> dict[str, tuple[int, int]]:
    found = sorted((out / ".work" / "units").glob("*.parquet"))
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def wait_until(true: Callable[[], Any], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + HANGS_S
    while not true():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_process_that_a_killed_run_left_behind_puts_nothing_into_place(tmp_path: Path) -> None:
    work = tmp_path / ".work"
    unit = work / "units" / "0.parquet"
    unit.parent.mkdir(parents=True)
    old = writing_folder(work)
    write_unit(unit, [], "train", aside=old)
    before = unit.stat()
    (old / ".half.tmp").touch()
    new = writing_folder(work)
    assert [item for item in work.iterdir() if "writing" in item.name] == [new]
    for name in ("0.parquet", "1.parquet"):
        with pytest.raises(FileNotFoundError):
            write_unit(unit.with_name(name), [], "train", aside=old)
    after = unit.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    # Nor does it make the folders anew that a finished run has removed.
    shutil.rmtree(work)
    with pytest.raises(FileNotFoundError):
        write_unit(unit, [], "train", aside=new)
    assert not work.exists()
    unit.parent.mkdir(parents=True)
    write_unit(unit, [], "train", aside=writing_folder(work))
    assert is_unit(unit)


def test_a_process_that_would_dream_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = Cut(32, 32, random=False, seed=0)
    job = DreamJob([], PhotoSet("none", ()), [], cut, seed=0, second_seed=1, threads=1, identity="mine")
    for first, refused in (("mine", False), ("another", True)):
        strategy = SimpleNamespace(broadcast=lambda _, first=first: ([], 1, None, first))
        monkeypatch.setattr(DreamJob, "trainer", SimpleNamespace(strategy=strategy, global_rank=1, world_size=2))
        with pytest.raises(UserError, match="finds other photos, weights") if refused else nullcontext():
            assert list(job.predict_dataloader()) == []


@pytest.mark.parametrize(("said", "lost"), [("[gloo/pair.cc:561] Connection closed by peer", True), ("a bug", False)])
def test_the_loss_of_a_process_is_told_in_one_line(said: str, lost: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr("pytorch_lightning.Trainer.predict", fail)
    job = DreamJob([], PhotoSet("none", ()), [], Cut(32, 32, random=False, seed=0), seed=0, second_seed=1, threads=1)
    error, line = (UserError, "another process of this run has ended") if lost else (RuntimeError, "a bug")
    with pytest.raises(error, match=line):
        run_job(job, torch.device("cpu"), devices=2, nodes=1, precision="32", callbacks=[])
    assert "DREAMGAN_STARTED_BY" not in os.environ


@pytest.mark.slow
def test_two_processes_make_what_one_makes(photos: Path, whole: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(plain(photos, out, "--devices", "2"), tmp_path, "run") as process:
        assert process.wait(HANGS_S) == 0
    assert contents(out) == whole
    assert sorted(map(len, shares(tmp_path))) == [UNITS // 2, UNITS - UNITS // 2]
    said = (tmp_path / "run.out").read_text().splitlines()
    assert [line for line in said if "work units" in line] == [said[0]]
    assert len([line for line in said if line.startswith("dream dataset in ")]) == 1
    assert (tmp_path / "run.err").read_text().startswith("1 pictures could not be used")
    assert len((tmp_path / "run.err").read_text().splitlines()) == 1


@pytest.mark.slow
def test_two_hosts_make_what_one_process_makes(photos: Path, whole: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with two_hosts(photos, out) as hosts:
        assert [host.wait(HANGS_S) for host in hosts] == [0, 0]
    assert contents(out) == whole
    assert sorted(map(len, shares(tmp_path))) == [UNITS // 2, UNITS - UNITS // 2]
    # Only the first process speaks.
    assert (tmp_path / "host0.out").read_text().splitlines()[-1].startswith("dream dataset in ")
    assert [(tmp_path / f"host1.{stream}").read_text() for stream in ("out", "err")] == ["", ""]


def kill_the_first_of_two(process: subprocess.Popen[bytes]) -> None:
    (other,) = children_of(process)
    process.kill()
    process.wait()
    # The other one does not dream on alone, nor wait for the dead for ever.
    until = time.monotonic() + HANGS_S
    try:
        while is_alive(other):
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        with suppress(ProcessLookupError):
            os.kill(other, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_a_process_whose_first_one_is_killed_before_it_has_met_it_ends(photos: Path, tmp_path: Path) -> None:
    with running(plain(photos, tmp_path / "out", "--devices", "2"), tmp_path, "run") as process:
        wait_until(lambda: children_of(process), process)
        kill_the_first_of_two(process)


@pytest.mark.slow
def test_killed_processes_and_another_number_of_them(photos: Path, whole: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(plain(photos, out, "--devices", "2"), tmp_path, "first") as process:
        wait_until(lambda: len(units_in(out)) >= 2, process)
        kill_the_first_of_two(process)
    done = units_in(out)
    assert 2 <= len(done) < UNITS
    with two_hosts(photos, out) as hosts:
        wait_until(lambda: len(units_in(out)) >= len(done) + 2, hosts[0])
        for pid in (*children_of(hosts[0]), *children_of(hosts[1]), *(host.pid for host in hosts)):
            os.kill(pid, signal.SIGKILL)
    more = units_in(out)
    assert len(done) < len(more) < UNITS
    assert {name: more[name] for name in done} == done
    with running(plain(photos, out), tmp_path, "last") as process:
        assert process.wait(HANGS_S) == 0
    assert f"{UNITS} work units of 2, {len(more)} done already" in (tmp_path / "last.out").read_text()
    shares(tmp_path)
    assert contents(out) == whole


@pytest.mark.slow
def test_hosts_that_find_nothing_left_to_dream_end(
    photos: Path, whole: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(make, "finish", cut_off)
        assert cli.main(command(photos, out)) == 130
    assert len(units_in(out)) == UNITS
    with two_hosts(photos, out) as hosts:
        assert [host.wait(HANGS_S) for host in hosts] == [0, 0]
    assert contents(out) == whole


@pytest.mark.slow
def test_a_mistake_is_told_once_and_ends_all_processes(photos: Path, tmp_path: Path) -> None:
    with running(plain(photos, tmp_path / "out", "--devices", "2", "--recipe", "gordik"), tmp_path, "run") as process:
        assert process.wait(HANGS_S) == 2
    (line,) = (tmp_path / "run.err").read_text().splitlines()
    assert line.startswith("dreamgan dataset: there is no recipe 'gordik'; nearest: 'gordic'")
    with two_hosts(photos, tmp_path / "out", "--recipe", "gordik") as hosts:
        codes = [host.wait(HANGS_S) for host in hosts]
    assert all(codes)
    for rank in (0, 1):
        said = (tmp_path / f"host{rank}.err").read_text()
        assert said.startswith(line)  # torchrun's own report follows
        assert said.count(line) == 1
        assert "exitcode  : 2" in said
    assert not (tmp_path / "out").exists()
