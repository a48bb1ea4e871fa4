"""Small dream datasets whose pictures say which they are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from dreamgan.data.pairs import Pair, compact, write_unit

SIDE = 32


def values(number: int, kind: int, side: int = SIDE) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture whose first pixels say which it is, whether mirrored or not."""
    found = np.random.default_rng([number, kind]).integers(0, 256, (side, side, 3), dtype=np.uint8)
    found[:, 0] = number
    found[:, -1] = number + 100
    return found


def numbers(batch: dict[str, Tensor]) -> list[tuple[int, bool]]:
    """Number of each photo and whether it is mirrored, read from whole pictures themselves."""
    edge = (batch["photo"][:, 0, 0, 0] * 255).round().int().tolist()
    return [(value, False) if value < 100 else (value - 100, True) for value in edge]


def pair(
    number: int,
    *,
    second: bool = False,
    side: int = SIDE,
    recipe: str = "distillable",
    strength: float = 1.0,
    octaves: int = 3,
    label: str = "",
    **changes: Any,
) -> Pair:
    photo, dream, again = (Image.fromarray(values(number, kind, side)) for kind in range(3))
    facts: dict[str, Any] = {
        "photo": photo,
        "dream": dream,
        "second_dream": again if second else None,
        "label": label,
        "photo_id": f"photo-{number}",
        "source_id": f"photo-{number}",
        "photo_sha256": "",
        "recipe": recipe,
        "strength": strength,
        "recipe_json": json.dumps({"octaves": octaves}),
        "backbone": "squeezenet1_1",
        "layers": ("features.9", "features.12"),
        "weights": "mine",
        "weights_sha256": "cd" * 32,
        "guides": {},
        "seed": 0,
        "second_seed": 1 if second else None,
        "score_before": 0.0,
        "score_after": 1.0,
    }
    return Pair(**{**facts, **changes})


def build(folder: Path, train: list[Pair], test: list[Pair], labels: tuple[str, ...] = ()) -> str:
    write_unit(folder / "a.parquet", train, "train")
    write_unit(folder / "b.parquet", test, "test")
    compact([folder / "a.parquet", folder / "b.parquet"], folder / "dreams" / "data", labels=labels)
    return str(folder / "dreams")
