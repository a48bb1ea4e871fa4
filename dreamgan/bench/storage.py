"""Ways to store the pictures of a dataset: bytes, time, and what a lossy one would do to the measures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dreamgan.bench.measure import alternate
from dreamgan.bench.table import Columns, Row
from dreamgan.data.pairs import Pair
from dreamgan.dream import score
from dreamgan.images import to_unit
from dreamgan.lit.dream_job import Teacher
from dreamgan.metrics import cosines, feature_vectors

STORED = "WebP lossless, method 1, effort 0"
# What Pillow's `save` is told. "Effort" is what it calls the quality of a lossless WebP.
WAYS: Mapping[str, Mapping[str, Any]] = {
    "PNG, level 1": {"format": "PNG", "compress_level": 1},
    "PNG, level 6": {"format": "PNG", "compress_level": 6},
    "PNG, level 9": {"format": "PNG", "compress_level": 9},
    "WebP lossless, method 0, effort 0": {"format": "WEBP", "lossless": True, "quality": 0, "method": 0},
    STORED: {"format": "WEBP", "lossless": True, "quality": 0, "method": 1},
    "WebP lossless, method 1, effort 20": {"format": "WEBP", "lossless": True, "quality": 20, "method": 1},
    "WebP lossless, method 4, effort 0": {"format": "WEBP", "lossless": True, "quality": 0, "method": 4},
    "WebP lossless, method 4, effort 80": {"format": "WEBP", "lossless": True, "quality": 80, "method": 4},
    "WebP, quality 95": {"format": "WEBP", "quality": 95, "method": 4},
    "JPEG 4:4:4, quality 95": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "JPEG 4:4:4, quality 98": {"format": "JPEG", "quality": 98, "subsampling": 0},
}
STORAGE: Columns = (
    ("way", "way", 34, None),
    ("pictures", "of", 6, None),
    ("bytes", "bytes", 7, 0),
    ("encode_ms", "encode ms", 9, 2),
    ("decode_ms", "decode ms", 9, 2),
    ("psnr_db", "PSNR dB", 7, 1),
    ("score_change", "score", 8, 5),
    ("cosine", "cosine", 7, 4),
    ("cosine_change", "change", 9, 5),
)
_MEASURED_AT_A_TIME = 8


def encode(picture: Image.Image, way: Mapping[str, Any]) -> bytes:
    """The file that Pillow makes of an RGB picture."""
    buffer = BytesIO()
    picture.save(buffer, **way)
    return buffer.getvalue()


def decode(content: bytes) -> Image.Image:
    """The RGB picture in a file, as the `datasets` library reads it."""
    with Image.open(BytesIO(content)) as picture:
        return picture.convert("RGB")


def measure_storage(
    pairs: Sequence[Pair],
    teacher: Teacher,
    device: torch.device,
    repeats: int,
    ways: Mapping[str, Mapping[str, Any]] = WAYS,
) -> list[Row]:
    """Store photos and dreams in all ways.

    Args:
        pairs: Each with a second dream.
        teacher: Gives the score and the features, of the recipe's deepest layer.
        device: Where these are computed.
        repeats: Timed turns.
        ways: What to compare.

    Returns:
        Two rows for each way, of photos and of dreams. Bytes and milliseconds are of one picture, the mean over all;
        ``psnr_db`` is of the mean squared error over all, None without loss; ``score_change`` the mean relative
        change of the recipe's objective; ``cosine`` that of the features of dream and second dream, both stored, and
        ``cosine_change`` what it differs from that without loss, both None of photos.
    """
    second = [pair.second_dream for pair in pairs if pair.second_dream is not None]
    pictures = {"photos": [pair.photo for pair in pairs], "dreams": [pair.dream for pair in pairs], "second": second}
    files = {
        (name, kind): [encode(picture, way) for picture in some]
        for name, way in ways.items()
        for kind, some in pictures.items()
    }
    timed = _times(ways, pictures, files, repeats)
    extractor, recipe = teacher.extractor.to(device), teacher.recipe
    guides = {name: guide.to(device) for name, guide in teacher.guides.items()}

    def scores(some: Sequence[Image.Image]) -> Tensor:
        return _over(some, device, lambda images: score(images, extractor, recipe, guides=guides))

    def cosine(first: Sequence[Image.Image], other: Sequence[Image.Image]) -> float:
        vectors = [_over(some, device, lambda i: feature_vectors(i, extractor, recipe)) for some in (first, other)]
        return float(cosines(*vectors).double().mean())

    true_scores = {kind: scores(some) for kind, some in pictures.items()}
    true_cosine = cosine(pictures["dreams"], pictures["second"])
    rows: list[Row] = []
    for name in ways:
        stored = {kind: [decode(content) for content in files[name, kind]] for kind in pictures}
        found = cosine(stored["dreams"], stored["second"])
        for kind in ("photos", "dreams"):
            ratio = scores(stored[kind]) / true_scores[kind]
            rows.append(
                {
                    "case": "storage",
                    "way": name,
                    "pictures": kind,
                    "bytes": statistics.mean(map(len, files[name, kind])),
                    "encode_ms": timed["encode", name, kind],
                    "decode_ms": timed["decode", name, kind],
                    "psnr_db": psnr(pictures[kind], stored[kind]),
                    "score_change": float(ratio.double().mean()) - 1,
                    "cosine": found if kind == "dreams" else None,
                    "cosine_change": found - true_cosine if kind == "dreams" else None,
                }
            )
    return rows


def psnr(pictures: Sequence[Image.Image], stored: Sequence[Image.Image]) -> float | None:
    """Peak signal to noise in dB, of the mean squared error over all pictures; None where they are the same."""
    errors = [
        np.square(np.asarray(picture, np.float64) - np.asarray(other, np.float64)).mean()
        for picture, other in zip(pictures, stored, strict=True)
    ]
    error = statistics.mean(errors)
    return 10 * math.log10(255**2 / error) if error else None


def _times(
    ways: Mapping[str, Mapping[str, Any]],
    pictures: Mapping[str, Sequence[Image.Image]],
    files: Mapping[tuple[str, str], Sequence[bytes]],
    repeats: int,
) -> dict[tuple[str, str, str], float]:
    """Milliseconds per picture by direction, way and kind of picture; all take turns."""
    functions: dict[tuple[str, str, str], Callable[[], object]] = {}
    for name, way in ways.items():
        for kind in ("photos", "dreams"):
            functions["encode", name, kind] = partial(_each, partial(encode, way=way), pictures[kind])
            functions["decode", name, kind] = partial(_each, decode, files[name, kind])
    seconds = alternate({"|".join(key): function for key, function in functions.items()}, repeats)
    return {key: 1000 * statistics.median(seconds["|".join(key)]) / len(pictures[key[2]]) for key in functions}


def _each(function: Callable[[Any], object], items: Sequence[Any]) -> None:
    for item in items:
        function(item)


def _over(pictures: Sequence[Image.Image], device: torch.device, function: Callable[[Tensor], Tensor]) -> Tensor:
    """A function of images (B, 3, H, W) in [0, 1], over some pictures at a time."""
    images = torch.stack([to_unit(picture) for picture in pictures])
    with torch.no_grad():
        return torch.cat([function(some.to(device)) for some in torch.split(images, _MEASURED_AT_A_TIME)])
