"""Pictures of noise, and files of them, for the tests of photo sources."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from dreamgan.data.photos import PhotoSet


def picture(seed: int, width: int = 48, height: int = 40) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def content(seed: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture(seed).save(buffer, kind)
    return buffer.getvalue()


def save(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path)
    return path


def seed_of(photo_set: PhotoSet, photo_id: str) -> int:
    """The seed of the picture that a photo of the set turns out to be."""
    photo = next(photo for photo in photo_set.photos if photo.photo_id == photo_id)
    pixels = np.asarray(photo_set.open(photo).picture)
    return next(seed for seed in range(100) if np.array_equal(pixels, np.asarray(picture(seed))))
