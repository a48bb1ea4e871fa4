"""The benchmark of the dataset stage: the same work on both sides of each comparison, its sums by hand, its JSON."""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from dreamgan.bench import dataset as bench
from dreamgan.bench import growth, stage
from dreamgan.bench.growth import measure_growth, write_photos
from dreamgan.bench.measure import Usage
from dreamgan.bench.stage import COMMAND, DREAMS, ENGINE, READING, STAGE, WRITING, Stage, covered, time_stage
from dreamgan.bench.storage import STORED, WAYS, decode, encode, measure_storage, psnr
from dreamgan.cli import main
from dreamgan.commands.quiet import quiet_lightning
from dreamgan.data.pairs import Pair, write_unit
from dreamgan.data.sources import find_photos
from dreamgan.dream import DreamResult, dream, score
from dreamgan.images import load_image, to_unit
from dreamgan.lit import dream_job
from dreamgan.lit.dream_job import UNITS_AHEAD, FinishedUnit, Teacher
from dreamgan.making.mix import DreamEntry, make_ready
from dreamgan.metrics import cosines, feature_vectors

CPU = torch.device("cpu")
MIB = 1024**2
COMMAND_FLAGS: dict[str, Any] = {
    "backbone": "squeezenet1_1",
    "layers": "features.4",
    "weights": "random",
    "strengths": [1.0],
    "size": 32,
    "batch": 2,
    "threads": 1,
    "device": "cpu",
    "test_fraction": 0.0,
}


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    (kind,) = make_ready([DreamEntry(backbone="squeezenet1_1", layers="features.4", weights="random")], dream_px=32)
    return kind.teacher


@pytest.fixture
def five(tmp_path: Path, teacher: Teacher) -> Stage:
    write_photos(tmp_path / "photos", 5)
    return Stage(find_photos(str(tmp_path / "photos"), size_px=32), teacher, 32, 2, CPU, 1)


@pytest.fixture
def pairs(five: Stage) -> list[Pair]:
    return five.pairs()


# Storage


def test_what_is_called_stored_is_what_the_dataset_stores(pairs: list[Pair], tmp_path: Path) -> None:
    write_unit(tmp_path / "unit.parquet", pairs, "train")
    table = pq.read_table(tmp_path / "unit.parquet")
    for column in ("photo", "dream", "second_dream"):
        stored = [cell["bytes"] for cell in table[column].to_pylist()]
        assert stored == [encode(getattr(pair, column), WAYS[STORED]) for pair in pairs]


@pytest.mark.parametrize("way", WAYS)
def test_a_way_is_without_loss_if_it_says_so(way: str, photo: Image.Image) -> None:
    same = decode(encode(photo, WAYS[way])).tobytes() == photo.tobytes()
    assert same == ("lossless" in way or "PNG" in way)


def test_psnr_by_hand() -> None:
    grey, lighter = (Image.new("RGB", (4, 4), (level,) * 3) for level in (100, 105))
    assert psnr([grey], [grey]) is None
    # One of two pictures is off by 5 everywhere.
    assert psnr([grey, grey], [grey, lighter]) == pytest.approx(10 * math.log10(255**2 / 12.5))


