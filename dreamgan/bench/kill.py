"""Nothing lost: a dataset's making is killed again and again, and compared with one that was not."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from dreamgan.bench.table import Columns, table_head, table_line
from dreamgan.bench.trial import NAME, Trial, all_traps
from dreamgan.bench.victim import PHASES, import_all, make, write_photos
from dreamgan.errors import UserError

PHOTOS, WHOLE, KILLED, LOG = "photos", "whole", "killed", "log.txt"
TABLE: Columns = (
    ("kill", "kill", 4, 0),
    ("seconds", "second", 6, 2),
    ("phase", "in the middle of", 21, None),
    ("operation", "at", 51, None),
    ("units", "units", 5, 0),
    ("verdict", "verdict", 7, None),
)


def kill_dataset(
    kills: int = 50,
    writes: int | Literal["all"] = 0,
    photos: int = 48,
    seed: int = 0,
    out: str = "runs/kill",
) -> None:
    """Kill the making of a dataset with signal 9, again and again, and see whether anything is lost.

    A small dataset is made once without interruption: crops of the sample photographs and some broken files, two
    recipes on two networks with random weights, two strengths, second dreams, a held-out class. Then it is made
    elsewhere and killed:

      --kills   at random moments, drawn in turns from the time of the uninterrupted run and from that of one of its
                phases, as some are short. Each run goes on with what the one before has left; a dataset that gets
                finished is compared, and another one begun.
      --writes  before operations on a file of the dataset's folder (write, mkdir, rename, remove, rmdir), and in the
                middle of a write, with half of the bytes written. The next run is killed at any of its own operations,
                and the one after that finishes.

    After every kill, each committed work unit must be the very file that it was (inode and time of the last change),
    and what lies in the folder outside of .work must be byte by byte the file of the uninterrupted run. A finished
    folder must hold what the uninterrupted one does, and nothing else. The exit code is 1 if anything differs.

    Example: python scripts/kill_dataset.py --kills 50 --writes all

    Args:
        kills: Kills at random moments.
        writes: Kills at operations on files, drawn at random; all: at every one.
        photos: Sound photos in the dataset, about.
        seed: Of the moments and of the drawn operations.
        out: Folder for the photos, the datasets and what the last run printed; an earlier test's is replaced.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
        SystemExit: If anything was lost.
    """
    least = {"kills": (kills, 0), "photos": (photos, 16)} | ({} if writes == "all" else {"writes": (writes, 0)})
    for name, (value, smallest) in least.items():
        if value < smallest:
            raise UserError(f"--{name} is {value}; it must be at least {smallest}")
    folder = Path(out).expanduser().absolute()
    _empty(folder)
    tqdm.monitor_interval = 0  # no thread may be at work when a child is forked
    print("importing, and making the dataset without interruption", flush=True)
    import_all()
    write_photos(folder / PHOTOS, photos, seed)
    trial = Trial(lambda target: make(folder / PHOTOS, target), folder / WHOLE, folder / KILLED, folder / LOG)
    print(f"{trial.seconds:.1f} s, {len(trial.operations)} operations on files", flush=True)
    stream = random.Random(seed)
    traps = all_traps(trial.operations, folder / WHOLE / NAME)
    if writes != "all" and writes < len(traps):
        traps = [traps[k] for k in sorted(stream.sample(range(len(traps)), writes))]
    print(table_head(TABLE), flush=True)
    phases: Counter[str] = Counter()
    with tqdm(total=kills + 2 * len(traps), desc="killing", unit="kill", disable=None, leave=False) as bar:
        for row in chain(trial.at_moments(kills, stream), trial.at_operations(traps, stream)):
            phases[row["phase"]] += 1
            with tqdm.external_write_mode():
                print(table_line(row, TABLE), flush=True)
            bar.update()
    print(f"in the middle of: {', '.join(f'{name} {phases[name]}' for name in PHASES)}")
    print(f"{phases.total()} kills, {trial.finished} datasets finished after kills, {len(trial.problems)} problems")
    for problem in trial.problems:
        print(problem)
    if trial.problems:
        raise SystemExit(1)
    print("nothing was lost: each finished dataset is byte by byte the one that was not interrupted")


def _empty(folder: Path) -> None:
    """Remove what an earlier test has left.

    Raises:
        UserError: If the folder holds anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"'{folder}' is a file, not a folder; give another --out")
    if folder.exists() and (others := {item.name for item in folder.iterdir()} - {PHOTOS, WHOLE, KILLED, LOG}):
        raise UserError(f"'{folder}' holds something else ({min(others)!r}); give another --out")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
