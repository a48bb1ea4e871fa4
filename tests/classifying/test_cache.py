from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from dreamgan.classifying import cache
from dreamgan.classifying.cache import cached_features
from dreamgan.classifying.sets import Labelled, find_labelled
from tests.classifying.conftest import MakeClasses


@pytest.fixture
def photos(make_classes: MakeClasses, tmp_path: Path) -> Labelled:
    folder = make_classes({"ant": 5, "bee": 5})
    return find_labelled(str(folder), val_last=1, folder=tmp_path / "scans").train


class Counting:
    """Answers with the mean colour, and counts the pictures; dies after so many."""

    def __init__(self, dies_after: int = 10**9) -> None:
        self.seen, self.dies_after = 0, dies_after

    def __call__(self, pictures: Tensor) -> Tensor:
        self.seen += len(pictures)
        if self.seen > self.dies_after:
            raise KeyboardInterrupt
        return pictures.mean((2, 3))


def features(photos: Labelled, folder: Path, frozen: Counting, view: int = 0, **facts: object) -> Tensor:
    found, seconds = cached_features(
        frozen, {"network": "mean", **facts}, photos, size_px=32, view=view, seed=0, folder=folder, batch=2
    )
    assert seconds > 0  # also of what was computed before
    return found


def test_computed_once_and_again_after_a_kill(
    photos: Labelled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "PART_PHOTOS", 3)
    whole = features(photos, tmp_path / "a", Counting())
    assert whole.shape == (8, 3)
    killed, after, again = Counting(5), Counting(), Counting()
    with pytest.raises(KeyboardInterrupt):
        features(photos, tmp_path / "b", killed)
    assert torch.equal(features(photos, tmp_path / "b", after), whole)
    assert after.seen == 5  # the first part of three was kept
    features(photos, tmp_path / "b", again)
    assert again.seen == 0


def test_another_network_or_view_is_another_key(photos: Labelled, tmp_path: Path) -> None:
    plain = features(photos, tmp_path, Counting())
    other = Counting()
    assert torch.equal(features(photos, tmp_path, other, weights="other"), plain)
    assert other.seen == 8
    mirrored = features(photos, tmp_path, Counting(), view=1)
    assert torch.allclose(mirrored, plain, atol=1e-4)  # the mean colour does not see it
    assert not torch.allclose(features(photos, tmp_path, Counting(), view=2), plain, atol=1e-3)


def test_a_damaged_file_is_computed_again(photos: Labelled, tmp_path: Path) -> None:
    whole = features(photos, tmp_path, Counting())
    (file,) = tmp_path.glob("*/view0-*.safetensors")
    file.write_bytes(file.read_bytes()[:50])
    assert torch.equal(features(photos, tmp_path, Counting()), whole)


def test_other_pictures_of_the_same_names_and_sizes_are_other_photos(make_classes: MakeClasses, tmp_path: Path) -> None:
    folder = make_classes({"ant": 5, "bee": 5})
    answers = []
    for colour in (0, 200):
        for file in sorted(folder.rglob("*.*")):
            Image.new("RGB", (40, 40), (colour, 0, 0)).save(file.with_suffix(".bmp"))
            if file.suffix != ".bmp":
                file.unlink()
        found = find_labelled(str(folder), val_last=1, folder=tmp_path / "scans").train
        answers.append(features(found, tmp_path / "kept", Counting()))
    assert not torch.equal(answers[0], answers[1])
