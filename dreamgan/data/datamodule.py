"""The loaders that training reads a dream dataset through."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from dreamgan.data.pairs import has_split, load_pairs
from dreamgan.errors import UserError
from dreamgan.images import load_image

Sample = dict[str, Tensor]


class PairPictures(Dataset[Sample]):
    """The pictures of one split, as tensors; kept decoded where they fit in the allowance."""

    def __init__(self, rows: Any, columns: tuple[str, ...], cache_mib: int) -> None:
        """Decode the pictures where they fit; else look at the first row only.

        All pictures must have the size of the first photo. Of those that are decoded at each access, that is found
        out on the way: reading a large dataset once before every training takes too long.

        Args:
            rows: a `datasets.Dataset` from `load_pairs`.
            columns: of pictures; "second_dream" may be null.
            cache_mib: memory for decoded pictures (uint8), in MiB.

        Raises:
            UserError: there is no row; the first row, or any one that is kept decoded, holds a picture that cannot
                be read or has another size than the first photo.
        """
        import datasets

        self.columns = columns
        self._rows = rows.select_columns([*columns, "photo_id"])
        for column in columns:
            self._rows = self._rows.cast_column(column, datasets.Image(decode=False))
        if not len(self._rows):
            raise UserError("the dream dataset holds no pair; make it again from photos that can be read")
        first = self._rows[0]
        self.width, self.height = self._size_of(first, "photo")
        self._check_sizes(first)
        wanted = len(self._rows) * len(columns) * 3 * self.width * self.height
        self._decoded: list[dict[str, Tensor]] | None = None
        if wanted <= cache_mib * 1024**2:
            self._decoded = [self._decode(row) for row in self._rows]

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self._rows)

    def __getitem__(self, key: int | tuple[int, bool]) -> Sample:
        """Read one pair.

        Args:
            key: a row, or a row and whether to mirror all its pictures left to right.

        Returns:
            "photo", "dream": (3, H, W) float32 in [0, 1]. With the column "second_dream" that too (zeros
            where there is none) and "has_second": () bool.

        Raises:
            UserError: a picture of the row cannot be read or has another size than the first photo.
        """
        index, flip = key if isinstance(key, tuple) else (key, False)
        pictures = self._decode(self._rows[index]) if self._decoded is None else self._decoded[index]
        sample = {name: picture.float() / 255 for name, picture in pictures.items()}
        if flip:
            sample = {name: picture.flip(-1) for name, picture in sample.items()}
        if "second_dream" in self.columns:
            sample["has_second"] = torch.tensor("second_dream" in sample)
            sample.setdefault("second_dream", torch.zeros_like(sample["dream"]))
        return sample

    def _decode(self, row: dict[str, Any]) -> dict[str, Tensor]:
        self._check_sizes(row)
        pictures = {}
        for column in self.columns:
            if row[column] is not None:
                picture = load_image(row[column]["bytes"], name=f"{column} of {row['photo_id']}").picture
                pictures[column] = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
        return pictures

    def _check_sizes(self, row: dict[str, Any]) -> None:
        for column in self.columns:
            if row[column] is None and column == "second_dream":
                continue
            size = self._size_of(row, column)
            if size != (self.width, self.height):
                raise UserError(
                    f"the {column} of {row['photo_id']!r} is {size[0]}x{size[1]} px, the first photo "
                    f"{self.width}x{self.height}; make the dataset again with one --size"
                )

    @staticmethod
    def _size_of(row: dict[str, Any], column: str) -> tuple[int, int]:
        try:
            with Image.open(io.BytesIO(row[column]["bytes"])) as picture:  # reads the header only
                return picture.size
        except (OSError, TypeError) as error:
            raise UserError(
                f"the {column} of {row['photo_id']!r} cannot be read ({error}); make the dataset again"
            ) from error


class FlippingSampler(DistributedSampler[Sample]):
    """Shuffle and flip, as a function of (seed, epoch) alone: a resumed run sees what the first one saw.

    It is torch's DistributedSampler for one process too: Lightning calls `set_epoch` on it and leaves it in
    place.
    """

    def __init__(self, dataset: PairPictures, *, flip: bool, seed: int, num_replicas: int = 1, rank: int = 0) -> None:
        """Set the sampler up.

        Args:
            dataset: what is drawn from.
            flip: mirror half of the pairs.
            seed: of order and flips.
            num_replicas: processes that share an epoch.
            rank: this one's number.
        """
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, shuffle=True, seed=seed)
        self._flip = flip
        self._rows = len(dataset)

    def __iter__(self) -> Iterator[tuple[int, bool]]:  # type: ignore[override]
        """Yield (row, whether to mirror it)."""
        # Drawn for all rows and then looked up: the flip of a row does not depend on which process reads it.
        flips = np.random.default_rng([abs(self.seed), self.epoch]).random(self._rows) < 0.5
        for index in super().__iter__():
            row = int(index)  # type: ignore[call-overload]
            yield row, self._flip and bool(flips[row])


class DreamPairs(LightningDataModule):
    """Photo and dream pairs of a dream dataset, for training and validation."""

    def __init__(
        self,
        dataset: str,
        recipe: str | None = None,
        batch_size: int = 8,
        val_pairs: int = 64,
        flip: bool = True,
        num_workers: int = 0,
        seed: int = 0,
        cache_mib: int = 2048,
    ) -> None:
        """Name the dataset; nothing is read before `setup` or `recipe_facts`.

        Args:
            dataset: the folder of a dream dataset, or the name of one on the Hugging Face hub.
            recipe: which of its recipes to learn; needed where it has several. Of a recipe the whole dreams are taken,
                those of strength 1.
            batch_size: pairs per batch and process.
            val_pairs: pairs of the test split to validate on, evenly spread over it, in order.
            flip: mirror half of the training pairs left to right, photo and dream alike.
            num_workers: processes that read ahead.
            seed: of order and flips.
            cache_mib: memory per split and process for decoded pictures, in MiB; larger splits are decoded
                each time.

        Raises:
            UserError: a number out of range.
        """
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("val_pairs", val_pairs, 0),
            ("num_workers", num_workers, 0),
            ("seed", seed, 0),
            ("cache_mib", cache_mib, 0),
        ):
            if value < least:
                raise UserError(f"{name} is {value}; it must be at least {least}")
        self.dataset = dataset
        self.recipe = recipe
        self.batch_size = batch_size
        self.val_pairs = val_pairs
        self.flip = flip
        self.num_workers = num_workers
        self.seed = seed
        self.cache_mib = cache_mib
        self.train_pairs: PairPictures | None = None
        self.validation_pairs: PairPictures | None = None

    def setup(self, stage: str | None = None) -> None:
        """Open what the stage needs.

        Args:
            stage: Lightning's "fit" or "validate"; None opens both splits.

        Raises:
            UserError: no dream dataset is there, or its pictures differ in size.
        """
        if stage in (None, "fit") and self.train_pairs is None:
            self.train_pairs = PairPictures(self._rows("train"), ("photo", "dream"), self.cache_mib)
        wanted = self.val_pairs and self.validation_pairs is None and stage in (None, "fit", "validate")
        if wanted and has_split(self.dataset, "test"):
            rows = self._rows("test")
            count = min(self.val_pairs, len(rows))
            if count:
                rows = rows.select([place * len(rows) // count for place in range(count)])
                self.validation_pairs = PairPictures(rows, ("photo", "dream", "second_dream"), self.cache_mib)

    def train_dataloader(self) -> DataLoader[Sample]:
        """Load "photo" and "dream", both (B, 3, H, W) float32 in [0, 1], shuffled anew each epoch.

        A last batch that is not full is left out, unless it is the only one.

        Raises:
            RuntimeError: `setup` has not run.
        """
        if self.train_pairs is None:
            raise RuntimeError("call setup('fit') before train_dataloader()")
        trainer = self.trainer
        sampler = FlippingSampler(
            self.train_pairs,
            flip=self.flip,
            seed=self.seed,
            num_replicas=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
        )
        return DataLoader(
            self.train_pairs,
            batch_size=self.batch_size,
            sampler=sampler,
            drop_last=len(sampler) >= self.batch_size,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )

    def val_dataloader(self) -> DataLoader[Sample] | list[DataLoader[Sample]]:
        """Load the validation pairs, in order.

        "photo", "dream", "second_dream" (zeros where there is none): (B, 3, H, W) float32 in [0, 1];
        "has_second": (B,) bool.

        An empty list where the dataset has no test split: Lightning then says so and skips validation.
        """
        if self.validation_pairs is None:
            return []
        return DataLoader(
            self.validation_pairs,
            batch_size=self.batch_size,
            shuffle=False,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
        )

    def recipe_facts(self) -> dict[str, Any]:
        """Say what was dreamed, from the first training pair.

        Returns:
            "recipe", "recipe_json", "backbone", "weights_sha256": str; "seed": int; "layers": tuple of str;
            "size_px": int, the shorter side.

        Raises:
            UserError: no dream dataset is there.
        """
        row = self._rows("train")[0]
        names = ("recipe", "recipe_json", "backbone", "weights_sha256", "seed")
        layers = tuple(row["layers"].split(","))
        return {**{name: row[name] for name in names}, "layers": layers, "size_px": min(row["photo"].size)}

    def _rows(self, split: str) -> Any:
        """The whole dreams of one recipe."""
        rows = load_pairs(self.dataset, split)
        names = sorted(set(rows["recipe"][:]))
        if self.recipe is None and len(names) > 1:
            raise UserError(f"{self.dataset!r} holds several recipes; choose with --data.recipe: {', '.join(names)}")
        wanted = self.recipe or names[0]
        if wanted not in names and split == "train":
            raise UserError(f"{self.dataset!r} has no recipe {wanted!r}, only {', '.join(names)}")
        pairs = zip(rows["recipe"][:], rows["strength"][:], strict=True)
        whole = [row for row, (name, strength) in enumerate(pairs) if name == wanted and strength == 1]
        if not whole and split == "train":
            raise UserError(f"{self.dataset!r} has no whole dreams of {wanted!r}: add 1 to its strengths")
        return rows if len(whole) == len(rows) else rows.select(whole)
