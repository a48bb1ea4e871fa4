"""The dream stage as a Lightning prediction job: work units in, one parquet file per unit out."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter, Callback
from torch import Tensor, nn
from tqdm import tqdm

from dreamgan.backbones.features import Extractor
from dreamgan.data.pairs import Pair, write_unit
from dreamgan.data.photos import Photo, PhotoSet, Reject
from dreamgan.devices import halving, joined
from dreamgan.dream import DreamRecipe, dream, score
from dreamgan.errors import UserError
from dreamgan.images import LoadedImage, as_saved, to_picture, to_unit

STUCK = "its gradient was zero or not finite in every step; the recipe's layers find nothing in it to amplify"
UNITS_AHEAD = 2  # read before, and waiting to be written after, the one that is dreamed
MOST_READERS = 8


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """A fixed list of photos that are dreamed together, in one way, and the file that says they are done.

    Attributes:
        split: "train" or "test".
        teacher: Which of the job's teachers dreams them.
        strength: Share of its recipe's steps that are run.
        second: Whether they get a second dream with another seed.
        photos: Their places in the set of photos.
        sha256: Of the pixels of each photo.
        path: The file.
    """

    split: str
    teacher: int
    strength: float
    second: bool
    photos: tuple[int, ...]
    sha256: tuple[str, ...]
    path: Path


@dataclass(frozen=True)
class Teacher:
    """One way to dream: a recipe, the network that it runs on and the guides that it wants.

    Attributes:
        recipe: What to do; its name is unique in a dataset.
        extractor: With the recipe's layers.
        guides: Each (1, 3, h, w) in [0, 1].
        guide_sha256: Of each guide's pixels.
    """

    recipe: DreamRecipe
    extractor: Extractor
    guides: Mapping[str, Tensor]
    guide_sha256: Mapping[str, str]


@dataclass(frozen=True)
class Cut:
    """How a photo becomes a picture of the dataset: scaled, dreamed, and only then cut, photo and dream alike.

    Attributes:
        size_px: Side of the square pictures that are stored.
        dream_px: Side of the squares that are dreamed, at least ``size_px``.
        random: Cut at a random place rather than the centre.
        seed: Of the places.
    """

    size_px: int
    dream_px: int
    random: bool
    seed: int

    def corner(self, photo_id: str) -> tuple[int, int]:
        """(top, left) of what is stored of the dreamed square, in pixels."""
        room = self.dream_px - self.size_px
        if not self.random:
            return room // 2, room // 2
        digest = hashlib.sha256(f"{self.seed}:cut:{photo_id}".encode()).digest()
        return tuple(int.from_bytes(digest[k : k + 8], "big") % (room + 1) for k in (0, 8))  # type: ignore[return-value]


@dataclass(frozen=True)
class LoadedUnit:
    """A work unit with its photos decoded: ``images`` (B, 3, H, W) in [0, 1] of ``photos``, without the rejects."""

    unit: WorkUnit
    photos: tuple[Photo, ...]
    sha256: tuple[str, ...]
    images: Tensor
    rejects: tuple[Reject, ...]


class Dreamed(NamedTuple):
    """Dreams of some photos of a unit, cut to what is stored.

    Attributes:
        photos: (B, 3, H, W) float32 in [0, 1].
        images: The same of the dreams.
        stuck: (B,) bool: no step had a usable gradient, so that nothing was dreamed.
        before: (B,), the recipe's objective on the photo as it is stored.
        after: The same on the dream.
    """

    photos: Tensor
    images: Tensor
    stuck: Tensor
    before: Tensor
    after: Tensor


@dataclass(frozen=True)
class FinishedUnit:
    """What ``DreamJob`` makes of a ``LoadedUnit``; ``second`` is empty where no second dream was wanted."""

    loaded: LoadedUnit
    first: Dreamed | None
    second: Dreamed | None


class UnitPhotos:
    """Reads the photos of units, in order, some units ahead of the one that is dreamed.

    Reading is decoding, for which Pillow lets go of Python's lock: threads are enough.

    Args:
        units: Those to be dreamed here.
        photo_set: Opens their photos.
        size_px: Side of the square that they are scaled to.
    """

    def __init__(self, units: Sequence[WorkUnit], photo_set: PhotoSet, size_px: int) -> None:
        self.units, self.photo_set, self.size_px = units, photo_set, size_px

    def __iter__(self) -> Iterator[LoadedUnit]:
        """Units with their photos; those that cannot be read any more become rejects."""
        with ThreadPoolExecutor(min(MOST_READERS, os.cpu_count() or 1)) as readers:
            ahead: deque[tuple[WorkUnit, list[Future[LoadedImage]]]] = deque()
            for unit in self.units:
                futures = [readers.submit(self._read, index) for index in unit.photos]
                ahead.append((unit, futures))
                if len(ahead) > UNITS_AHEAD:
                    yield self._loaded(*ahead.popleft())
            while ahead:
                yield self._loaded(*ahead.popleft())

    def _read(self, index: int) -> LoadedImage:
        return self.photo_set.load(self.photo_set.photos[index], self.size_px)

    def _loaded(self, unit: WorkUnit, futures: Sequence[Future[LoadedImage]]) -> LoadedUnit:
        kept: list[tuple[Photo, str, Tensor]] = []
        rejects: list[Reject] = []
        for index, sha256, future in zip(unit.photos, unit.sha256, futures, strict=True):
            photo = self.photo_set.photos[index]
            try:
                kept.append((photo, sha256, to_unit(future.result().picture)))
            except UserError as error:
                rejects.append(Reject(photo.file, str(error)))
        photos, digests, images = zip(*kept, strict=True) if kept else ((), (), ())
        stacked = torch.stack(images) if images else torch.empty(0, 3, self.size_px, self.size_px)
        return LoadedUnit(unit, photos, digests, stacked, tuple(rejects))


class DreamJob(LightningModule):
    """Dreams the photos of each unit; in every process its share of them.

    Args:
        teachers: What units refer to by number.
        photo_set: The photos.
        units: All that are to be dreamed; of those given in the first process each process gets its share, and what
            the others are given does not count.
        cut: How photos become pictures.
        seed: Seed of the dreams.
        second_seed: Seed of second dreams.
        threads: CPU threads in every process: the last bits of a dream depend on them. The first process decides.
        aside: Folder in which units are written before they take their places; None: beside those. The first process
            decides.
        identity: Of all that the dreams depend on, which must be the same in every process.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        photo_set: PhotoSet,
        units: Sequence[WorkUnit],
        cut: Cut,
        *,
        seed: int,
        second_seed: int,
        threads: int,
        aside: Path | None = None,
        identity: str = "",
    ) -> None:
        super().__init__()
        self.teachers, self.photo_set, self.units, self.cut = tuple(teachers), photo_set, units, cut
        self.extractors = nn.ModuleList(teacher.extractor for teacher in teachers)  # Lightning moves them to the device
        self.seed, self.second_seed, self.threads = seed, second_seed, threads
        self.aside, self.identity = aside, identity

    def predict_dataloader(self) -> Any:
        """This process's share of the units, read ahead.

        Raises:
            UserError: If the first process would dream otherwise than this one.
        """
        # A process that looked for itself which units are done might look later than another, and deal otherwise.
        first = self.trainer.strategy.broadcast((self.units, self.threads, self.aside, self.identity))
        self.units, self.threads, self.aside, identity = first
        if identity != self.identity:
            raise UserError(
                "this process finds other photos, weights, versions or flags than the first one; "
                "every machine needs the same"
            )
        own = self.units[self.trainer.global_rank :: self.trainer.world_size]
        return UnitPhotos(own, self.photo_set, self.cut.dream_px)

    def on_predict_start(self) -> None:
        """Pin the thread count in this process."""
        torch.set_num_threads(self.threads)

    def on_predict_end(self) -> None:
        """Wait until all processes are done: the first one then makes the dataset of the units."""
        self.trainer.strategy.barrier("units are dreamed")

    def transfer_batch_to_device(self, batch: LoadedUnit, device: torch.device, dataloader_idx: int) -> LoadedUnit:
        """Move the photos; the rest is no tensor."""
        return LoadedUnit(batch.unit, batch.photos, batch.sha256, batch.images.to(device), batch.rejects)

    def predict_step(self, batch: LoadedUnit, *args: Any) -> FinishedUnit:
        """Dream one unit; the trainer must run with ``inference_mode=False``.

        Args:
            batch: Photos (B, 3, H, W) in [0, 1], B may be 0.
            args: What Lightning counts.

        Returns:
            The dreams, on the CPU.

        Raises:
            UserError: If memory runs out with a single photo.
        """
        if not batch.photos:
            return FinishedUnit(batch, None, None)
        first = self._dream(batch, self.seed)
        return FinishedUnit(batch, first, self._dream(batch, self.second_seed) if batch.unit.second else None)

    def pairs_of(self, finished: FinishedUnit) -> tuple[list[Pair], list[Reject]]:
        """The rows of a finished unit, and the photos for which there is none.

        Args:
            finished: From ``predict_step``.
        """
        loaded, first, second = finished.loaded, finished.first, finished.second
        pairs: list[Pair] = []
        rejects = list(loaded.rejects)
        if first is None:
            return pairs, rejects
        teacher = self.teachers[loaded.unit.teacher]
        stuck = first.stuck if second is None else first.stuck | second.stuck
        for k, (photo, sha256) in enumerate(zip(loaded.photos, loaded.sha256, strict=True)):
            if bool(stuck[k]):
                rejects.append(Reject(photo.file, STUCK))
                continue
            pairs.append(
                Pair(
                    photo=to_picture(first.photos[k]),
                    dream=to_picture(first.images[k]),
                    second_dream=None if second is None else to_picture(second.images[k]),
                    label=photo.label,
                    photo_id=photo.photo_id,
                    source_id=photo.source_id,
                    photo_sha256=sha256,
                    recipe=teacher.recipe.name,
                    strength=loaded.unit.strength,
                    recipe_json=teacher.recipe.to_json(),
                    backbone=teacher.extractor.backbone,
                    layers=teacher.recipe.layer_names,
                    weights=teacher.extractor.weights_name,
                    weights_sha256=teacher.extractor.weights_sha256,
                    guides=teacher.guide_sha256,
                    seed=self.seed,
                    second_seed=None if second is None else self.second_seed,
                    score_before=float(first.before[k]),
                    score_after=float(first.after[k]),
                )
            )
        return pairs, rejects

    def _dream(self, batch: LoadedUnit, seed: int) -> Dreamed:
        teacher, strength = self.teachers[batch.unit.teacher], batch.unit.strength
        names = [photo.photo_id for photo in batch.photos]
        corners = [self.cut.corner(name) for name in names]

        def stored(images: Tensor, part: slice) -> Tensor:
            side = self.cut.size_px
            cut = [image[:, y : y + side, x : x + side] for image, (y, x) in zip(images, corners[part], strict=True)]
            return torch.stack(cut).float()

        def run(part: slice) -> Dreamed:
            extractor, recipe, guides = teacher.extractor, teacher.recipe, teacher.guides
            result = dream(
                batch.images[part],
                extractor,
                recipe,
                seed=seed,
                photo_ids=names[part],
                guides=guides,
                strength=strength,
            )
            photos, images = stored(batch.images[part], part), stored(result.images, part)
            guides = {name: guide.to(photos) for name, guide in guides.items()}
            before, after = (score(as_saved(each), extractor, recipe, guides=guides) for each in (photos, images))
            stuck = result.skipped_steps >= sum(recipe.steps_at(strength)[result.dropped_octaves :])
            return Dreamed(photos.cpu(), images.cpu(), stuck.cpu(), before.cpu(), after.cpu())

        return Dreamed(*(joined(list(parts)) for parts in zip(*halving(run, len(names)), strict=True)))


