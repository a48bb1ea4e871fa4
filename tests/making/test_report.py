import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dreamgan.images import shrink_to
from dreamgan.making import report
from dreamgan.making.report import contact_sheet, sample_pairs, score_table
from tests.finished_dataset import dream_of, picture, rows_of, write_dataset, write_split

ONE_WAY = (("bold", 1.0),)


def same(one: Image.Image, other: Image.Image) -> bool:
    return np.array_equal(np.asarray(one), np.asarray(other))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def holds(laid: np.ndarray[Any, Any], image: Image.Image) -> bool:
    """Whether a picture lies somewhere on a larger one."""
    wanted, (width, height) = np.asarray(image), image.size
    corners = np.nonzero(np.all(laid[: 1 - height, : 1 - width] == wanted[0, 0], axis=-1))
    return any(np.array_equal(laid[y : y + height, x : x + width], wanted) for y, x in zip(*corners, strict=True))


def test_samples_are_of_every_recipe_strength_and_split(tmp_path: Path) -> None:
    out = write_dataset(tmp_path, train=24, test=12, seconds=6)
    samples = sample_pairs(out, 4)
    assert Counter((s.recipe, s.strength) for s in samples) == {("bold", 0.5): 2, ("bold", 1.0): 2, ("calm", 1.0): 4}
    for recipe, strength in (("bold", 0.5), ("bold", 1.0), ("calm", 1.0)):
        own = [s for s in samples if (s.recipe, s.strength) == (recipe, strength)]
        assert {s.split for s in own} == {"train", "test"}
        assert any(s.second_dream for s in own)
    order = [(s.recipe, s.strength, s.split) for s in samples]
    assert order == sorted(order)
    assert len({s.photo_id for s in samples}) == len(samples)


def test_a_sample_is_one_row_whole(tmp_path: Path) -> None:
    out = write_dataset(tmp_path)
    rows = {
        row["photo_id"]: row for shard in sorted((out / "data").iterdir()) for row in pq.read_table(shard).to_pylist()
    }
    samples = sample_pairs(out, 6)
    assert len(samples) > 6
    for sample in samples:
        row, number = rows[sample.photo_id], int(sample.photo_id.removeprefix("photo-"))
        assert same(sample.photo, picture(number))
        assert same(sample.dream, dream_of(number))
        assert (sample.second_dream is None) == (row["second_dream"] is None)
        if sample.second_dream is not None:
            assert same(sample.second_dream, dream_of(number).transpose(Image.Transpose.FLIP_LEFT_RIGHT))
        assert (sample.recipe, sample.strength) == (row["recipe"], row["strength"])
        assert sample.label == ("cat", "dog")[row["label"]]
        assert (sample.score_before, sample.score_after) == (row["score_before"], row["score_after"])
        assert sample.split == ("train" if number < 12 else "test")


def test_samples_are_spread_over_the_dataset(tmp_path: Path) -> None:
    out = write_dataset(tmp_path, train=40, test=0, ways=ONE_WAY)
    numbers = [int(sample.photo_id.removeprefix("photo-")) for sample in sample_pairs(out, 4)]
    assert numbers == [5, 15, 25, 35]


def test_fewer_pairs_than_rows_are_all_shown(tmp_path: Path) -> None:
    out = write_dataset(tmp_path, train=2, test=1, ways=ONE_WAY, seconds=1, shards=1)
    assert {sample.photo_id for sample in sample_pairs(out, 50)} == {"photo-0", "photo-1", "photo-2"}


def test_only_row_groups_with_samples_are_read_for_their_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = write_dataset(tmp_path, train=60, test=30, shards=3)
    groups: list[int] = []
    plain = pq.ParquetFile.read_row_group

    def spy(file: Any, group: int, columns: list[str]) -> Any:
        if {"photo", "dream", "second_dream"} & set(columns):
            groups.append(group)
        return plain(file, group, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", spy)
    monkeypatch.setattr(pq, "read_table", None)
    samples = sample_pairs(out, 4)
    assert len(samples) == 8
    assert 0 < len(groups) <= len(samples)


def test_the_sheet_shows_second_dreams_only_where_there_are_some(tmp_path: Path) -> None:
    with_seconds = contact_sheet(write_dataset(tmp_path / "one"))
    without = contact_sheet(write_dataset(tmp_path / "two", seconds=0))
    assert with_seconds.width > without.width + 32
    assert with_seconds.height == without.height


def test_the_sheet_holds_the_pictures_and_is_the_same_every_time(tmp_path: Path) -> None:
    out = write_dataset(tmp_path / "one")
    laid = np.asarray(contact_sheet(out))
    for sample in sample_pairs(out, 4):
        assert holds(laid, sample.photo)
        assert holds(laid, sample.dream)
        assert sample.second_dream is None or holds(laid, sample.second_dream)
    assert not holds(laid, picture(1000))
    assert png(contact_sheet(out)) == png(contact_sheet(write_dataset(tmp_path / "two")))


def test_the_sheet_takes_any_class_name(tmp_path: Path) -> None:
    plain = contact_sheet(write_dataset(tmp_path / "one", labels=("cat", "dog")))
    odd = contact_sheet(write_dataset(tmp_path / "two", labels=("c\na\tt", "ドッグ" * 40)))
    assert odd.height == plain.height
    assert odd.width < plain.width + 500


def test_large_pictures_are_shrunk_on_the_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = write_dataset(tmp_path)
    monkeypatch.setattr(report, "MOST_SIDE_PX", 16)
    laid = np.asarray(contact_sheet(out))
    photo = sample_pairs(out, 4)[0].photo
    assert holds(laid, shrink_to(photo, 16))
    assert not holds(laid, photo)


def test_the_table_says_scores_and_sizes(tmp_path: Path) -> None:
    out = write_dataset(tmp_path)
    rows = [
        {**row, "split": shard.name.split("-")[0]}
        for shard in sorted((out / "data").iterdir())
        for row in pq.read_table(shard).to_pylist()
    ]
    head, *lines = score_table(out).splitlines()
    assert " ".join(head.split()) == "recipe strength split pairs score before after ratio photo bytes dream bytes"
    assert len({len(line) for line in (head, *lines)}) == 1
    assert [line.split()[:4] for line in lines] == [
        ["bold", "0.5", "train", "4"],
        ["bold", "0.5", "test", "2"],
        ["bold", "1", "train", "4"],
        ["bold", "1", "test", "2"],
        ["calm", "1", "train", "4"],
        ["calm", "1", "test", "2"],
    ]
    for line in lines:
        recipe, strength, split, _, *found = line.split()
        own = [r for r in rows if (r["recipe"], r["strength"], r["split"]) == (recipe, float(strength), split)]
        before, after = (np.mean([r[name] for r in own]) for name in ("score_before", "score_after"))
        photo, dream = (np.mean([len(r[name]["bytes"]) for r in own]) for name in ("photo", "dream"))
        assert found == [f"{before:.4g}", f"{after:.4g}", f"{after / before:.3g}", f"{photo:.0f}", f"{dream:.0f}"]


def test_sizes_of_large_datasets_are_measured_on_some_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path
    first = list(rows_of("train", 4, ONE_WAY, (), first=0, seconds=0))
    last = list(rows_of("train", 4, (("calm", 1.0),), (), first=4, seconds=0))
    write_split(out, "train", [*first, *last], (), group=4)
    assert "–" not in score_table(out)
    monkeypatch.setattr(report, "MOST_MEASURED", 1)
    _, bold, calm = score_table(out).splitlines()
    assert "–" not in bold
    assert calm.split()[-2:] == ["–", "–"]
    assert calm.split()[3] == "4"
