from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny pictures gain nothing from threads, and lose much where the machine is busy."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder `shared` beside the checkout: real photos and further weights, where somebody put them."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs a folder 'shared' beside the checkout")
    return folder


@pytest.fixture
def photo() -> Image.Image:
    """A colour picture of 64x48 px with gradients, edges and a disc; the same in every run, no symmetry."""
    y, x = np.mgrid[0:48, 0:64].astype(np.float64)
    red = 40 + 180 * x / 63
    green = 200 - 150 * y / 47
    blue = 128 + 60 * np.sin(x / 5) * np.cos(y / 7)
    picture = np.stack([red, green, blue], axis=-1)
    picture[(x - 44) ** 2 + (y - 16) ** 2 < 90] = (230, 60, 40)
    picture[30:42, 6:22] = (20, 40, 90)
    return Image.fromarray(np.rint(picture).astype(np.uint8))
