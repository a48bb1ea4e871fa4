"""Pictures as tensors: the pixels of the dataset, kept decoded or not, all of one size."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from dreamgan.data.pairs import load_pairs
from dreamgan.data.pictures import PairPictures
from dreamgan.errors import UserError
from dreamgan.images import load_image
from tests.data.pair_files import SIDE, build, pair, values

COLUMNS = ("photo", "dream", "second_dream")


def opened(folder: Path, *pairs: Any, cache_mib: int = 64, columns: tuple[str, ...] = COLUMNS) -> PairPictures:
    return PairPictures(load_pairs(build(folder, list(pairs), []), "train"), columns, cache_mib)


@pytest.mark.parametrize("cache_mib", [0, 64])
def test_pixels_and_missing_second_dreams(tmp_path: Path, cache_mib: int) -> None:
    pictures = opened(tmp_path, pair(1, second=True), pair(2), cache_mib=cache_mib)
    assert len(pictures) == 2
    assert (pictures.width, pictures.height) == (SIDE, SIDE)
    for row in range(2):
        sample = pictures[row]
        assert sample.keys() == {*COLUMNS, "has_second"}
        assert bool(sample["has_second"]) is (row == 0)
        for kind, name in enumerate(COLUMNS[: 3 - row]):
            assert sample[name].dtype == torch.float32
            assert torch.equal(sample[name], torch.from_numpy(values(row + 1, kind)).permute(2, 0, 1) / 255)
    assert pictures[1]["second_dream"].abs().max() == 0
    assert pictures[1]["second_dream"].shape == (3, SIDE, SIDE)


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    assert opened(tmp_path, pair(1, second=True), columns=("photo", "dream"))[0].keys() == {"photo", "dream"}


def test_what_fits_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def spy(content: Any, *, name: str) -> Any:
        decoded.append(name)
        return load_image(content, name=name)

    monkeypatch.setattr("dreamgan.data.pictures.load_image", spy)
    # 400 pairs of two pictures of 3 KiB are a little more than 2 MiB.
    pairs = [pair(number % 50) for number in range(400)]
    kept = opened(tmp_path / "kept", *pairs, cache_mib=3, columns=("photo", "dream"))
    assert len(decoded) == 800
    assert torch.equal(kept[7]["photo"], kept[7]["photo"])
    assert len(decoded) == 800
    each_time = opened(tmp_path / "each", *pairs, cache_mib=2, columns=("photo", "dream"))
    assert len(decoded) == 800
    assert torch.equal(each_time[7]["photo"], kept[7]["photo"])
    assert len(decoded) == 802


def test_pictures_of_different_sizes_are_refused(tmp_path: Path) -> None:
    odd = dataclasses.replace(pair(1), dream=pair(1, side=40).dream)
    said = "the dream of 'photo-1' is 40x40 px, the first photo 32x32"
    with pytest.raises(UserError, match=said):
        opened(tmp_path / "kept", pair(0), odd)
    # A large dataset is not read once before every training: the rows are looked at as they come.
    pictures = opened(tmp_path / "each", pair(0), odd, cache_mib=0)
    assert pictures[0]["dream"].shape == (3, SIDE, SIDE)
    with pytest.raises(UserError, match=said):
        pictures[1]


@pytest.mark.parametrize("cache_mib", [0, 64])
def test_the_first_row_is_looked_at_at_once(tmp_path: Path, cache_mib: int) -> None:
    odd = dataclasses.replace(pair(0), dream=pair(0, side=40).dream)
    with pytest.raises(UserError, match="the dream of 'photo-0' is 40x40 px, the first photo 32x32"):
        opened(tmp_path, odd, pair(1), cache_mib=cache_mib)


def test_a_picture_that_cannot_be_read_and_no_rows(tmp_path: Path) -> None:
    row = {"photo": {"bytes": b"no picture", "path": None}, "dream": {"bytes": b"", "path": None}, "photo_id": "one"}
    with pytest.raises(UserError, match=r"the photo of 'one' cannot be read \(.*\); make the dataset again"):
        PairPictures(Dataset.from_list([row]), ("photo", "dream"), 64)
    rows = load_pairs(build(tmp_path, [pair(0)], []), "train").select([])
    with pytest.raises(UserError, match="the dream dataset holds no pair"):
        PairPictures(rows, ("photo", "dream"), 64)
