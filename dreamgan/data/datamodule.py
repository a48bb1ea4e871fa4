"""The loaders that training reads dream datasets through."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader, Dataset

from dreamgan.data.draws import Draw, Part
from dreamgan.data.loading import DreamData, names_of, training_loader
from dreamgan.data.pictures import PairPictures, Sample
from dreamgan.data.scan import tell_bar
from dreamgan.data.styles import StyleRows, rows_of
from dreamgan.errors import UserError, check_least


class StylePictures(Dataset[Sample]):
    """The pictures of one style in one split, out of one or several datasets."""

    def __init__(self, parts: list[StyleRows], number: int, columns: tuple[str, ...], cache_mib: int) -> None:
        """Decode the pictures where they fit into the allowance.

        Args:
            parts: the rows, of at least one dataset.
            number: of the style.
            columns: of pictures.
            cache_mib: memory for decoded pictures, in MiB.

        Raises:
            UserError: as `PairPictures`; or the pictures of two datasets differ in size.
        """
        self._number = number
        self.sizes = {part.dataset: len(part.rows) for part in parts}
        self._parts = [PairPictures(part.rows, columns, cache_mib // len(parts)) for part in parts]
        self._strengths = [strength for part in parts for strength in part.strengths]
        self._places = [(part, row) for part, pictures in enumerate(self._parts) for row in range(len(pictures))]
        self.width, self.height = self._parts[0].width, self._parts[0].height
        for part, pictures in zip(parts, self._parts, strict=True):
            if (pictures.width, pictures.height) != (self.width, self.height):
                raise UserError(
                    f"the pictures of {part.dataset} are {pictures.width}x{pictures.height} px, those of "
                    f"{parts[0].dataset} {self.width}x{self.height}; make them again with one --size"
                )

    def __len__(self) -> int:
        """Count the pairs."""
        return len(self._places)

    def __getitem__(self, row: int) -> Sample:
        """Read one pair, as `PairPictures` does, with "style": () int64 and "strength": () float32."""
        part, place = self._places[row]
        known = {"style": torch.tensor(self._number), "strength": torch.tensor(self._strengths[row])}
        return {**self._parts[part][place], **known}


class DrawnPairs(Dataset[Sample]):
    """Pairs of all styles, cut and mirrored as they are drawn."""

    def __init__(self, styles: list[StylePictures], crop_px: int | None) -> None:
        """Set the pairs up.

        Args:
            styles: in the order of their numbers.
            crop_px: side of the squares that are cut out of photo and dream alike; None: the whole pictures.
        """
        self.styles, self._crop_px = styles, crop_px

    def __getitem__(self, draw: Draw) -> Sample:
        """Read a pair: "photo", "dream": (3, h, w) float32 in [0, 1]; "style": () int64; "strength": () float32."""
        pictures = self.styles[draw.style]
        sample = pictures[draw.row]
        for name in ("photo", "dream"):
            if self._crop_px is not None:
                top, left = (
                    int(share * (side - self._crop_px + 1))
                    for share, side in ((draw.top, pictures.height), (draw.left, pictures.width))
                )
                sample[name] = sample[name][:, top : top + self._crop_px, left : left + self._crop_px]
            if draw.flip:
                sample[name] = sample[name].flip(-1)
        return sample


class DreamPairs(DreamData):
    """Photo and dream pairs of dream datasets, for training and validation."""

    def __init__(
        self,
        dataset: str,
        recipe: str | None = None,
        shares: str | None = None,
        batch_size: int = 8,
        crop_px: int | None = None,
        val_pairs: int = 64,
        flip: bool = True,
        num_workers: int = 0,
        seed: int | None = None,
        cache_mib: int = 4096,
    ) -> None:
        """Name the datasets; nothing is read before `setup` or `styles`.

        Args:
            dataset: folder of a dream dataset, or the name of one on the Hugging Face hub; several with commas. Each of
                their recipes is a style to learn, at all of its strengths.
            recipe: which of the recipes to learn, with commas. Default: all.
            shares: how much of each dataset an epoch takes, above 0 and at most 1, one number per dataset with commas;
                other pairs in each epoch. For what is less important or dearer to train on. Default: everything.
            batch_size: pairs per batch and process; a batch is of one style.
            crop_px: train on squares of this side, cut out of photo and dream alike, at another place every time.
                Default: whole pictures.
            val_pairs: whole dreams of each style to validate on, at least 2, evenly spread over the test split, in
                order. 0: no validation.
            flip: mirror half of the training pairs left to right, photo and dream alike.
            num_workers: processes that read ahead.
            seed: of order, crops and flips. Default: --seed_everything, else 0.
            cache_mib: memory of each process for decoded pictures of the training, and as much for the validation, in
                MiB; what does not fit is decoded each time.

        Raises:
            UserError: a number out of range, or not as many shares as datasets.
        """
        super().__init__(dataset, recipe)
        check_least(
            ("batch_size", batch_size, 1),
            ("crop_px", 32 if crop_px is None else crop_px, 32),
            ("val_pairs", val_pairs, 0),
            ("num_workers", num_workers, 0),
            ("seed", seed or 0, 0),
            ("cache_mib", cache_mib, 0),
        )
        if val_pairs == 1:
            raise UserError("val_pairs is 1, and one pair cannot be measured; give at least 2, or 0 for no validation")
        self.shares = _shares(shares, names_of(dataset))
        self.batch_size = batch_size
        self.crop_px = crop_px
        self.val_pairs = val_pairs
        self.flip = flip
        self.num_workers = num_workers
        self.seed = seed or 0
        self.cache_mib = cache_mib
        self.train_pairs: DrawnPairs | None = None
        self.validation_pairs: list[StylePictures] = []

    def setup(self, stage: str | None = None) -> None:
        """Open what the stage needs.

        Args:
            stage: Lightning's "fit" or "validate"; None opens both splits.

        Raises:
            UserError: no dream dataset is there, or its pictures differ in size.
        """
        styles, datasets = self.styles(), names_of(self.dataset)
        allowance = self.cache_mib // len(styles)
        if stage in (None, "fit") and self.train_pairs is None:
            found = [
                StylePictures(rows_of(style.name, datasets, "train"), number, ("photo", "dream"), allowance)
                for number, style in enumerate(styles)
            ]
            self._check_crop(found)
            self.train_pairs = DrawnPairs(found, self.crop_px)
        if self.val_pairs and not self.validation_pairs and stage in (None, "fit", "validate"):
            for number, style in enumerate(styles):
                parts = [self._evenly(part) for part in rows_of(style.name, datasets, "test", 1.0)[:1]]
                if parts:
                    if len(parts[0].rows) == 1:
                        tell_bar(f"{style.name}: {parts[0].dataset} has one pair to validate on, too few to measure")
                    columns = ("photo", "dream", "second_dream")
                    self.validation_pairs.append(StylePictures(parts, number, columns, allowance))

    def train_dataloader(self) -> DataLoader[Sample]:
        """Load the training pairs, shuffled anew each epoch, each batch of one style.

        "photo", "dream": (B, 3, H, W) float32 in [0, 1]; "style": (B,) int64; "strength": (B,) float32. What is
        left over of a style after its last full batch is left out of the epoch.

        Raises:
            RuntimeError: `setup` has not run.
        """
        if self.train_pairs is None:
            raise RuntimeError("call setup('fit') before train_dataloader()")
        styles = [
            [Part(rows, self.shares[dataset]) for dataset, rows in pictures.sizes.items()]
            for pictures in self.train_pairs.styles
        ]
        return training_loader(self, self.train_pairs, styles, self.num_workers)

    def val_dataloader(self) -> list[DataLoader[Sample]]:
        """Load the validation pairs, in order, one loader for each style that has some.

        As in training, with "second_dream" (zeros where there is none) and "has_second": (B,) bool.

        An empty list where there is no test split: Lightning then says so and skips validation.
        """
        return [
            DataLoader(
                pictures,
                batch_size=self.batch_size,
                shuffle=False,
                num_workers=self.num_workers,
                persistent_workers=self.num_workers > 0,
            )
            for pictures in self.validation_pairs
        ]

    def _evenly(self, part: StyleRows) -> StyleRows:
        """So many pairs as are validated on; those with a second dream where there are any."""
        seconds = [row for row, seed in enumerate(part.rows["second_seed"][:]) if seed is not None]
        rows = seconds or range(len(part.rows))
        count = min(self.val_pairs, len(rows))
        chosen = [rows[place * len(rows) // count] for place in range(count)]
        return StyleRows(part.dataset, part.rows.select(chosen), tuple(part.strengths[row] for row in chosen))

    def _check_crop(self, found: list[StylePictures]) -> None:
        sides = {(pictures.width, pictures.height) for pictures in found}
        if self.crop_px is not None and self.crop_px > min(min(side) for side in sides):
            raise UserError(f"crop_px is {self.crop_px}, and the pictures are only {min(min(s) for s in sides)} px")


def _shares(text: str | None, datasets: list[str]) -> dict[str, float]:
    """Dataset to the share of it that an epoch takes."""
    if text is None:
        return dict.fromkeys(datasets, 1.0)
    try:
        shares = [float(share) for share in names_of(text)]
    except ValueError:
        shares = []
    if len(shares) != len(datasets) or not all(0 < share <= 1 for share in shares):
        raise UserError(
            f"shares is {text!r}; it must be one number above 0 and at most 1 for each of the {len(datasets)} datasets"
        )
    return dict(zip(datasets, shares, strict=True))