def test_storage_rows_hold_what_the_files_hold(pairs: list[Pair], teacher: Teacher) -> None:
    ways = {STORED: WAYS[STORED], "bad JPEG": {"format": "JPEG", "quality": 20}}
    rows = measure_storage(pairs, teacher, CPU, 1, ways)
    assert [(row["way"], row["pictures"]) for row in rows] == [(way, k) for way in ways for k in ("photos", "dreams")]
    for row in rows[:2]:
        assert row["psnr_db"] is None
        assert row["score_change"] == 0
    assert rows[1]["cosine_change"] == 0

    dreams = [pair.dream for pair in pairs]
    seconds = [pair.second_dream for pair in pairs if pair.second_dream is not None]
    files = {"first": [encode(each, ways["bad JPEG"]) for each in dreams]}
    files["second"] = [encode(each, ways["bad JPEG"]) for each in seconds]
    row = rows[3]
    assert row["bytes"] == np.mean([len(file) for file in files["first"]])
    assert row["psnr_db"] == psnr(dreams, [decode(file) for file in files["first"]])
    stacks = {name: torch.stack([to_unit(decode(file)) for file in some]) for name, some in files.items()}
    true = torch.stack([to_unit(each) for each in dreams])
    extractor, recipe = teacher.extractor, teacher.recipe
    ratio = score(stacks["first"], extractor, recipe) / score(true, extractor, recipe)
    assert row["score_change"] == pytest.approx(float(ratio.mean()) - 1, abs=1e-6)
    first, second = (feature_vectors(stacks[name], extractor, recipe) for name in ("first", "second"))
    assert row["cosine"] == pytest.approx(float(cosines(first, second).mean()), abs=1e-6)
    assert row["cosine_change"] == pytest.approx(row["cosine"] - rows[1]["cosine"], abs=1e-9)
    assert 0 < abs(row["cosine_change"]) < 0.5


# Overlap


def test_units_hold_every_photo_once(five: Stage) -> None:
    assert [unit.photos for unit in five.units(Path())] == [(0, 1), (2, 3), (4,)]


