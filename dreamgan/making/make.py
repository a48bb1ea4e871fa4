"""The making of one dataset, from its resolved configuration to the finished folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dreamgan.data.pairs import is_unit, unit_rejects
from dreamgan.data.photos import Photo, PhotoSet, Reject
from dreamgan.data.scan import Scanned, scan
from dreamgan.data.split import count_copies, same_pixels, split_of
from dreamgan.errors import UserError
from dreamgan.lit.dream_job import Cut, DreamJob, PictureBar, UnitWriter, WorkUnit
from dreamgan.making.claim import WORK, claimed, writing_folder
from dreamgan.making.estimate import estimate
from dreamgan.making.finish import finish
from dreamgan.making.mix import Kind
from dreamgan.making.plan import plan_units
from dreamgan.making.report import score_table
from dreamgan.making.run import end_with_first_process, run_job


class NothingUsable(UserError):
    """None of the photos could be used."""


@dataclass(frozen=True)
class Making:
    """What a dataset is to be made of, and where the work is done.

    Attributes:
        config: The resolved configuration, as ``config.json`` holds it.
        photo_set: The photos.
        kinds: The kinds of dream.
        device: Where to dream.
        devices: Processes per machine.
        nodes: Machines.
    """

    config: Mapping[str, Any]
    photo_set: PhotoSet
    kinds: tuple[Kind, ...]
    device: torch.device
    devices: int
    nodes: int

    def make(self, out: Path, *, overwrite: bool) -> None:
        """Make the dataset, or finish what an earlier run has begun; in the first process.

        Args:
            out: The dataset's folder.
            overwrite: Replace a dataset of another configuration.

        Raises:
            UserError: If the folder is not free, or none of the photos can be used.
            OSError: If the disk is full; what was finished is kept.
        """
        try:
            with claimed(out, self.config, overwrite=overwrite) as work:
                self._make(out, work)
        except NothingUsable:
            shutil.rmtree(out)
            raise

    def _make(self, out: Path, work: Path) -> None:
        aside = writing_folder(work)  # before it is looked which units are done
        scanned = scan(self.photo_set, work / "scan")
        units = self._plan(scanned, self._split(scanned), work / "units")
        waiting = [unit for unit in units if not is_unit(unit.path)]
        total, left = (sum(len(unit.photos) for unit in some) for some in (units, waiting))
        done = len(units) - len(waiting)
        print(f"{len(self.photo_set)} photos, {len(units)} work units of {self.config['batch']}, {done} done already")
        chanceless = [kind.teacher.recipe.name for kind in self.kinds if not kind.depends_on_seed]
        if chanceless and self.config["second_dreams"]:
            print(f"no second dreams of {', '.join(chanceless)}: without shifts, another seed gives the same dream")
        started = time.monotonic()
        if waiting or self.devices * self.nodes > 1:  # the other processes wait to be told that there is nothing to do
            (work / "units").mkdir(exist_ok=True)
            self._run(waiting, PictureBar(total - left, total), aside)
        seconds = time.monotonic() - started
        rejects = self._rejects(scanned, units)
        if total == sum(len(unit_rejects(unit.path)) for unit in units):
            raise self._nothing_usable(rejects)
        counts = self._counts(scanned, rejects)
        labels = self.photo_set.labels
        rows = finish(out, work, units, self.kinds, rejects, labels=labels, config=self.config, counts=counts)
        if rejects:
            listed = out / "rejects.csv"
            print(f"{len(rejects)} pictures could not be used; they are listed in {listed}", file=sys.stderr)
        if counts["duplicates"]:
            print(f"{counts['duplicates']} photos are copies of others; all copies of one are in one split")
        print(score_table(out))
        if left:
            print(f"dreamed {left} pictures in {_duration(seconds)}, {left / max(seconds, 1e-9):.3g} per second")
        pairs = ", ".join(f"{count} in {name}" for name, count in rows.items())
        print(f"dream dataset in {out}: {pairs}; look at {out / 'sheet.png'}")

    def take_part(self) -> None:
        """Dream this process's share of what the first process asks for."""
        end_with_first_process()
        self._run([], None)

    def rehearse(self, out: Path) -> None:
        """Say what would be done and what it would take, from one unit of each kind; nothing is written.

        Args:
            out: The dataset's folder.
        """
        import yaml

        with tempfile.TemporaryDirectory() as folder:
            scanned = scan(self.photo_set, Path(folder))
        split = self._split(scanned)
        units = self._plan(scanned, split, out / WORK / "units")
        waiting = [unit for unit in units if not is_unit(unit.path)]
        found = estimate(self._job(waiting), units, waiting, self.device, self.config["precision"])
        processes = self.devices * self.nodes
        free = shutil.disk_usage(next(place for place in (out, *out.absolute().parents) if place.exists())).free
        sides = Counter(split[photo.source_id] for photo in self._usable(scanned))
        print(yaml.safe_dump(dict(self.config), sort_keys=False, allow_unicode=True))
        print(f"photos: {len(self.photo_set)}; {sides['train']} for training, {sides['test']} for the test split")
        print(f"work units: {len(units)}, of which {len(units) - len(waiting)} are done already")
        print(f"time: about {_duration(found.seconds / processes)} with {processes} at work")
        print(
            f"disk: about {_size(found.bytes_on_disk)}, twice as much while it is put together; {_size(free)} are free"
        )
        print("dry run: nothing was written")

    def _usable(self, scanned: list[Scanned]) -> list[Photo]:
        return [photo for photo, each in zip(self.photo_set.photos, scanned, strict=True) if each.sha256]

    def _split(self, scanned: list[Scanned]) -> dict[str, str]:
        photos, config = self._usable(scanned), self.config
        if not photos:
            raise self._nothing_usable(self._rejects(scanned, []))
        split = split_of(
            [photo.source_id for photo in photos],
            test_fraction=config["test_fraction"],
            seed=config["seed"],
            labels=[photo.label for photo in photos],
            hold_out=config["hold_out_categories"] or (),
            same=same_pixels(self.photo_set.photos, scanned),
        )
        if "test" not in split.values():
            print("no test split: a network trained on this cannot be measured", file=sys.stderr)
        return split

    def _plan(self, scanned: list[Scanned], split: Mapping[str, str], folder: Path) -> list[WorkUnit]:
        return plan_units(
            self.photo_set.photos,
            [each.sha256 for each in scanned],
            split,
            [kind.share for kind in self.kinds],
            [kind.strengths for kind in self.kinds],
            every=self.config["every_recipe"],
            # A second dream that is the first one would make a ceiling of 1 that means nothing.
            second_dreams=[self.config["second_dreams"] * kind.depends_on_seed for kind in self.kinds],
            unit_photos=self.config["batch"],
            seed=self.config["seed"],
            folder=folder,
        )

    def _job(self, units: list[WorkUnit], aside: Path | None = None) -> DreamJob:
        config = self.config
        same_everywhere = {key: value for key, value in config.items() if key not in ("photos", "threads")}
        return DreamJob(
            [kind.teacher for kind in self.kinds],
            self.photo_set,
            units,
            Cut(config["size"], config["dream_size"], config["crop"] == "random", config["seed"]),
            seed=config["seed"],
            second_seed=config["seed"] + 1,
            threads=config["threads"],
            aside=aside,
            identity=hashlib.sha256(json.dumps(same_everywhere, sort_keys=True).encode()).hexdigest(),
        )

    def _run(self, units: list[WorkUnit], bar: PictureBar | None, aside: Path | None = None) -> None:
        run_job(
            self._job(units, aside),
            self.device,
            devices=self.devices,
            nodes=self.nodes,
            precision=self.config["precision"],
            callbacks=[UnitWriter(), *([bar] if bar else [])],
        )

    def _rejects(self, scanned: list[Scanned], units: list[WorkUnit]) -> list[Reject]:
        photos = zip(self.photo_set.photos, scanned, strict=True)
        unread = [Reject(photo.file, each.reason) for photo, each in photos if each.reason]
        # A photo that several recipes could not dream is told of once.
        undreamed = dict.fromkeys(reject for unit in units for reject in unit_rejects(unit.path))
        return [*self.photo_set.rejects, *unread, *undreamed]

    def _nothing_usable(self, rejects: list[Reject]) -> NothingUsable:
        first = f"; first: {rejects[0].name!r} {rejects[0].reason}" if rejects else ""
        return NothingUsable(f"none of the {len(rejects)} photos could be used{first}")

    def _counts(self, scanned: list[Scanned], rejects: list[Reject]) -> dict[str, int]:
        return {
            "photos_found": len(self.photo_set) + len(self.photo_set.rejects),
            "rejected": len(rejects),
            "duplicates": count_copies(scanned),
            "photographs": len({photo.source_id for photo in self._usable(scanned)}),
        }


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"
