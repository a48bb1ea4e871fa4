"""Photos with classes as Lightning takes them: what a frozen network says of each, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dreamgan.classifying.sets import LabelledSets, find_labelled
from dreamgan.data.scan import tell_bar
from dreamgan.errors import UserError, check_least

Sample = tuple[Tensor, Tensor]
MOST_SIDE_PX = 1024  # far beyond what the networks were trained at


class LabelledPhotos(LightningDataModule):
    """Training and validation photos of a set with classes, seen through the frozen part of a network."""

    def __init__(
        self,
        photos: str,
        val: str | None = None,
        val_last: int = 0,
        val_fraction: float = 0.2,
        hub_config: str | None = None,
        hub_split: str | None = None,
        val_split: str | None = None,
        size_px: int = 224,
        views: int = 2,
        batch_size: int = 32,
        features: str = "runs/features",
        seed: int | None = None,
    ) -> None:
        """Name the set; nothing is read before `setup`.

        Args:
            photos: a folder with one sub-folder per class, or with such folders in `train` and `val`; a parquet, arrow
                or tar file; or the name of a Hugging Face dataset.
            val: another such source, to validate on.
            val_last: validate on this many photos of each class, the last by name. Default: see val_fraction.
            val_fraction: share of each class to validate on where nothing else says which.
            hub_config: configuration of a Hugging Face dataset, where it has several.
            hub_split: its split to train on.
            val_split: its split to validate on.
            size_px: photos are seen as squares of this side.
            views: augmentation: in how many fixed ways each training photo is seen, a random one per epoch. 1: as it
                is; 2: also mirrored; more: parts of it, stretched, mirrored, lighter or darker.
            batch_size: photos per step.
            features: folder in which answers of frozen networks are kept, for this and for later trainings.
            seed: of order and views. Default: --seed_everything, else 0.

        Raises:
            UserError: a number out of range.
        """
        super().__init__()
        check_least(
            ("size_px", size_px, 32),
            ("views", views, 1),
            ("batch_size", batch_size, 1),
            ("val_last", val_last, 0),
            ("seed", seed or 0, 0),
        )
        if size_px > MOST_SIDE_PX:
            raise UserError(f"size_px is {size_px}; it must be at most {MOST_SIDE_PX}")
        self.photos = photos
        self.source = {
            "val": val,
            "val_last": val_last,
            "val_fraction": val_fraction,
            "hub_config": hub_config,
            "hub_split": hub_split,
            "val_split": val_split,
        }
        self.size_px, self.views, self.batch_size, self.seed = size_px, views, batch_size, seed or 0
        self.folder = Path(features).expanduser()
        self.sets: LabelledSets | None = None
        self._seen: dict[str, Seen] = {}

    @property
    def found(self) -> LabelledSets:
        """The set, after `setup`."""
        if self.sets is None:
            raise RuntimeError("call setup() first")
        return self.sets

    def setup(self, stage: str | None = None) -> None:
        """Find the photos and open each once.

        Args:
            stage: makes no difference.

        Raises:
            UserError: no photo, one class only, a class without photos, or classes that differ between the splits.
        """
        if self.sets is None:
            source: dict[str, Any] = self.source
            self.sets = find_labelled(self.photos, **source, seed=self.seed, folder=self.folder / "scans")
            if self.sets.copies:
                tell_bar(f"{self.sets.copies} validation photos have the pixels of a training photo")

    def look(self, answers: Callable[[str, int], Tensor]) -> None:
        """See all photos through a frozen network.

        Args:
            answers: split ("train", "val") and view → (N, …).
        """
        for split, labelled, count in (("train", self.found.train, self.views), ("val", self.found.val, 1)):
            seen = torch.stack([answers(split, view) for view in range(count)])
            self._seen[split] = Seen(seen, torch.tensor(labelled.targets))

    def seen(self, split: str) -> Seen:
        """Answers of the frozen network, after `look`."""
        return self._seen[split]

    def train_dataloader(self) -> DataLoader[Sample]:
        """Load the training photos, each once per epoch in a view drawn for it; shuffled.

        (B, …) answers as `Parts.answer` gives them, (B,) int64 targets.
        """
        seen = self.seen("train")
        sampler = EpochSampler(len(seen), self.views, self.seed)
        return DataLoader(seen, batch_size=self.batch_size, sampler=sampler)

    def val_dataloader(self) -> DataLoader[Sample]:
        """Load the validation photos as they are, in order."""
        seen = self.seen("val")
        places: Any = [(place, 0) for place in range(len(seen))]
        return DataLoader(seen, batch_size=self.batch_size, sampler=places)


class Seen(Dataset[Sample]):
    """Answers of a frozen network to photos in several views.

    Args:
        answers: (views, N, …).
        targets: (N,) int64.
    """

    def __init__(self, answers: Tensor, targets: Tensor) -> None:
        self.answers, self.targets = answers, targets

    def __len__(self) -> int:
        """Count the photos."""
        return len(self.targets)

    def __getitem__(self, place: tuple[int, int]) -> Sample:
        """Answer and target of a photo in a view."""
        photo, view = place
        return self.answers[view, photo], self.targets[photo]


class EpochSampler(Sampler[tuple[int, int]]):
    """Every photo once, in another order and in other views each epoch; the same for the same seed and epoch.

    Args:
        photos: how many.
        views: of each.
        seed: of the draws.
    """

    def __init__(self, photos: int, views: int, seed: int) -> None:
        self.photos, self.views, self.seed, self.epoch = photos, views, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Told by Lightning, so that a resumed training goes on as the whole one would."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Count the photos of an epoch."""
        return self.photos

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Give photo and view."""
        stream = torch.Generator().manual_seed(self.seed * 100_003 + self.epoch)
        order = torch.randperm(self.photos, generator=stream).tolist()
        views = torch.randint(self.views, (self.photos,), generator=stream).tolist()
        return iter(list(zip(order, views, strict=True)))
