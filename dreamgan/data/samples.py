"""The sample photographs: those that scikit-image and scikit-learn carry, cut into crops."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from dreamgan.data.photos import Box, FileCrop, Photo, PhotoSet
from dreamgan.errors import UserError

# Colour photographs of real things. Left out: `motorcycle_right` (the stereo twin of `motorcycle_left`, so
# it would leak across the split), microscope slides, the retina, drawings and everything grey.
SAMPLE_PHOTOS: Mapping[str, tuple[str, str]] = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "hubble_deep_field": ("skimage", "data/hubble_deep_field.jpg"),
    "motorcycle_left": ("skimage", "data/motorcycle_left.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
SMALLEST_CROP = 0.35  # of the shorter side: below that a crop shows texture rather than a thing
CANDIDATES_PER_CROP = 24


def photo_file(name: str) -> Path:
    """Where a sample photograph is.

    Args:
        name: one of `SAMPLE_PHOTOS`.

    Raises:
        UserError: its package or the file is missing.
    """
    package, inside = SAMPLE_PHOTOS[name]
    path = _package_folder(package) / inside
    if not path.is_file():
        raise UserError(f'sample photograph {path} is missing; pip install --force-reinstall "dreamgan[samples]"')
    return path


def sample_crops(size_px: int, crops: int, seed: int) -> PhotoSet:
    """Cut the sample photographs into crops; a crop's class and source are its photograph.

    Args:
        size_px: no crop is smaller where the photograph allows it.
        crops: per photograph; there are fewer where it does not hold so many different ones.
        seed: of the crops' places.

    Raises:
        UserError: a package or one of its files is missing.
    """
    photos: list[Photo] = []
    for name in SAMPLE_PHOTOS:
        path = photo_file(name)
        with Image.open(path) as picture:  # reads the header only
            width, height = picture.size
        for number, box in enumerate(_crop_boxes(name, width, height, size_px, crops, seed)):
            photo_id = f"{name}-{number:02d}"
            photos.append(Photo(photo_id, name, name, FileCrop(path, box), f"{path.name}, crop {number:02d}"))
    return PhotoSet("samples", tuple(photos))


def _package_folder(package: str) -> Path:
    # The packages are located, not imported: their import takes seconds and their files are all that is
    # wanted.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f'the sample photographs need {package}; pip install "dreamgan[samples]"')
    return Path(spec.submodule_search_locations[0])


def _crop_boxes(name: str, width: int, height: int, size_px: int, crops: int, seed: int) -> list[Box]:
    """Place square boxes, the largest first, each the farthest of its candidates from those before."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    shorter = min(width, height)
    smallest = min(shorter, max(size_px, round(SMALLEST_CROP * shorter)))
    boxes: list[Box] = []
    seen: list[tuple[float, float, float]] = []
    for side in np.geomspace(shorter, smallest, crops).round().astype(int).tolist():
        farthest, chosen = 0.0, None
        for _ in range(CANDIDATES_PER_CROP):
            left = int(generator.integers(0, width - side + 1))
            upper = int(generator.integers(0, height - side + 1))
            # Distance in units of the crop, so that a small crop inside a large one counts as another
            # picture.
            here = ((left + side / 2) / side, (upper + side / 2) / side, float(np.log(side)))
            nearest = min(
                (np.hypot(*np.subtract(here[:2], (x / side, y / side))) + abs(here[2] - s) for x, y, s in seen),
                default=1.0,
            )
            if nearest > farthest:
                farthest, chosen = nearest, (left, upper, left + side, upper + side)
        if chosen is not None:
            boxes.append(chosen)
            seen.append(((chosen[0] + chosen[2]) / 2, (chosen[1] + chosen[3]) / 2, float(np.log(side))))
    return boxes
