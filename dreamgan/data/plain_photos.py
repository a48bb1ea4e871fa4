"""Photos alone, with no dreams, as a training learns from them that needs no dataset."""

from __future__ import annotations

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dreamgan.data.draws import Draw, Part
from dreamgan.data.loading import training_loader
from dreamgan.data.photos import Photo, PhotoSet
from dreamgan.data.pictures import Sample
from dreamgan.data.scan import tell_bar
from dreamgan.data.sources import find_photos
from dreamgan.data.split import split_of
from dreamgan.errors import UserError, check_least


class Photos(Dataset[Sample]):
    """Photos in memory."""

    def __init__(self, pictures: Tensor) -> None:
        """Set the photos up.

        Args:
            pictures: (N, 3, size, size) uint8.
        """
        self.pictures = pictures

    def __len__(self) -> int:
        """Count the photos."""
        return len(self.pictures)

    def __getitem__(self, draw: Draw | int) -> Sample:
        """Read a photo: "photo": (3, size, size) float32 in [0, 1]."""
        row, flip = (draw.row, draw.flip) if isinstance(draw, Draw) else (draw, False)
        picture = self.pictures[row].float() / 255
        return {"photo": picture.flip(-1) if flip else picture}


class PlainPhotos(LightningDataModule):
    """Photos from any of the sources of `dreamgan dataset`, squares of one size, some of them held out."""

    def __init__(
        self,
        photos: str,
        size_px: int = 128,
        batch_size: int = 4,
        crops: int = 24,
        limit: int | None = None,
        test_fraction: float = 0.1,
        val_photos: int = 32,
        flip: bool = True,
        seed: int | None = None,
    ) -> None:
        """Name the photos; nothing is read before `setup`.

        Args:
            photos: a source of photos as for `dreamgan dataset`, several with commas: a folder, a table, a tar file, a
                list, a Hugging Face dataset, or `samples`.
            size_px: side of the centred squares that are trained on.
            batch_size: photos per batch and process.
            crops: crops of each sample photograph.
            limit: keep at most this many photos. Default: all.
            test_fraction: share of the photographs to validate on; at least one where there are two.
            val_photos: at most this many photos of them, evenly spread; 0: no validation.
            flip: mirror half of the training photos left to right.
            seed: of order, flips, split and crops. Default: --seed_everything, else 0.

        Raises:
            UserError: a number out of range.
        """
        super().__init__()
        check_least(
            ("size_px", size_px, 32),
            ("batch_size", batch_size, 1),
            ("crops", crops, 1),
            ("limit", 1 if limit is None else limit, 1),
            ("val_photos", val_photos, 0),
            ("seed", seed or 0, 0),
        )
        self.dataset = photos  # what the trainings' messages and cards call it
        self.size_px, self.batch_size, self.crops, self.limit = size_px, batch_size, crops, limit
        self.test_fraction, self.val_photos, self.flip, self.seed = test_fraction, val_photos, flip, seed or 0
        self.train_photos: Photos | None = None
        self.held_out: Photos | None = None

    def setup(self, stage: str | None = None) -> None:
        """Read the photos that the stage needs.

        Args:
            stage: Lightning's "fit" or "validate"; None reads both parts.

        Raises:
            UserError: there is no photo, or none of a part can be read.
        """
        if self.train_photos is not None and self.held_out is not None:
            return
        found = find_photos(self.dataset, size_px=self.size_px, crops=self.crops, seed=self.seed, limit=self.limit)
        sides = split_of([photo.source_id for photo in found.photos], test_fraction=self.test_fraction, seed=self.seed)
        parts = {
            name: [photo for photo in found.photos if sides[photo.source_id] == name] for name in ("train", "test")
        }
        if stage in (None, "fit") and self.train_photos is None:
            self.train_photos = self._read(found, parts["train"])
        count = min(self.val_photos, len(parts["test"]))
        if count and self.held_out is None:
            test = parts["test"]
            self.held_out = self._read(found, [test[place * len(test) // count] for place in range(count)])

    def train_dataloader(self) -> DataLoader[Sample]:
        """Load the training photos, shuffled anew each epoch.

        "photo": (B, 3, size_px, size_px) float32 in [0, 1]. What is left over after the last full batch is left out of
        the epoch.

        Raises:
            RuntimeError: `setup` has not run.
        """
        if self.train_photos is None:
            raise RuntimeError("call setup('fit') before train_dataloader()")
        return training_loader(self, self.train_photos, [[Part(len(self.train_photos))]])

    def val_dataloader(self) -> list[DataLoader[Sample]]:
        """Load the held-out photos, in order; an empty list where there are none: Lightning then skips validation."""
        return [] if self.held_out is None else [DataLoader(self.held_out, batch_size=self.batch_size)]

    def _read(self, found: PhotoSet, photos: list[Photo]) -> Photos:
        pictures, first = [], ""
        for photo in photos:
            try:
                picture = found.load(photo, self.size_px).picture
            except UserError as error:
                first = first or str(error)
                tell_bar(f"skipped: {error}")
                continue
            pictures.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
        if not pictures:
            raise UserError(f"none of the {len(photos)} photos of {self.dataset!r} could be used; first: {first}")
        return Photos(torch.stack(pictures))
