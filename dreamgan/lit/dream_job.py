"""The dream stage as a Lightning prediction job: work units in, one parquet file per unit out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    """

    def __init__(self, units: Sequence[WorkUnit], photo_set: PhotoSet, size_px: int) -> None:
        self.units, self.photo_set, self.size_px = list(units), photo_set, size_px

    def __len__(self) -> int:
        """Number of units."""
        return len(self.units)

    def __getitem__(self, index: int) -> LoadedUnit:
        """Open the photos of unit ``index``; those that cannot be read become rejects."""
        unit = self.units[index]
        photos: list[Photo] = []
        images: list[Tensor] = []
        rejects: list[Reject] = []
        for photo in unit.photos:
            try:
                images.append(to_unit(self.photo_set.load(photo, self.size_px).picture))
                photos.append(photo)
            except UserError as error:
                rejects.append(Reject(photo.photo_id, str(error)))
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
        """Dream one unit; the trainer must run with ``inference_mode=False``."""
        if not batch.photos:
            return FinishedUnit(batch.unit, (), batch.rejects)
        dreams = self._dream(batch, self.seed)
        seconds: list[Tensor] | list[None] = [None] * len(dreams)
        if batch.unit.split == "test" and self.second_seed is not None:
            seconds = list(self._dream(batch, self.second_seed))
        # Scores are of the pictures as they are stored.
        before = score(as_saved(batch.images), self.extractor, self.recipe).tolist()
        after = score(as_saved(dreams), self.extractor, self.recipe).tolist()
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
            for photo, image, dreamed, second, low, high in zip(
                batch.photos, batch.images, dreams, seconds, before, after, strict=True
            )
        ]
        return FinishedUnit(batch.unit, tuple(pairs), batch.rejects)

    def _dream(self, batch: LoadedUnit, seed: int) -> Tensor:
        names = [photo.photo_id for photo in batch.photos]

        def run(part: slice) -> Tensor:
            result = dream(batch.images[part], self.extractor, self.recipe, seed=seed, photo_ids=names[part])
            return result.images.float()

        return joined(halving(run, len(names)))


class UnitWriter(BasePredictionWriter):
    """Writes each finished unit the moment it is done."""

    def __init__(self) -> None:
        super().__init__(write_interval="batch")

    def write_on_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, prediction: FinishedUnit, *args: Any
    ) -> None:
        """Write one unit, whole or not at all."""
        write_unit(prediction.unit.path, prediction.pairs, prediction.unit.split, rejects=prediction.rejects)
