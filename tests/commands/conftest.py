from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakePhotos = Callable[..., Path]


@pytest.fixture
def make_photos(tmp_path: Path) -> MakePhotos:
    """Write noisy pictures, of 48x40 px unless said otherwise, each different, into a folder."""

    def make(*names: str, size: tuple[int, int] = (48, 40), folder: str = "photos") -> Path:
        for name in names:
            target = tmp_path / folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            rng = np.random.default_rng(list(name.encode()))
            small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            small.resize(size, Image.Resampling.BICUBIC).save(target)
        return tmp_path / folder

    return make
