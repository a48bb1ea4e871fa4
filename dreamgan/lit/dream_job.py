"""The dream stage as a Lightning prediction job: work units in, one parquet file per unit out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dreamgan.backbones.features import Extractor
from dreamgan.data.pairs import Pair, write_unit
from dreamgan.data.sources import Photo, PhotoSet, Reject
from dreamgan.devices import halving, joined
from dreamgan.dream import DreamRecipe, dream, score
from dreamgan.errors import UserError
from dreamgan.images import as_saved, to_picture, to_unit

STUCK = "its gradient was zero or not finite in every step; the recipe's layers find nothing in it to amplify"


@dataclass(frozen=True)
class WorkUnit:
    """A fixed list of photos of one split that are dreamed together, and the file that says they are done."""

    split: str
    photos: tuple[Photo, ...]
    path: Path


@dataclass(frozen=True)
class LoadedUnit:
    """A work unit with its photos decoded: ``images`` (B, 3, H, W) in [0, 1] of ``photos``, without the rejects."""

    unit: WorkUnit
    photos: tuple[Photo, ...]
    images: Tensor
    rejects: tuple[Reject, ...]


class Dreamed(NamedTuple):
    """Dreams of some photos of a unit.

    Attributes:
        images: (B, 3, H, W) float32 in [0, 1].
        stuck: (B,) bool, on the CPU: no step had a usable gradient, and the "dream" is the photo.
        before: (B,), the recipe's objective on the photo as it is stored.
        after: The same on the dream.
    """

    images: Tensor
    stuck: Tensor
    before: Tensor
    after: Tensor


@dataclass(frozen=True)
class FinishedUnit:
    """What ``DreamJob`` makes of a ``LoadedUnit``."""

    unit: WorkUnit
    pairs: tuple[Pair, ...]
    rejects: tuple[Reject, ...]


def cut_into_units(photos: Sequence[Photo], split: str, unit_photos: int, folder: Path) -> list[WorkUnit]:
    """Deal photos, in order, into units of ``unit_photos``; the file of unit 7 is ``<split>-000007.parquet``."""
    starts = range(0, len(photos), unit_photos)
    return [
        WorkUnit(split, tuple(photos[start : start + unit_photos]), folder / f"{split}-{number:06d}.parquet")
        for number, start in enumerate(starts)
    ]


class UnitPhotos(Dataset[LoadedUnit]):
    """Decodes the photos of each unit.

    Args:
        units: Those still to be dreamed.
        photo_set: Opens their photos.
        size_px: Side of the square they are cut to.
        tell: Gets a line for each thing that a person should know of a photo's conversion.
    """

    def __init__(
        self, units: Sequence[WorkUnit], photo_set: PhotoSet, size_px: int, tell: Callable[[str], None]
    ) -> None:
        self.units, self.photo_set, self.size_px, self.tell = list(units), photo_set, size_px, tell

    def __len__(self) -> int:
        """Number of units."""
        return len(self.units)

    def __getitem__(self, index: int) -> LoadedUnit:
        """Open the photos of unit ``index``, (B, 3, H, W) in [0, 1]; those that cannot be read become rejects."""
        unit = self.units[index]
        photos: list[Photo] = []
        images: list[Tensor] = []
        rejects: list[Reject] = []
        for photo in unit.photos:
            try:
                loaded = self.photo_set.load(photo, self.size_px)
            except UserError as error:
                rejects.append(Reject(photo.photo_id, str(error)))
                continue
            for note in loaded.notes:
                self.tell(f"{photo.photo_id}: {note}")
            images.append(to_unit(loaded.picture))
            photos.append(photo)
        stacked = torch.stack(images) if images else torch.empty(0, 3, self.size_px, self.size_px)
        return LoadedUnit(unit, tuple(photos), stacked, tuple(rejects))

    def loader(self) -> DataLoader[LoadedUnit]:
        """Units in order, one at a time; Lightning deals them out to the processes."""
        return DataLoader(self, batch_size=None, shuffle=False)


class DreamJob(LightningModule):
    """Dreams the photos of each unit.

    Args:
        extractor: With the recipe's layers.
        recipe: What to do.
        seed: Seed of the dreams.
        second_seed: Seed of the second dream that the photos of the test split get; None for none.
        threads: CPU threads in every process: the last bits of a dream depend on them.
    """

    def __init__(
        self, extractor: Extractor, recipe: DreamRecipe, *, seed: int, second_seed: int | None, threads: int
    ) -> None:
        super().__init__()
        self.extractor, self.recipe = extractor, recipe
        self.seed, self.second_seed, self.threads = seed, second_seed, threads

    def on_predict_start(self) -> None:
        """Pin the thread count in this process."""
        torch.set_num_threads(self.threads)

    def transfer_batch_to_device(self, batch: LoadedUnit, device: torch.device, dataloader_idx: int) -> LoadedUnit:
        """Move the photos; the rest is no tensor."""
        return LoadedUnit(batch.unit, batch.photos, batch.images.to(device), batch.rejects)

    def predict_step(self, batch: LoadedUnit, *args: Any) -> FinishedUnit:
        """Dream one unit; the trainer must run with ``inference_mode=False``.

        Args:
            batch: Photos (B, 3, H, W) in [0, 1], B may be 0.
            args: What Lightning counts.

        Returns:
            A pair for each photo that could be dreamed; the others are rejects.

        Raises:
            UserError: If memory runs out with a single photo.
        """
        if not batch.photos:
            return FinishedUnit(batch.unit, (), batch.rejects)
        first = self._dream(batch, self.seed)
        stuck = first.stuck
        seconds: list[Tensor] | list[None] = [None] * len(batch.photos)
        if batch.unit.split == "test" and self.second_seed is not None:
            second_dreams = self._dream(batch, self.second_seed)
            stuck = stuck | second_dreams.stuck
            seconds = list(second_dreams.images)
        pairs = [
            Pair(
                photo=to_picture(image),
                dream=to_picture(dreamed),
                second_dream=None if second is None else to_picture(second),
                label=photo.label,
                photo_id=photo.photo_id,
                source_id=photo.source_id,
                recipe=self.recipe.name,
                recipe_json=self.recipe.to_json(),
                backbone=self.extractor.backbone,
                layers=self.recipe.layer_names,
                weights_sha256=self.extractor.weights_sha256,
                seed=self.seed,
                score_before=low,
                score_after=high,
            )
            for photo, image, dreamed, second, low, high, failed in zip(
                batch.photos,
                batch.images,
                first.images,
                seconds,
                first.before.tolist(),
                first.after.tolist(),
                stuck.tolist(),
                strict=True,
            )
            if not failed
        ]
        rejects = [Reject(photo.photo_id, STUCK) for photo, failed in zip(batch.photos, stuck, strict=True) if failed]
        return FinishedUnit(batch.unit, tuple(pairs), (*batch.rejects, *rejects))

    def _dream(self, batch: LoadedUnit, seed: int) -> Dreamed:
        names = [photo.photo_id for photo in batch.photos]

        def run(part: slice) -> Dreamed:
            photos = batch.images[part]
            result = dream(photos, self.extractor, self.recipe, seed=seed, photo_ids=names[part])
            images = result.images.float()
            return Dreamed(
                images,
                result.skipped_steps.cpu() >= sum(self.recipe.steps_per_octave[result.dropped_octaves :]),
                score(as_saved(photos), self.extractor, self.recipe),
                score(as_saved(images), self.extractor, self.recipe),
            )

        return Dreamed(*(joined(list(parts)) for parts in zip(*halving(run, len(names)), strict=True)))


class UnitWriter(BasePredictionWriter):
    """Writes each finished unit the moment it is done."""

    def __init__(self) -> None:
        super().__init__(write_interval="batch")

    def write_on_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, prediction: FinishedUnit, *args: Any
    ) -> None:
        """Write one unit, whole or not at all."""
        write_unit(prediction.unit.path, prediction.pairs, prediction.unit.split, rejects=prediction.rejects)
