"""The guides that a dataset keeps: those that were dreamed of, or none."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from dreamgan.data.guides import read_guides
from dreamgan.errors import UserError
from dreamgan.images import save_png
from tests.data.pair_files import values


@pytest.fixture
def digests(tmp_path: Path) -> str:
    """Two guides of the recipe petals, in a dataset's folder."""
    found = {}
    for number, name in enumerate(("flower", "bee")):
        picture = Image.fromarray(values(number, 0, 40))
        save_png(picture, tmp_path / "guides" / f"petals-{name}.png")
        found[name] = hashlib.sha256(picture.tobytes()).hexdigest()
    return json.dumps(found)


def test_guides_are_read_by_name(tmp_path: Path, digests: str) -> None:
    guides = read_guides(str(tmp_path), "petals", digests)
    assert list(guides) == ["flower", "bee"]
    for number, guide in enumerate(guides.values()):
        assert guide.dtype == torch.float32
        assert torch.equal(guide[0], torch.from_numpy(values(number, 0, 40)).permute(2, 0, 1) / 255)


def test_no_guides() -> None:
    assert read_guides("nowhere", "petals", "{}") == {}


def test_a_guide_that_is_missing_or_no_picture(tmp_path: Path, digests: str) -> None:
    guide = tmp_path / "guides" / "petals-bee.png"
    guide.write_text("no picture")
    with pytest.raises(UserError, match="the guide '.*petals-bee.png' of the dataset"):
        read_guides(str(tmp_path), "petals", digests)
    guide.unlink()
    with pytest.raises(UserError, match="the guide '.*petals-bee.png' of the dataset"):
        read_guides(str(tmp_path), "petals", digests)


def test_a_guide_of_another_recipe_is_another(tmp_path: Path, digests: str) -> None:
    flower, bee = (tmp_path / "guides" / f"petals-{name}.png" for name in ("flower", "bee"))
    bee.write_bytes(flower.read_bytes())
    with pytest.raises(UserError, match="bee.png' is not the guide that 'petals' was dreamed with; copy it anew"):
        read_guides(str(tmp_path), "petals", digests)
