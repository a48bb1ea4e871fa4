"""Dreams alone: which are taken, how they are scaled, and what an epoch shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dreamgan.data.draws import StyleSampler
from dreamgan.data.dreams import DreamPictures
from dreamgan.data.pairs import Pair
from dreamgan.errors import UserError
from tests.data.pair_files import SIDE, build, pair, values

LABELS = ("bee", "cow", "dog")


def grey(number: int, label: str = "", **changes: Any) -> Pair:
    """A pair whose dream's lower half says which it is, and whose photo is 100 levels brighter."""
    dream = np.zeros((SIDE * 2, SIDE * 2, 3), dtype=np.uint8)
    dream[SIDE:] = number
    photo = Image.fromarray(dream + 100)
    return pair(number, label=label, dream=Image.fromarray(dream), photo=photo, **changes)


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    """Ten bees, six cows and four dogs to learn; held out: two bees, two cows and two ants. Some are dreamed half."""
    train = [grey(number, "bee" if number < 10 else "cow" if number < 16 else "dog") for number in range(20)]
    train += [grey(40 + number, "bee", strength=0.5) for number in range(3)]
    test = [grey(60 + number, ("bee", "cow", "ant")[number // 2]) for number in range(6)]
    return build(tmp_path, train, test, ("ant", *LABELS))


def ready(dataset: str, **options: Any) -> DreamPictures:
    module = DreamPictures(dataset, **{"size_px": 32, **options})
    module.setup("fit")
    return module


def numbers_of(pictures: torch.Tensor) -> list[int]:
    """The number in the lower half of each picture, uint8 or in [0, 1]."""
    found = pictures[:, 0, -1, 0]
    return (found if found.dtype == torch.uint8 else (found * 255).round()).int().tolist()


def epoch(module: DreamPictures, number: int) -> list[int]:
    loader = module.train_dataloader()
    assert isinstance(loader.sampler, StyleSampler)
    loader.sampler.set_epoch(number)
    return [each for batch in loader for each in numbers_of(batch["picture"])]


def test_a_batch_holds_whole_dreams_with_style_and_class(dataset: str) -> None:
    module = ready(dataset, batch_size=20)
    assert module.classes() == list(LABELS)
    (batch,) = module.train_dataloader()
    assert batch["picture"].shape == (20, 3, 32, 32)
    assert batch["picture"].dtype == torch.float32
    assert (batch["style"].dtype, batch["class"].dtype) == (torch.int64, torch.int64)
    assert batch["style"].tolist() == [0] * 20
    numbers = numbers_of(batch["picture"])
    assert sorted(numbers) == list(range(20))
    wanted = [0 if number < 10 else 1 if number < 16 else 2 for number in numbers]
    assert batch["class"].tolist() == wanted


def test_pictures_are_scaled_by_areas(tmp_path: Path) -> None:
    levels = values(7, 1, 64)
    dataset = build(tmp_path, [pair(7, side=64)], [])
    (picture,) = ready(dataset).train_pictures.pictures  # type: ignore[union-attr]
    means = levels.reshape(32, 2, 32, 2, 3).astype(float).mean(axis=(1, 3)).transpose(2, 0, 1)
    assert np.abs(picture.numpy() - means).max() <= 0.5001


def test_half_of_the_pictures_are_mirrored(tmp_path: Path) -> None:
    dataset = build(tmp_path, [pair(number) for number in range(40)], [])
    for flip, least, most in ((True, 8, 32), (False, 0, 0)):
        # The first column holds the number of the photo's kind; of a mirrored one the last.
        (batch,) = ready(dataset, batch_size=40, flip=flip).train_dataloader()
        mirrored = int((batch["picture"][:, 0, 0, 0] * 255 >= 99.5).sum())
        assert least <= mirrored <= most


def test_an_epoch_is_a_function_of_seed_and_number(dataset: str) -> None:
    module, again, other = ready(dataset), ready(dataset), ready(dataset, seed=1)
    module.batch_size = again.batch_size = other.batch_size = 5
    assert epoch(module, 0) == epoch(again, 0) != epoch(module, 1)
    assert epoch(other, 0) != epoch(module, 0)
    assert sorted(epoch(module, 3)) == list(range(20))


def test_passes_make_an_epoch_longer(dataset: str) -> None:
    assert sorted(epoch(ready(dataset, batch_size=5, passes=3), 0)) == sorted(3 * list(range(20)))


@pytest.mark.parametrize(
    ("categories", "limit", "counts"),
    [
        (None, 9, [3, 3, 3]),
        (None, 15, [6, 5, 4]),
        (None, 20, [10, 6, 4]),
        ("bee, dog", 8, [4, 4]),
        ("bee,dog", 12, [8, 4]),
        ("cow", 5, [5]),
        ("cow", None, [6]),
    ],
)
def test_a_limit_is_the_same_number_whatever_the_categories(
    dataset: str, categories: str | None, limit: int | None, counts: list[int]
) -> None:
    module = ready(dataset, batch_size=1, categories=categories, limit=limit)
    classes = [int(batch["class"]) for batch in module.train_dataloader()]
    assert sorted((classes.count(number) for number in set(classes)), reverse=True) == counts
    assert module.classes() == [name for name in LABELS if categories is None or name in categories]


def test_validation_is_on_held_out_dreams_and_photos_of_what_was_learnt(dataset: str) -> None:
    dreams, photos = ready(dataset, batch_size=3).val_dataloader()
    assert [numbers_of(batch["picture"]) for batch in dreams] == [[60, 61, 62], [63]]
    assert [numbers_of(batch["picture"]) for batch in photos] == [[160, 161, 162], [163]]
    assert [batch["class"].tolist() for batch in dreams] == [[0, 0, 1], [1]]
    dreams, photos = ready(dataset, categories="cow").val_dataloader()
    assert [numbers_of(batch["picture"]) for batch in dreams] == [[62, 63]]
    # Of what was learnt nothing was held out: then all of it is compared with.
    dreams, photos = ready(dataset, categories="dog", val_pictures=3).val_dataloader()
    assert [numbers_of(batch["picture"]) for batch in photos] == [[160, 162, 164]]


def test_a_photo_of_several_dreams_counts_once(tmp_path: Path) -> None:
    test = [grey(60 + number, recipe=recipe) for recipe in ("one", "two") for number in range(3)]
    dataset = build(tmp_path, [grey(number, recipe=name) for number, name in enumerate(("one", "two"))], test)
    module = ready(dataset)
    dreams, photos = module.val_dataloader()
    assert [batch["style"].tolist() for batch in dreams] == [[0, 0, 0, 1, 1, 1]]
    assert [numbers_of(batch["picture"]) for batch in photos] == [[160, 161, 162]]
    (batch,) = ready(dataset, recipe="two", batch_size=1).train_dataloader()
    assert numbers_of(batch["picture"]) == [1]


def test_without_a_test_split_or_wish_there_is_no_validation(tmp_path: Path, dataset: str) -> None:
    assert ready(dataset, val_pictures=0).val_dataloader() == []
    assert ready(build(tmp_path / "other", [grey(1)], [])).val_dataloader() == []


def test_one_photo_is_too_few_to_validate_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ready(build(tmp_path, [grey(1)], [grey(2)])).val_dataloader() == []
    assert "has one photo to validate on, too few to measure" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size_px": 31}, "size_px is 31; it must be at least 32"),
        ({"size_px": 128}, "is 64x64 px; a square of at least 128 px is needed"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"limit": 0}, "limit is 0"),
        ({"limit": 21}, "limit is 21, and there are only 20 dreams"),
        ({"passes": 0}, "passes is 0"),
        ({"val_pictures": -1}, "val_pictures is -1"),
        ({"val_pictures": 1}, "val_pictures is 1, and one picture cannot be measured"),
        ({"categories": "bee,wasp"}, "there is no category 'wasp', only bee, cow, dog"),
        ({"recipe": "other"}, "there is no recipe 'other'"),
    ],
)
def test_what_cannot_be_learnt(dataset: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ready(dataset, **options)


def test_dreams_of_half_strength_alone_are_none(tmp_path: Path) -> None:
    dataset = build(tmp_path, [grey(1, strength=0.5)], [])
    with pytest.raises(UserError, match="no dream of strength 1"):
        ready(dataset)
