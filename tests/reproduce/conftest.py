from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageOps

from dreamgan.reproduce.report import Experiment

MakeJob = Callable[..., Experiment]


@pytest.fixture
def two_photos(tmp_path: Path, photo: Image.Image) -> tuple[Path, Path]:
    """Two unlike pictures of 40x40 px in files."""
    files = (tmp_path / "photos" / "one.png", tmp_path / "photos" / "two.png")
    files[0].parent.mkdir()
    photo.crop((0, 0, 40, 40)).save(files[0])
    ImageOps.invert(photo).crop((24, 8, 64, 48)).save(files[1])
    return files


@pytest.fixture
def make_job(tmp_path: Path, two_photos: tuple[Path, Path]) -> MakeJob:
    """An order of a few steps on both photos and SqueezeNet with random weights; keywords replace its fields."""

    def make(**fields: Any) -> Experiment:
        usual: dict[str, Any] = {
            "photos": two_photos,
            "weights": "random",
            "backbone": "squeezenet1_1",
            "out": tmp_path / "out",
            "steps": 3,
            "max_side": 40,
            "seed": 0,
            "device": torch.device("cpu"),
        }
        return Experiment(**{**usual, **fields})

    return make