def test_all_ways_make_the_same_dreams(five: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way = "before all"
    made: dict[str, list[str]] = {way: []}
    scored = {way: 0}

    def watched(*args: Any, **kwargs: Any) -> DreamResult:
        result = dream(*args, **kwargs)
        made[way] += [sha256(image.numpy().tobytes()).hexdigest() for image in result.images]
        return result

    def counted(images: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        scored[way] += len(images)
        return score(images, *args, **kwargs)

    def instead(ways: dict[str, Callable[[], object]], repeats: int) -> tuple[dict[str, list[float]], ...]:
        nonlocal way
        for way, function in ways.items():
            made[way], scored[way] = [], 0
            function()
        return tuple({way: [4.0 * (way == STAGE) + 1] * 3 for way in ways} for _ in range(2))

    monkeypatch.setattr(stage, "_timed", instead)
    monkeypatch.setattr(stage, "dream", watched)
    monkeypatch.setattr(dream_job, "dream", watched)
    monkeypatch.setattr(dream_job, "score", counted)
    rows = time_stage(five, {"photos": str(tmp_path / "photos"), **COMMAND_FLAGS}, 1)

    assert len(set(made[ENGINE])) == 5
    for each in (DREAMS, STAGE, COMMAND):
        assert sorted(made[each]) == sorted(made[ENGINE])
    assert made[READING] == made[WRITING] == []
    # Photo and dream.
    assert {each: scored[each] for each in (DREAMS, ENGINE, STAGE, COMMAND)} == {
        DREAMS: 0,
        ENGINE: 10,
        STAGE: 10,
        COMMAND: 10,
    }
    row = next(row for row in rows if row["way"] == STAGE)
    assert (row["times_the_engine"], row["cpu_times_the_engine"], row["seconds"]) == (5, 5, 5)
    assert row["pictures_per_second"] == 1


def test_ratios_are_of_the_same_turn() -> None:
    # In the second turn all was slow; medians of the times would give 4.
    assert stage.median_ratio([2, 40, 4], [1, 20, 2]) == 2


def test_overlapping_spans_count_once() -> None:
    assert covered([(5, 6), (0, 2), (1, 3), (1, 2), (3, 4)]) == 5
    assert covered([]) == 0


def test_memory_does_not_grow_with_the_units(teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path / "photos", 30)
    many = Stage(find_photos(str(tmp_path / "photos"), size_px=32), teacher, 32, 1, CPU, 1)
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0
    real = dream_job.DreamJob.predict_step

    def watched(self: dream_job.DreamJob, *args: Any) -> FinishedUnit:
        nonlocal most
        finished = real(self, *args)
        alive.add(finished.loaded.images)
        assert finished.first is not None
        alive.add(finished.first.images)
        most = max(most, len(alive))
        return finished

    monkeypatch.setattr(dream_job.DreamJob, "predict_step", watched)
    with quiet_lightning():
        many.run()
    # Photos and dreams of the units that wait to be written, of the one that is being written, and of two in between.
    assert most <= 2 * (UNITS_AHEAD + 3)
    assert not alive


# Memory


def test_photos_are_all_different_and_the_first_ones_do_not_depend_on_the_count(tmp_path: Path) -> None:
    write_photos(tmp_path / "few", 10)
    write_photos(tmp_path / "more", 20)
    few, more = (
        {str(file.relative_to(tmp_path / name)): file.read_bytes() for file in (tmp_path / name).rglob("*.jpg")}
        for name in ("few", "more")
    )
    assert (len(few), len(more)) == (10, 20)
    assert len(set(more.values())) == 20
    assert few.items() <= more.items()
    assert load_image(tmp_path / "few" / next(iter(few))).picture.size == (192, 192)


def test_growth_is_what_more_photos_take(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = {2: iter([100, 120, 500]), 12: iter([150, 130, 140])}

    def fake(prepare: Any, device: torch.device) -> Usage:
        photos = Path(prepare.args[0])
        count = len(list(photos.rglob("*.jpg")))
        assert photos.name == str(count)
        return Usage(count / 2, 0, next(peaks[count]) * MIB)

    monkeypatch.setattr(growth, "measure", fake)
    few, many = measure_growth([2, 12], 128, 1, repeats=3)
    assert (few["photos"], few["peak_mib"], few["growth_mib"], few["seconds"]) == (2, 120, None, 1)
    assert (many["photos"], many["peak_mib"], many["growth_mib"], many["seconds"]) == (12, 140, 20, 6)
    assert many["bytes_per_photo"] == 2 * MIB


# The command


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--cases", "disk"], "'disk' is not a case; choose among all, storage, overlap, memory"),
        (["--counts", "200"], "--counts is '200'; give at least two numbers"),
        (["--counts", "200,20"], "--counts is '200,20'"),
        (["--counts", "a,b"], "--counts is 'a,b'"),
        (["--pictures", "0"], "--pictures is 0"),
        (["--batch", "0"], "--batch is 0"),
        (["--size", "8"], "--size is 8; it must be at least 32"),
        (["--cases", "storage", "--photos", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_told_in_one_line(flags: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench_dataset", *flags, "--weights", "random"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line


@pytest.mark.slow
def test_the_command_prints_tables_and_writes_their_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "rows.json"
    flags = ["--backbone", "squeezenet1_1", "--weights", "random", "--size", "32", "--pictures", "8", "--batch", "4"]
    assert main(["bench_dataset", *flags, "--repeats", "1", "--counts", "2,4", "--json", str(target)]) == 0
    rows = json.loads(target.read_text())
    assert [row["case"] for row in rows] == ["storage"] * 2 * len(WAYS) + ["overlap"] * 6 + ["memory"] * 2
    for row in rows:
        assert {"recipe", "backbone", "size", "batch", "threads", "device", "repeats"} <= row.keys()
    # Memory is of dreams of its own.
    assert {row["backbone"] for row in rows} == {"squeezenet1_1", "mobilenet_v2 block_2_add"}
    assert [row["photos"] for row in rows[-2:]] == [2, 4]
    assert all(row["peak_mib"] > 50 for row in rows[-2:])
    printed = capsys.readouterr().out
    tables = {line.partition(":")[0]: line for line in printed.splitlines() if line and line[0] != "|"}
    assert list(tables) == list(bench.CASES)
    assert "recipe distillable, backbone squeezenet1_1, size 32, batch 4" in tables["overlap"]
    assert printed.count("\n| ") == len(rows) + 2 * len(bench.CASES)
