from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeClasses = Callable[..., Path]


@pytest.fixture
def make_classes(tmp_path: Path) -> MakeClasses:
    """Write noisy pictures, each different, into one folder per class."""

    def make(counts: dict[str, int], folder: str = "set") -> Path:
        for label, count in counts.items():
            (tmp_path / folder / label).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                rng = np.random.default_rng(list(f"{folder}{label}{number}".encode()))
                small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
                small.resize((44, 40)).save(tmp_path / folder / label / f"{number:02d}.png")
        return tmp_path / folder

    return make
