"""The folder of a dataset: whose it is, how far it has come, and what another configuration would change."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dreamgan.errors import UserError
from dreamgan.files import whole_file

FORMAT = "dreamgan-dataset-2"
CONFIG, CARD, DATA, WORK = "config.json", "README.md", "data", ".work"
# The card goes first: without it a folder does not pass for complete, should the removal be cut off.
FINISHED = (CARD, "sheet.png", "scores.png", "rejects.csv")
FOLDERS = (DATA, "guides", WORK)


def is_complete(out: Path) -> bool:
    """Whether a dataset is finished: the card is the last to be written and the first to go."""
    return (out / CARD).is_file() and any((out / DATA).glob("*.parquet"))


def begun_threads(out: Path) -> int | None:
    """The thread count of a run that was begun in the folder: without --threads it goes on with the same."""
    threads = (_read(out) or {}).get("threads")
    return threads if isinstance(threads, int) and threads > 0 else None


def check_claim(out: Path, config: Mapping[str, Any], *, overwrite: bool) -> bool:
    """See whether the folder may be used; nothing is changed.

    Args:
        out: The dataset's folder; it need not exist.
        config: The resolved configuration.
        overwrite: A dataset of another configuration may be replaced.

    Returns:
        Whether what the folder holds is of this configuration.

    Raises:
        UserError: If the folder holds something else, or a dataset of another configuration that may not be
            replaced; it says what is different.
    """
    old = _read(out)
    if old is None:
        # A run that was killed in its first moments leaves no more than its work folder.
        if out.exists() and any(item.name != WORK for item in out.iterdir()):
            raise UserError(f"'{out}' exists and holds something else than a dream dataset; give another --out")
        return False
    if not str(old.get("format", "")).startswith("dreamgan-dataset-"):
        raise UserError(f"'{out / CONFIG}' is of something else than a dream dataset; give another --out")
    # Sources may be named in many ways: the digest of the list of photos says whether they hold the same.
    ignored = {"photos"}
    if is_complete(out):
        ignored |= {"threads", "dreamgan", "torch"}  # the bytes depend on them, but there are none to come
    was, now = ({key: each[key] for key in each.keys() - ignored} for each in (old, config))
    changed = _difference(was, now)
    if changed and not overwrite:
        raise UserError(
            f"'{out}' was begun with another configuration ({'; '.join(changed)}); use --overwrite or another --out"
        )
    return not changed


@contextmanager
def claimed(out: Path, config: Mapping[str, Any], *, overwrite: bool) -> Iterator[Path]:
    """Take the folder for one run, writing the configuration if it is new.

    Args:
        out: The dataset's folder.
        config: The resolved configuration.
        overwrite: Remove a dataset of another configuration.

    Yields:
        The folder for everything unfinished, ``out/.work``.

    Raises:
        UserError: As ``check_claim``; or another run is at work in the folder.
    """
    from filelock import FileLock, Timeout

    same = check_claim(out, config, overwrite=overwrite)
    work = out / WORK
    work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / "lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(f"another run is making the dataset in '{out}'; wait for it, or give another --out") from None
    try:
        if not same:
            for name in FINISHED:
                (out / name).unlink(missing_ok=True)
            for item in (*(out / name for name in FOLDERS if name != WORK), *work.iterdir()):
                if item.name != "lock":
                    _remove(item)
            text = json.dumps(config, indent=2) + "\n"
            with whole_file(work / CONFIG) as temporary:
                temporary.write_text(text, encoding="utf-8")
            (work / CONFIG).replace(out / CONFIG)
        yield work
    finally:
        lock.release()


def writing_folder(work: Path) -> Path:
    """Make a folder for the units that this run is writing, and take away those of earlier runs.

    A process of a killed run may be at work still, here or on another machine. Without its folder it can put no unit
    among the finished ones any more: neither over one that is there, nor into a dataset that is finished.

    Args:
        work: What ``claimed`` gave.
    """
    for old in work.glob("writing-*"):
        shutil.rmtree(old.rename(work / f"gone-{old.name}"))  # renamed first: gone at once, not file by file
    folder = work / f"writing-{secrets.token_hex(8)}"
    folder.mkdir()
    return folder


def _remove(item: Path) -> None:
    if item.is_dir() and not item.is_symlink():
        shutil.rmtree(item)
    else:
        item.unlink(missing_ok=True)


def _read(out: Path) -> dict[str, Any] | None:
    """What ``config.json`` holds: None without one, nothing where it is no object."""
    try:
        found = json.loads((out / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _difference(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What of a configuration is no longer as it was, one phrase per value."""
    changed: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if isinstance(was, dict) and isinstance(now, dict) and was.get("name") != now.get("name"):
            # Of a recipe of another name every field may be another.
            changed.append(f"{prefix}{key} was {was.get('name')!r}, is {now.get('name')!r}")
        elif isinstance(was, dict) != isinstance(now, dict):
            changed.append(f"{prefix}{key} is {'gone' if now is None else 'new'}")
        elif isinstance(was, dict) and isinstance(now, dict):
            changed += _difference(was, now, f"{prefix}{key}.")
        elif key == "dreams" and isinstance(was, list) and isinstance(now, list):
            changed += _difference(_by_name(was), _by_name(now), prefix)
        elif was != now and key == "photo_list_sha256":
            changed.append("the photos differ in name, class, crop or file size")
        elif was != now:
            changed.append(f"{prefix}{key} was {was!r}, is {now!r}")
    return changed


def _by_name(dreams: list[Any]) -> dict[str, Any]:
    if len(dreams) == 1:
        return {"dream": dreams[0]}  # compared with another single one as such, whatever they are called
    return {f"dream {dream.get('name')}": dream for dream in dreams if isinstance(dream, dict)}
