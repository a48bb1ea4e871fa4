"""Kill -9 at any moment loses nothing; and the test that says so sees what is lost."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dreamgan import cli
from dreamgan.bench.attempt import Operation
from dreamgan.bench.victim import PHASES, phase
from tests.finished_dataset import picture

ROOT = Path(__file__).resolve().parents[2]
HANGS_S = 300


def run_script(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Forks belong into a process of their own: this one may have run torch."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=HANGS_S, check=False)


@pytest.mark.slow
def test_kills_at_random_moments_and_in_the_middle_of_writes(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    command = [sys.executable, str(ROOT / "scripts" / "kill_dataset.py"), "--out", str(tmp_path / "kill")]
    command += ["--kills", "5", "--writes", "10", "--photos", "16", "--seed", str(os.getpid())]
    found = subprocess.run(command, capture_output=True, text=True, timeout=HANGS_S, check=False)
    assert found.returncode == 0, f"{found.stdout}\n{found.stderr}"
    kills, finished, problems = re.findall(
        r"^(\d+) kills, (\d+) datasets finished after kills, (\d+) problems$", found.stdout, re.MULTILINE
    )[0]
    assert int(kills) >= 15
    assert int(finished) >= 10
    assert int(problems) == 0
    assert found.stdout.count("| ok") == int(kills)
    whole, killed = tmp_path / "kill" / "whole" / "dataset", tmp_path / "kill" / "killed" / "dataset"
    names = sorted(str(path.relative_to(whole)) for path in whole.rglob("*"))
    assert [name for name in names if not name.startswith("data/")] == [
        *("README.md", "config.json", "data", "rejects.csv", "scores.png", "sheet.png"),
    ]
    for name in names:
        assert (whole / name).is_dir() or (whole / name).read_bytes() == (killed / name).read_bytes()


# Makes something like a dataset, in no time; FAULT says what it does wrong.
MAKER = """
import os, random, shutil, sys
from pathlib import Path
from dreamgan.bench.trial import Trial, all_traps

FAULT, FOLDER = sys.argv[1], Path(sys.argv[2])

def whole(path, text, aside=None):
    temporary = (aside or path).with_suffix(".tmp")
    temporary.write_text(text)
    os.replace(temporary, path)

def make(out):
    work = out / ".work"
    units, final = work / "units", work / "final"
    resumed = work.exists()
    if resumed and FAULT == "fails":
        raise ValueError("it fails")
    units.mkdir(parents=True, exist_ok=True)
    if not (out / "README.md").exists():
        for unit in (units / f"{number}.parquet" for number in range(3)):
            if FAULT == "rewrites" or not unit.exists():
                whole(unit, unit.name)
        shutil.rmtree(final, ignore_errors=True)
        (final / "data").mkdir(parents=True)
        for name in ("test", "train"):
            (final / "data" / name).write_text(name * 100 + "changed" * (resumed and FAULT == "changes"))
        if (out / "data").exists():
            if FAULT == "in parts":
                shutil.rmtree(out / "data")
            else:
                os.replace(out / "data", final / "old")
        os.replace(final / "data", out / "data")
        if FAULT == "in place":
            (out / "README.md").write_text("card" * 100)
        else:
            whole(out / "README.md", "card" * 100, aside=None if FAULT == "leaves" else work / "card")
    shutil.rmtree(work)

trial = Trial(make, FOLDER / "whole", FOLDER / "killed", FOLDER / "log.txt")
traps = all_traps(trial.operations, FOLDER / "whole" / "dataset")
if FAULT == "in parts":  # seen when the second kill hits the removal of what the first has left
    traps = 50 * [trap for trap in traps if trial.operations[trap.operation].target == "README.md"]
rows = [*trial.at_operations(traps, random.Random(0)), *trial.at_moments(20, random.Random(0))]
print(len(traps), len(rows), trial.finished, sum(row["verdict"] == "LOST" for row in rows))
print(*trial.problems, sep="\\n")
"""


def test_a_sound_maker_has_no_problems(tmp_path: Path) -> None:
    found = run_script(MAKER, "none", tmp_path)
    assert found.returncode == 0, found.stderr
    traps, kills, finished, lost = map(int, found.stdout.splitlines()[0].split())
    assert traps > 25
    assert traps + 20 < kills <= 2 * traps + 20
    assert finished >= traps
    assert (lost, found.stdout.splitlines()[1:]) == (0, [""])


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("rewrites", "unit 0.parquet was written again"),
        ("rewrites", "units/0.parquet was written a second time"),
        ("changes", "data/test is different in the finished dataset"),
        ("leaves", "README.tmp is not what it should be"),
        ("in place", "README.md is not what it should be"),
        ("in parts", "data is there but data/"),
        ("fails", "ended with code 70: ValueError: it fails"),
    ],
)
def test_what_is_lost_is_seen(fault: str, said: str, tmp_path: Path) -> None:
    found = run_script(MAKER, fault, tmp_path)
    assert found.returncode == 0, found.stderr
    assert said in found.stdout


ATTEMPT = """
import sys
from pathlib import Path
from dreamgan.bench.attempt import Attempt, Trap

