"""Dreams alone, without their photos, as the GAN that dreams from noise learns them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from dreamgan.data.draws import Draw, Part
from dreamgan.data.loading import DreamData, names_of, training_loader
from dreamgan.data.pairs import classes
from dreamgan.data.pictures import Sample, scaled_pictures
from dreamgan.data.scan import tell_bar
from dreamgan.data.styles import rows_of
from dreamgan.errors import UserError, check_least


class _Row(NamedTuple):
    """A pair of a dataset: where it stands, and what it is."""

    rows: Any
    place: int
    style: int
    label: str
    photo_id: str


class Pictures(Dataset[Sample]):
    """Pictures in memory, with the numbers of their styles and classes."""

    def __init__(self, pictures: Tensor, styles: Sequence[int], labels: Sequence[int], passes: int = 1) -> None:
        """Set the pictures up.

        Args:
            pictures: (N, 3, size, size) uint8.
            styles: Number of each picture's style.
            labels: Number of each picture's class.
            passes: How often each of them is counted.
        """
        self.pictures, self.passes = pictures, passes
        self.labels = list(labels)
        self._styles, self._labels = torch.tensor(styles), torch.tensor(labels)

    def __len__(self) -> int:
        """Count the pictures, each as often as it passes."""
        return len(self.pictures) * self.passes

    def __getitem__(self, draw: Draw | int) -> Sample:
        """Read a picture: "picture": (3, size, size) float32 in [0, 1]; "style", "class": () int64."""
        number, flip = (draw.row, draw.flip) if isinstance(draw, Draw) else (draw, False)
        place = number % len(self.pictures)
        picture = self.pictures[place].float() / 255
        return {
            "picture": picture.flip(-1) if flip else picture,
            "style": self._styles[place],
            "class": self._labels[place],
        }


class DreamPictures(DreamData):
    """Whole dreams of dream datasets (strength 1), scaled down, for a GAN that dreams from noise."""

    def __init__(
        self,
        dataset: str,
        recipe: str | None = None,
        size_px: int = 64,
        batch_size: int = 32,
        categories: str | None = None,
        limit: int | None = None,
        passes: int = 1,
        val_pictures: int = 200,
        flip: bool = True,
        seed: int | None = None,
    ) -> None:
        """Name the datasets; nothing is read before `setup` or `styles`.

        Args:
            dataset: folder of a dream dataset, or the name of one on the Hugging Face hub; several with commas.
            recipe: which of the recipes to learn, with commas. Default: all.
            size_px: side to which the dreams are scaled, by areas; at most theirs.
            batch_size: pictures per batch and process.
            categories: classes of photos whose dreams to learn, with commas. Default: all.
            limit: how many dreams to learn, as many of each category as can be, the same ones every time. Default: all.
            passes: how often an epoch shows each of them; more than one for sets so small that an epoch is over at
                once.
            val_pictures: held-out dreams, and as many held-out photos, to validate on, at least 2: of the test split,
                and of the categories that were learnt where it has any, evenly spread. 0: no validation.
            flip: mirror half of the training pictures left to right.
            seed: of order and flips. Default: --seed_everything, else 0.

        Raises:
            UserError: a number out of range.
        """
        super().__init__(dataset, recipe)
        check_least(
            ("size_px", size_px, 32),
            ("batch_size", batch_size, 1),
            ("limit", 1 if limit is None else limit, 1),
            ("passes", passes, 1),
            ("val_pictures", val_pictures, 0),
            ("seed", seed or 0, 0),
        )
        if val_pictures == 1:
            raise UserError(
                "val_pictures is 1, and one picture cannot be measured; give at least 2, or 0 for no validation"
            )
        self.categories, self.limit, self.passes = categories, limit, passes
        self.size_px, self.batch_size = size_px, batch_size
        self.val_pictures, self.flip, self.seed = val_pictures, flip, seed or 0
        self.train_pictures: Pictures | None = None
        self.held_out: list[Pictures] = []
        self._chosen: list[_Row] = []

    def classes(self) -> list[str]:
        """Names of the classes to learn, in the order of their numbers; "" is that of dreams without one.

        Raises:
            UserError: as `setup`.
        """
        return sorted({row.label for row in self._training_rows()})

    def setup(self, stage: str | None = None) -> None:
        """Open what the stage needs.

        Args:
            stage: Lightning's "fit" or "validate"; None opens both splits.

        Raises:
            UserError: no dream dataset is there, a category is not in it, it holds fewer dreams than are asked for or
                smaller ones, or a picture cannot be read.
        """
        if stage in (None, "fit") and self.train_pictures is None:
            self.train_pictures = self._pictures(self._training_rows(), "dream", self.passes)
        if self.val_pictures and not self.held_out and stage in (None, "fit", "validate"):
            rows = self._rows("test")
            known = set(self.classes())
            rows = [row for row in rows if row.label in known] or rows
            dreams = _spread(rows, self.val_pictures)
            # Of several dreams of one photo, the photo counts once.
            photos = _spread(list({row.photo_id: row for row in rows}.values()), self.val_pictures)
            if len(photos) > 1:
                self.held_out = [self._pictures(dreams, "dream"), self._pictures(photos, "photo")]
            elif photos:
                tell_bar(f"{self.dataset} has one photo to validate on, too few to measure")

    def train_dataloader(self) -> DataLoader[Sample]:
        """Load the training dreams, shuffled anew each epoch.

        "picture": (B, 3, size_px, size_px) float32 in [0, 1]; "style", "class": (B,) int64. What is left over after
        the last full batch is left out of the epoch.

        Raises:
            RuntimeError: `setup` has not run.
        """
        if self.train_pictures is None:
            raise RuntimeError("call setup('fit') before train_dataloader()")
        # One part: styles may stand side by side in a batch.
        return training_loader(self, self.train_pictures, [[Part(len(self.train_pictures))]])

    def val_dataloader(self) -> list[DataLoader[Sample]]:
        """Load the held-out dreams, then the held-out photos, in order, as in training but never mirrored.

        An empty list where there is no test split: Lightning then says so and skips validation.
        """
        return [DataLoader(pictures, batch_size=self.batch_size) for pictures in self.held_out]

    def _training_rows(self) -> list[_Row]:
        if not self._chosen:
            rows, wanted = self._rows("train"), names_of(self.categories)
            known = sorted({row.label for row in rows})
            lacking = [name for name in wanted if name not in known]
            if lacking:
                raise UserError(
                    f"{self.dataset}: there is no category {lacking[0]!r}, only {', '.join(known).strip(', ')}"
                )
            rows = [row for row in rows if not wanted or row.label in wanted]
            self._chosen = rows if self.limit is None else _equally(rows, self.limit)
        return self._chosen

    def _rows(self, split: str) -> list[_Row]:
        found = []
        for number, style in enumerate(self.styles()):
            for part in rows_of(style.name, names_of(self.dataset), split, 1.0):
                labels, ids = classes(part.rows), part.rows["photo_id"][:]
                both = enumerate(zip(labels, ids, strict=True))
                found += [_Row(part.rows, place, number, label, name) for place, (label, name) in both]
        if split == "train" and not found:
            raise UserError(f"{self.dataset}: it holds no dream of strength 1 to learn")
        return found

    def _pictures(self, rows: Sequence[_Row], column: str, passes: int = 1) -> Pictures:
        pictures = torch.empty(len(rows), 3, self.size_px, self.size_px, dtype=torch.uint8)
        of: dict[int, list[int]] = {}
        for number, row in enumerate(rows):
            of.setdefault(id(row.rows), []).append(number)
        for numbers in of.values():
            chosen = rows[numbers[0]].rows.select([rows[number].place for number in numbers])
            pictures[numbers] = scaled_pictures(chosen, column, self.size_px)
        names = self.classes()
        labels = [
            names.index(row.label) if row.label in names else place % len(names) for place, row in enumerate(rows)
        ]
        return Pictures(pictures, [row.style for row in rows], labels, passes)


def _spread(rows: Sequence[_Row], count: int) -> list[_Row]:
    """So many of them, evenly; all where there are fewer."""
    count = min(count, len(rows))
    return [rows[place * len(rows) // count] for place in range(count)]


def _equally(rows: Sequence[_Row], count: int) -> list[_Row]:
    """So many of them, as many of each class as can be."""
    if count > len(rows):
        raise UserError(f"limit is {count}, and there are only {len(rows)} dreams of these categories")
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        groups.setdefault(row.label, []).append(row)
    chosen: list[_Row] = []
    # The smallest first: what they lack is shared out over the others.
    for left, (_, group) in zip(
        range(len(groups), 0, -1), sorted(groups.items(), key=lambda item: (len(item[1]), item[0])), strict=True
    ):
        chosen += _spread(group, (count - len(chosen)) // left)
    return chosen
