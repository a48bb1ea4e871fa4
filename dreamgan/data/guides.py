"""The guide pictures that a dream dataset keeps beside its pairs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from torch import Tensor

from dreamgan.errors import UserError
from dreamgan.images import load_image, to_unit


def read_guides(dataset: str, recipe: str, digests: str) -> dict[str, Tensor]:
    """Read the guide pictures of a recipe.

    Args:
        dataset: Folder of the dream dataset.
        recipe: Its name there.
        digests: The column `guides` of one of its pairs: JSON of name → SHA-256 of the pixels.

    Returns:
        Name → picture, (1, 3, h, w) float32 in [0, 1].

    Raises:
        UserError: If a picture is missing, cannot be read or is another.
    """
    guides: dict[str, Tensor] = {}
    for name, digest in json.loads(digests).items():
        file = Path(dataset).expanduser() / "guides" / f"{recipe}-{name}.png"
        picture = load_image(file, name=f"the guide '{file}' of the dataset").picture
        if hashlib.sha256(picture.tobytes()).hexdigest() != digest:
            raise UserError(f"'{file}' is not the guide that {recipe!r} was dreamed with; copy it anew")
        guides[name] = to_unit(picture)[None].to(torch.float32)
    return guides