folder, log = Path(sys.argv[1]), Path(sys.argv[2])

def work():
    folder.mkdir(exist_ok=True)
    print("at work")
    with (folder / "file").open("wb") as file:
        file.write(bytes(10_000))
    (folder / "file").rename(folder / "done")
    (folder.parent / "elsewhere").touch()

for trap in (Trap(1), Trap(1, 5_000), Trap(2), None):
    attempt = Attempt(work, folder, log, trap)
    assert attempt.wait(60)
    sizes = {item.name: item.stat().st_size for item in folder.iterdir()}
    print(attempt.code, sizes, " ".join(f"{each.name}:{each.target or each.path}" for each in attempt.operations))
"""


def test_an_attempt_is_killed_before_an_operation_or_in_the_middle_of_a_write(tmp_path: Path) -> None:
    found = run_script(ATTEMPT, tmp_path / "folder", tmp_path / "log.txt")
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == [
        "-9 {} mkdir:. write:file",
        "-25 {'file': 5000} mkdir:. write:file",
        "-9 {'file': 10000} mkdir:. write:file rename:done",
        "0 {'done': 10000} mkdir:. write:file rename:done",
    ]
    assert (tmp_path / "log.txt").read_text() == "at work\n"


def test_phases_are_told_by_operations() -> None:
    def rename(path: str, target: str) -> Operation:
        return Operation("rename", path, target, 1, False, 0.0)

    def write(path: str) -> Operation:
        return Operation("write", path, "", 0, False, 0.0)

    run = [
        [],
        [Operation("mkdir", ".work", "", 0, False, 0.0)],
        [rename(".work/config.json", "config.json"), Operation("mkdir", ".work/writing-0123", "", 0, False, 0.0)],
        [rename(".work/writing-0123/.a.tmp", ".work/units/0.parquet"), write(".work/writing-0123/.b.tmp")],
        [write(".work/final/data/train-00000-of-00001.parquet")],
        [write(".work/final/.b.tmp"), rename(".work/final/.b.tmp", ".work/final/sheet.png")],
        [rename(".work/final/data", "data")],
        [rename(".work/final/README.md", "README.md"), Operation("remove", ".work/units/0.parquet", "", 0, False, 0.0)],
        [Operation("rmdir", ".work", "", 0, False, 0.0)],
    ]
    done: list[Operation] = []
    for name, operations in zip(PHASES, run, strict=True):
        done += operations
        assert phase(done) == name


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--kills", "-1"], "--kills is -1; it must be at least 0"),
        (["--writes", "-1"], "--writes is -1; it must be at least 0"),
        (["--writes", "some"], "--writes: 'some' is not"),
        (["--photos", "15"], "--photos is 15; it must be at least 16"),
        ([], "holds something else ('mine')"),
    ],
)
def test_a_value_that_makes_no_sense(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").touch()
    assert cli.main(["kill_dataset", "--out", str(tmp_path), *flags]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "mine").exists()


def test_what_an_end_that_was_cut_off_has_left_is_replaced_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(3):
        picture(number, 40).save(tmp_path / "photos" / f"{number}.png")
    out = tmp_path / "out"
    command = ["dataset", "--photos", str(tmp_path / "photos"), "--out", str(out), "--device", "cpu", "--threads", "1"]
    command += ["--backbone", "squeezenet1_1", "--layers", "features.3", "--weights", "random", "--size", "32"]
    assert cli.main(command) == 0
    before = {path.name: path.read_bytes() for path in (out / "data").iterdir()}
    (out / "README.md").unlink()  # the last that an end puts into place
    removed: list[Path] = []
    real = shutil.rmtree

    def remember(folder: Path, *args: object, **kwargs: object) -> None:
        removed.append(Path(folder))
        real(folder, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(shutil, "rmtree", remember)
    assert cli.main(command) == 0
    assert removed
    assert out / "data" not in removed  # removed file by file, it could be loaded as a dataset of a part
    assert {path.name: path.read_bytes() for path in (out / "data").iterdir()} == before
