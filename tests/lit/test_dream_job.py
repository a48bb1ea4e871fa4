"""The dream stage: reading ahead, cutting alike, writing behind."""

import errno
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import Trainer

from dreamgan.backbones import load_extractor
from dreamgan.commands.quiet import quiet_lightning
from dreamgan.data.pairs import is_unit, unit_rejects, write_unit
from dreamgan.data.photos import PhotoSet
from dreamgan.data.sources import find_photos
from dreamgan.dream import get_recipe
from dreamgan.images import LoadedImage
from dreamgan.lit import dream_job
from dreamgan.lit.dream_job import UNITS_AHEAD, Cut, DreamJob, Teacher, UnitPhotos, UnitWriter, WorkUnit


@pytest.fixture
def photo_set(tmp_path: Path) -> PhotoSet:
    (tmp_path / "photos").mkdir()
    for number in range(12):
        rng = np.random.default_rng(number)
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        small.resize((48, 40), Image.Resampling.BICUBIC).save(tmp_path / "photos" / f"{number:02d}.png")
    return find_photos(str(tmp_path / "photos"), size_px=32)


def units_of(folder: Path, count: int = 6) -> list[WorkUnit]:
    return [
        WorkUnit("train", 0, 1.0, False, (2 * k, 2 * k + 1), (f"{2 * k}", f"{2 * k + 1}"), folder / f"{k}.parquet")
        for k in range(count)
    ]


def job_of(photo_set: PhotoSet, units: list[WorkUnit], size_px: int = 32) -> DreamJob:
    recipe = get_recipe("distillable", "squeezenet1_1", layers="features.4", octaves=1, steps=(1,))
    extractor = load_extractor("squeezenet1_1", recipe.layer_names, weights="random")
    cut = Cut(size_px, 32, random=False, seed=0)
    teacher = Teacher(recipe, extractor, {}, {})
    return DreamJob([teacher], photo_set, units, cut, seed=0, second_seed=1, threads=1)


def predict(job: DreamJob, writer: UnitWriter) -> None:
    with quiet_lightning():
        Trainer(
            accelerator="cpu",
            devices=1,
            inference_mode=False,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            callbacks=[writer],
        ).predict(job, return_predictions=False)


def test_units_come_in_order_read_ahead_but_not_all_at_once(photo_set: PhotoSet, tmp_path: Path) -> None:
    opened: list[str] = []

    class Watched(PhotoSet):
        def open(self, photo: Any) -> LoadedImage:
            opened.append(photo.photo_id)
            return super().open(photo)

    watched = Watched(photo_set.name, photo_set.photos)
    units = units_of(tmp_path)
    came: Iterator[Any] = iter(UnitPhotos(units, watched, 32))
    first = next(came)
    assert first.unit is units[0]
    assert first.images.shape == (2, 3, 32, 32)
    assert [photo.photo_id for photo in first.photos] == ["00", "01"]
    assert len(opened) <= 2 * (UNITS_AHEAD + 1)
    assert [loaded.unit for loaded in came] == units[1:]
    assert sorted(opened) == [f"{number:02d}" for number in range(12)]


def test_a_photo_that_went_bad_after_the_scan_is_a_reject_of_its_unit(photo_set: PhotoSet, tmp_path: Path) -> None:
    (tmp_path / "photos" / "03.png").write_text("no picture any more")
    loaded = list(UnitPhotos(units_of(tmp_path), photo_set, 32))
    assert [len(each.photos) for each in loaded] == [2, 1, 2, 2, 2, 2]
    assert loaded[1].sha256 == ("2",)
    (reject,) = loaded[1].rejects
    assert reject.name == "03.png"


def test_the_cut_is_the_same_for_photo_and_dream_and_another_for_every_photo() -> None:
    centre = Cut(32, 41, random=False, seed=0)
    assert centre.corner("a") == centre.corner("b") == (4, 4)
    assert Cut(32, 32, random=True, seed=0).corner("a") == (0, 0)
    places = {Cut(32, 40, random=True, seed=0).corner(f"{number}") for number in range(400)}
    assert {y for y, _ in places} == {x for _, x in places} == set(range(9))
    assert Cut(32, 96, random=True, seed=0).corner("a") != Cut(32, 96, random=True, seed=1).corner("a")


def test_every_unit_is_written_before_the_job_ends(photo_set: PhotoSet, tmp_path: Path) -> None:
    units = units_of(tmp_path / "units")
    predict(job_of(photo_set, units), UnitWriter())
    assert all(is_unit(unit.path) for unit in units)
    assert all(unit_rejects(unit.path) == [] for unit in units)


def test_writing_happens_beside_dreaming_and_waits_for_no_more_than_some_units(
    photo_set: PhotoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dreamed, writing, go = [], [], threading.Event()
    real = write_unit

    def slow(path: Path, *args: Any, **kwargs: Any) -> None:
        writing.append(path.stem)
        assert go.wait(60)
        real(path, *args, **kwargs)

    class Counting(DreamJob):
        def predict_step(self, batch: Any, *args: Any) -> Any:
            dreamed.append(batch.unit.path.stem)
            if len(dreamed) == UNITS_AHEAD + 1:
                # So many were dreamed while the first was still being written: no more than may wait.
                assert set(writing) <= {"0", "1"}
                go.set()
            return super().predict_step(batch, *args)

    monkeypatch.setattr(dream_job, "write_unit", slow)
    job = job_of(photo_set, units_of(tmp_path / "units"))
    job.__class__ = Counting
    predict(job, UnitWriter())
    assert sorted(writing) == dreamed == ["0", "1", "2", "3", "4", "5"]


def test_a_write_that_fails_ends_the_run_with_its_error(
    photo_set: PhotoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = write_unit

    def fails(path: Path, *args: Any, **kwargs: Any) -> None:
        if path.stem == "5":  # the last one: nobody comes after it to notice
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real(path, *args, **kwargs)

    monkeypatch.setattr(dream_job, "write_unit", fails)
    units = units_of(tmp_path / "units")
    with pytest.raises(OSError, match="No space left"):
        predict(job_of(photo_set, units), UnitWriter())
    assert [is_unit(unit.path) for unit in units] == [True] * 5 + [False]


def test_what_was_dreamed_is_written_when_something_else_goes_wrong(photo_set: PhotoSet, tmp_path: Path) -> None:
    class Failing(DreamJob):
        def predict_step(self, batch: Any, *args: Any) -> Any:
            if batch.unit.path.stem == "3":
                raise RuntimeError("a bug")
            return super().predict_step(batch, *args)

    units = units_of(tmp_path / "units")
    job = job_of(photo_set, units)
    job.__class__ = Failing
    with pytest.raises(RuntimeError, match="a bug"):
        predict(job, UnitWriter())
    assert [is_unit(unit.path) for unit in units] == [True] * 3 + [False] * 3


def test_neighbours_in_a_unit_change_no_bit(photo_set: PhotoSet, tmp_path: Path) -> None:
    alone, other = units_of(tmp_path, 1)[0], units_of(tmp_path, 1)[0]
    job = job_of(photo_set, [])
    results = []
    for unit in (replace(alone, photos=(0, 1)), replace(other, photos=(0, 7))):
        (loaded,) = UnitPhotos([unit], photo_set, 32)
        first = job.predict_step(loaded).first
        assert first is not None
        results.append(first)
    assert torch.equal(results[0].images[0], results[1].images[0])
    assert not torch.equal(results[0].images[1], results[1].images[1])
