"""The pictures of the pairs of a dream dataset, as tensors."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from dreamgan.errors import UserError
from dreamgan.images import load_image, to_unit

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

    def __getitem__(self, row: int) -> Sample:
        """Read one pair.

        Args:
            row: its number.

        Returns:
            "photo", "dream": (3, H, W) float32 in [0, 1]. With the column "second_dream" that too (zeros
            where there is none) and "has_second": () bool.

        Raises:
            UserError: a picture of the row cannot be read or has another size than the first photo.
        """
        pictures = self._decode(self._rows[row]) if self._decoded is None else self._decoded[row]
        sample = {name: picture.float() / 255 for name, picture in pictures.items()}
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


def scaled_pictures(rows: Any, column: str, size_px: int) -> Tensor:
    """Read the pictures of a column and scale them down, each pixel the mean of the area that it covers.

    Args:
        rows: a `datasets.Dataset` from `load_pairs`.
        column: "photo" or "dream".
        size_px: side of what comes out.

    Returns:
        (N, 3, size_px, size_px) uint8.

    Raises:
        UserError: a picture cannot be read, is not square, or is smaller.
    """
    import datasets

    rows = rows.select_columns([column, "photo_id"]).cast_column(column, datasets.Image(decode=False))
    found = torch.empty(len(rows), 3, size_px, size_px, dtype=torch.uint8)
    for number, row in enumerate(rows):
        name = f"{column} of {row['photo_id']}"
        picture = to_unit(load_image(row[column]["bytes"], name=name).picture)
        height, width = picture.shape[-2:]
        if height != width or height < size_px:
            raise UserError(f"the {name} is {width}x{height} px; a square of at least {size_px} px is needed")
        found[number] = (F.interpolate(picture[None], size=size_px, mode="area")[0] * 255).round().byte()
    return found