class UnitWriter(BasePredictionWriter):
    """Encodes and writes finished units while the next ones are dreamed."""

    def __init__(self) -> None:
        super().__init__(write_interval="batch")
        # A GPU dreams faster than a single thread encodes.
        self._writer = ThreadPoolExecutor(UNITS_AHEAD)
        self._waiting: deque[Future[None]] = deque()

    def write_on_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, prediction: FinishedUnit, *args: Any
    ) -> None:
        """Have one unit written, whole or not at all; wait when others wait already.

        Raises:
            OSError: An earlier unit could not be written.
        """
        if not isinstance(pl_module, DreamJob):
            raise TypeError(f"UnitWriter writes what DreamJob finishes, not {type(pl_module).__name__}")
        self._waiting.append(self._writer.submit(self._write, pl_module, prediction))
        while len(self._waiting) > UNITS_AHEAD:
            self._waiting.popleft().result()

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for the last units."""
        while self._waiting:
            self._waiting.popleft().result()
        self._writer.shutdown()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what was finished before something went wrong."""
        self._writer.shutdown(wait=True)

    @staticmethod
    def _write(job: DreamJob, finished: FinishedUnit) -> None:
        pairs, rejects = job.pairs_of(finished)
        unit = finished.loaded.unit
        write_unit(unit.path, pairs, unit.split, rejects=rejects, aside=job.aside)


class PictureBar(Callback):
    """A bar that counts pictures: how many per second, and how long it will take, over all processes.

    Args:
        done: Pictures that an earlier run has dreamed.
        total: Pictures in all.
    """

    def __init__(self, done: int, total: int) -> None:
        self._done, self._total = done, total

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the bar: on stderr, in the first process, where that is a terminal."""
        hidden = None if trainer.is_global_zero else True  # None: shown in a terminal only
        self._bar = tqdm(total=self._total, initial=self._done, desc="dreaming", unit="picture", disable=hidden)

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: LoadedUnit, *args: Any
    ) -> None:
        """Count the unit's pictures, and as many for each of the other processes."""
        self._bar.update(min(len(batch.unit.photos) * trainer.world_size, self._total - self._bar.n))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the bar as it is."""
        self._bar.close()
