"""A full disk, a folder that may not be written to, two runs at once: one clear line, and nothing finished is lost."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dreamgan import cli
from dreamgan.bench.trial import contents
from dreamgan.making import make
from tests.finished_dataset import picture

ROOT = Path(__file__).resolve().parents[2]
HANGS_S = 240
PAGE = 4096
FLAGS = ["--backbone", "squeezenet1_1", "--layers", "features.3", "--weights", "random", "--size", "32"]
FLAGS += ["--batch", "2", "--threads", "1", "--device", "cpu"]
UNITS = 9


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "photos"
    folder.mkdir()
    for number in range(16):
        picture(number, 48).save(folder / f"{number:02d}.png")
    (folder / "bad.png").write_text("no picture")
    return folder


def command(photos: Path, out: Path, *flags: str) -> list[str]:
    return ["dataset", "--photos", str(photos), "--out", str(out), *FLAGS, *flags]


def units_in(out: Path) -> dict[str, tuple[int, int]]:
    found = sorted((out / ".work" / "units").glob("*.parquet"))
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def is_refused(code: int, capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    lines = capsys.readouterr().err.splitlines()
    assert code == 2, lines
    assert lines[-1].startswith("dreamgan dataset: ")
    assert all(part in lines[-1] for part in parts), lines[-1]
    assert not [line for line in lines if "Traceback" in line]


@pytest.fixture(scope="module")
def dreamed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all units dreamed, and nothing made of them."""

    def cut_off(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path_factory.mktemp("interrupted") / "out"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(make, "finish", cut_off)
        assert cli.main(command(photos, out)) == 130
    assert len(units_in(out)) == UNITS
    return out


@pytest.fixture(scope="module")
def whole(photos: Path, dreamed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished dataset."""
    out = tmp_path_factory.mktemp("whole") / "out"
    shutil.copytree(dreamed, out)
    assert cli.main(command(photos, out)) == 0
    return out


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A small disk: call it with mount options, first to mount it, then to change it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        arguments = ["-o", f"remount,{options}"] if mounted else ["-t", "tmpfs", "-o", options, "tmpfs"]
        done = subprocess.run(["mount", *arguments, str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            assert not mounted, done.stderr
            pytest.skip(f"needs a small disk of its own, and mounting one is refused: {done.stderr.strip()}")
        mounted = True
        return folder

    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip("needs a small disk of its own, and only root may mount one")
    try:
        yield mount
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def pages(*files: Path) -> int:
    """Bytes that files take on a tmpfs, which gives out whole pages."""
    return sum(-(-file.stat().st_size // PAGE) * PAGE for file in files)


def test_a_disk_that_fills_up_at_every_stage(
    photos: Path,
    dreamed: Path,
    whole: Path,
    disk: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = pages(dreamed / "config.json")
    scanned = first + pages(dreamed / ".work" / "scan" / "scan-00000.parquet")
    units = [dreamed / ".work" / "units" / name for name in units_in(dreamed)]
    all_units = scanned + pages(*units)
    joined = all_units + pages(*(whole / "data").iterdir())
    last = joined + pages(*(whole / name for name in ("rejects.csv", "sheet.png", "scores.png", "README.md")))
    stages = [
        (first, "scan/scan-00000.parquet", 0),
        (scanned + pages(*units[:3]), "units/0000003.parquet", 3),
        (all_units, "final/data/train-00000-of-00001.parquet", UNITS),
        (joined - PAGE, "final/data/test-00000-of-00001.parquet", UNITS),
        (joined + PAGE, "final/sheet.png", UNITS),
        (last - PAGE, "final/README.md", UNITS),
    ]
    committed: dict[str, tuple[int, int]] = {}
    for size, name, least in stages:
        out = disk(f"size={size}") / "out"
        code = cli.main(command(photos, out))
        is_refused(code, capsys, f"{out}/.work/{name}", ": No space left on device")
        now = units_in(out)
        assert len(now) >= least
        assert {unit: now[unit] for unit in committed} == committed
        committed = now
        assert sorted(item.name for item in out.iterdir()) == [".work", "config.json"]
    out = disk(f"size={last + PAGE}") / "out"
    assert cli.main(command(photos, out)) == 0
    assert f"{UNITS} work units of 2, {UNITS} done already" in capsys.readouterr().out
    assert contents(out) == contents(whole)


def test_a_disk_without_room_for_another_file(
    photos: Path, whole: Path, disk: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    committed: dict[str, tuple[int, int]] = {}
    for files in range(2, 22):
        out = disk(f"size=8m,nr_inodes={files}") / "out"
        is_refused(cli.main(command(photos, out)), capsys, "No space left on device; what was finished is kept")
        now = units_in(out)
        assert {unit: now[unit] for unit in committed} == committed
        committed = now
    assert len(committed) > UNITS // 2
    out = disk("size=8m,nr_inodes=60") / "out"
    assert cli.main(command(photos, out)) == 0
    assert contents(out) == contents(whole)


def test_a_disk_that_has_become_read_only(
    photos: Path, dreamed: Path, whole: Path, disk: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = disk("size=8m") / "out"
    shutil.copytree(dreamed, out)
    (out / ".work" / "units" / "0000004.parquet").unlink()
    before = contents(out)
    disk("ro")
    is_refused(cli.main(command(photos, out)), capsys, f"'{out}' may not be written to; give another --out")
    is_refused(cli.main(command(photos, out.parent / "new")), capsys, f"'{out.parent}' may not be written to")
    assert contents(out) == before
    disk("rw")
    assert cli.main(command(photos, out)) == 0
    assert contents(out) == contents(whole)


def test_a_complete_dataset_that_is_read_only_is_complete(
    photos: Path, whole: Path, disk: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = disk("size=8m") / "out"
    shutil.copytree(whole, out)
    disk("ro")
    assert cli.main(command(photos, out)) == 0
    assert "is complete already; nothing to do" in capsys.readouterr().out
    other = [*command(photos, out), "--seed", "9"]
    is_refused(cli.main(other), capsys, "was begun with another configuration")
    is_refused(cli.main([*other, "--overwrite"]), capsys, "Read-only file system")
    assert contents(out) == contents(whole)


# The modules are loaded while the user may read them: nobody may not, where Python lies in somebody's home.
AS_NOBODY = """
import os, sys
from dreamgan import cli

warm, user, outs, *flags = sys.argv[1:]
assert cli.main([*flags, "--out", warm]) == 0
if int(user):
    os.setgroups([])
    os.setgid(int(user))
    os.setuid(int(user))
for out in outs.split(","):
    print("---", cli.main([*flags, "--out", out]), file=sys.stderr, flush=True)
"""
NOBODY = 65534


@pytest.mark.slow
def test_a_folder_that_this_user_may_not_write_to(photos: Path, dreamed: Path, whole: Path) -> None:
    with tempfile.TemporaryDirectory() as name:  # not in the folder of the tests, which is their user's alone
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(photos, folder / "photos")
        (folder / "free").mkdir()
        shutil.copytree(dreamed, folder / "begun")
        shutil.copytree(dreamed, folder / "inside")
        (folder / "inside" / ".work" / "units" / "0000004.parquet").unlink()
        before = {place: contents(folder / place) for place in ("begun", "inside")}
        (folder / "free").chmod(0o777)
        (folder / "inside").chmod(0o777)
        closed = [folder / "begun", folder / "inside" / ".work", folder]
        as_root = os.geteuid() == 0
        try:
            if not as_root:
                for place in closed:
                    place.chmod(0o555)
            outs = ["new", "begun", "inside", "free/out"]
            run = subprocess.run(
                [sys.executable, "-c", AS_NOBODY, str(folder / "free" / "warm"), str(NOBODY if as_root else 0)]
                + [",".join(str(folder / out) for out in outs), "dataset", "--photos", str(folder / "photos"), *FLAGS],
                env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                timeout=HANGS_S,
                check=False,
            )
        finally:
            if not as_root:
                for place in closed:
                    place.chmod(0o755)
        assert run.returncode == 0, run.stderr
        assert "Traceback" not in run.stderr
        # What is printed of a folder comes before its line.
        answers = [tuple(answer.splitlines()) for answer in re.split(r"^--- ", run.stderr, flags=re.MULTILINE)]
        codes = [int(answer[0]) for answer in answers[1:]]
        new, begun, inside = (answer[-1] for answer in answers[:3])
        assert codes == [2, 2, 2, 0]
        assert new == f"dreamgan dataset: '{folder}' may not be written to; give another --out"
        assert begun == f"dreamgan dataset: '{folder}/begun' may not be written to; give another --out"
        assert inside.startswith(f"dreamgan dataset: {folder}/inside/.work/")
        assert inside.endswith(": Permission denied; what was finished is kept")
        assert not (folder / "new").exists()
        assert {place: contents(folder / place) for place in before} == before
        assert contents(folder / "free" / "out") == contents(whole)


@pytest.mark.slow
def test_two_runs_at_once_in_one_folder(
    photos: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    first = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "make_dream_dataset.py"), *command(photos, out)[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        until = time.monotonic() + HANGS_S
        while not units_in(out):
            assert first.poll() is None, "it ended too early"
            assert time.monotonic() < until
            time.sleep(0.005)
        os.kill(first.pid, signal.SIGSTOP)  # it waits, in the middle of its work
        assert not (out / "README.md").exists()
        is_refused(
            cli.main(command(photos, out)),
            capsys,
            f"another run is making the dataset in '{out}'; wait for it, or give another --out",
        )
        # Nor may one that would replace it.
        code = cli.main(command(photos, out, "--seed", "1", "--overwrite"))
        is_refused(code, capsys, f"another run is making the dataset in '{out}'")
        os.kill(first.pid, signal.SIGCONT)
        assert first.wait(HANGS_S) == 0
    finally:
        first.kill()
        first.wait()
    assert contents(out) == contents(whole)
