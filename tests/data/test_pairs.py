import os
import time
from pathlib import Path
from typing import IO

import datasets
import huggingface_hub.constants
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import dreamgan.data.pairs as pairs_module
from dreamgan.data.pairs import (
    COLUMNS,
    Pair,
    compact,
    has_split,
    is_unit,
    load_pairs,
    unit_rejects,
    write_unit,
)
from dreamgan.data.photos import Reject
from dreamgan.data.sources import find_photos
from dreamgan.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def picture(seed: int, side: int = 32) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def pair(number: int, *, label: str = "cat", second: bool = False, side: int = 32) -> Pair:
    return Pair(
        photo=picture(3 * number, side),
        dream=picture(3 * number + 1, side),
        second_dream=picture(3 * number + 2, side) if second else None,
        label=label,
        photo_id=f"photo-{number}",
        source_id=f"source-{number // 2}",
        photo_sha256=f"{number:064x}",
        recipe="gordic",
        strength=0.3,
        recipe_json='{"steps": 10}',
        backbone="vgg16",
        layers=("relu4_3", "relu5_1"),
        weights="mine",
        weights_sha256="ab" * 32,
        guides={"bees": "cd" * 32},
        seed=7,
        second_seed=8 if second else None,
        score_before=0.5,
        score_after=float(number),
    )


def units_in(folder: Path, labels: tuple[str, ...] = ("cat", "dog")) -> list[Path]:
    units = [folder / f"{number}.parquet" for number in range(4)]
    for number, unit in enumerate(units):
        test = number == 3
        two = [pair(2 * number + k, label=labels[k % len(labels)], second=test) for k in range(2)]
        write_unit(unit, two, "test" if test else "train")
    return units


def made(tmp_path: Path) -> Path:
    out = tmp_path / "dreams"
    rows = compact(units_in(tmp_path / "units"), out / "data", labels=("cat", "dog"))
    assert rows == {"train": 6, "test": 2}
    return out


def same(one: Image.Image, other: Image.Image) -> bool:
    return np.array_equal(np.asarray(one), np.asarray(other))


def test_plain_load_dataset_gives_pictures_labels_and_splits(tmp_path: Path) -> None:
    read = datasets.load_dataset(str(made(tmp_path)))
    assert {name: len(rows) for name, rows in read.items()} == {"train": 6, "test": 2}
    assert read["train"].features["label"].names == ["cat", "dog"]
    assert tuple(read["train"].column_names) == COLUMNS
    for split, first in (("train", 0), ("test", 6)):
        for number, row in enumerate(read[split], start=first):
            wanted = pair(number, second=split == "test")
            assert same(row["photo"], wanted.photo)
            assert same(row["dream"], wanted.dream)
            assert (row["second_dream"] is None) == (split == "train")
            if wanted.second_dream is not None:
                assert same(row["second_dream"], wanted.second_dream)
            assert row["label"] == number % 2
            assert (row["photo_id"], row["source_id"]) == (wanted.photo_id, wanted.source_id)
            assert (row["layers"], row["recipe_json"]) == ("relu4_3,relu5_1", wanted.recipe_json)
            assert (row["seed"], row["score_before"], row["score_after"]) == (7, 0.5, float(number))
            assert (row["strength"], row["weights"], row["guides"]) == (0.3, "mine", '{"bees": "%s"}' % ("cd" * 32))
            assert row["second_seed"] == (8 if split == "test" else None)
            assert row["photo_sha256"] == wanted.photo_sha256


def test_without_classes_the_label_is_a_string(tmp_path: Path) -> None:
    units = units_in(tmp_path / "units", labels=("",))
    compact(units, tmp_path / "out" / "data", labels=())
    assert load_pairs(tmp_path / "out", "train")[0]["label"] == ""


def test_a_photo_without_a_class_among_others_that_have_one_gets_null(tmp_path: Path) -> None:
    write_unit(tmp_path / "u.parquet", [pair(0), pair(1, label=""), pair(2, label="dog")], "train")
    compact([tmp_path / "u.parquet"], tmp_path / "out" / "data", labels=("cat", "dog"))
    for rows in (load_pairs(tmp_path / "out", "train"), datasets.load_dataset(str(tmp_path / "out"))["train"]):
        assert rows["label"][:] == [0, None, 1]
        assert rows.features["label"].names == ["cat", "dog"]


def test_units_and_shards_have_the_same_bytes_every_time(tmp_path: Path) -> None:
    one, two = units_in(tmp_path / "a"), units_in(tmp_path / "b")
    assert [u.read_bytes() for u in one] == [u.read_bytes() for u in two]
    for units, name in ((one, "x"), (two, "y")):
        compact(units, tmp_path / name / "data", labels=("cat", "dog"))
    first = {p.name: p.read_bytes() for p in (tmp_path / "x" / "data").iterdir()}
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "y" / "data").iterdir()}
    compact(one, tmp_path / "x" / "data", labels=("cat", "dog"))
    assert first == {p.name: p.read_bytes() for p in (tmp_path / "x" / "data").iterdir()}


def test_shards_are_cut_by_size_and_keep_the_order(tmp_path: Path) -> None:
    units = units_in(tmp_path / "units")
    compact(units, tmp_path / "out" / "data", labels=("cat", "dog"), shard_bytes=2 * units[0].stat().st_size + 100)
    assert sorted(p.name for p in (tmp_path / "out" / "data").iterdir()) == [
        "test-00000-of-00001.parquet",
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    assert load_pairs(tmp_path / "out", "train")["photo_id"][:] == [f"photo-{n}" for n in range(6)]


def test_a_killed_write_leaves_no_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = tmp_path / "units" / "0.parquet"

    def half(table: object, where: IO[bytes]) -> None:
        where.write(b"PAR1 half a file")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", half)
        with pytest.raises(KeyboardInterrupt):
            write_unit(unit, [pair(0)], "train")
    assert list(unit.parent.iterdir()) == []
    assert not is_unit(unit)
    unit.write_bytes(b"PAR1 half a file")
    assert not is_unit(unit)
    write_unit(unit, [pair(0)], "train")
    assert is_unit(unit)


def test_units_carry_their_rejects_and_may_be_empty(tmp_path: Path) -> None:
    empty, full = tmp_path / "0.parquet", tmp_path / "1.parquet"
    write_unit(empty, [], "test", rejects=[Reject("bad.jpg", "is empty (0 bytes)")])
    write_unit(full, [pair(0)], "train")
    assert is_unit(empty)
    assert unit_rejects(empty) == [Reject("bad.jpg", "is empty (0 bytes)")]
    assert unit_rejects(full) == []
    assert compact([empty, full], tmp_path / "out" / "data", labels=("cat",)) == {"train": 1}
    assert [p.name for p in (tmp_path / "out" / "data").iterdir()] == ["train-00000-of-00001.parquet"]
    assert list(datasets.load_dataset(str(tmp_path / "out"))) == ["train"]


def test_unknown_label_or_split_is_refused(tmp_path: Path) -> None:
    write_unit(tmp_path / "u.parquet", [pair(0, label="eel")], "train")
    with pytest.raises(ValueError, match="'eel'"):
        compact([tmp_path / "u.parquet"], tmp_path / "out" / "data", labels=("cat",))
    write_unit(tmp_path / "v.parquet", [pair(0)], "validation")
    with pytest.raises(ValueError, match="'validation'"):
        compact([tmp_path / "v.parquet"], tmp_path / "out" / "data", labels=("cat",))


def test_shards_have_rows_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs_module, "ROW_GROUP_ROWS", 4)
    out = made(tmp_path)
    footer = pq.read_metadata(out / "data" / "train-00000-of-00001.parquet")
    assert [footer.row_group(k).num_rows for k in range(footer.num_row_groups)] == [4, 2]


def test_load_pairs_leaves_the_folder_alone_and_is_never_stale(tmp_path: Path) -> None:
    out = made(tmp_path / "odd [name]")
    files = sorted(out.rglob("*"))
    assert load_pairs(out, "test")["photo_id"][:] == ["photo-6", "photo-7"]
    assert load_pairs(str(out), "train")[5]["photo"].size == (32, 32)
    assert sorted(out.rglob("*")) == files
    time.sleep(0.02)
    write_unit(tmp_path / "u.parquet", [pair(9)], "train")
    compact([tmp_path / "u.parquet"], out / "data", labels=("cat", "dog"))
    assert load_pairs(out, "train")["photo_id"][:] == ["photo-9"]
    with pytest.raises(UserError, match="no 'test' split, only 'train'"):
        load_pairs(out, "test")


def test_what_is_no_dream_dataset_is_refused_in_one_line(tmp_path: Path) -> None:
    for name in (tmp_path / "nowhere", "nobody/no-dreams", tmp_path):
        with pytest.raises(UserError, match="dream dataset|Hugging Face dataset") as caught:
            load_pairs(name, "train")
        assert "\n" not in str(caught.value)
    (tmp_path / "data").mkdir()
    shard = tmp_path / "data" / "train-00000-of-00001.parquet"
    datasets.Dataset.from_dict({"photo": [1], "label": [0]}).to_parquet(shard)
    with pytest.raises(UserError, match="lacks dream, second_dream, photo_id"):
        load_pairs(tmp_path, "train")
    os.truncate(shard, 20)
    with pytest.raises(UserError, match="cannot read the dream dataset"):
        load_pairs(tmp_path, "train")


@pytest.mark.parametrize("on", [True, False])
def test_local_pairs_are_loaded_without_bars_and_the_users_setting_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], on: bool
) -> None:
    out = made(tmp_path)
    before = datasets.are_progress_bars_disabled()
    try:
        (datasets.enable_progress_bars if on else datasets.disable_progress_bars)()
        load_pairs(out, "train")
        assert datasets.are_progress_bars_disabled() is not on
        assert capsys.readouterr().err == ""
        with pytest.raises(UserError):
            load_pairs(tmp_path, "train")
        assert datasets.are_progress_bars_disabled() is not on
    finally:
        (datasets.disable_progress_bars if before else datasets.enable_progress_bars)()


def test_the_hub_is_asked_for_the_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "dreams"
    write_unit(tmp_path / "u.parquet", [pair(0)], "train")
    compact([tmp_path / "u.parquet"], out / "data", labels=("cat",))
    assert (has_split(out, "train"), has_split(out, "test")) == (True, False)
    with pytest.raises(UserError, match=r"'nobody/no-dreams' is no folder here.*splits cannot be listed") as caught:
        has_split("nobody/no-dreams", "test")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="there is no dream dataset './nowhere/x'"):
        has_split("./nowhere/x", "test")
    monkeypatch.setattr(datasets, "get_dataset_split_names", lambda name: {"somebody/dreams": ["train"]}[name])
    assert (has_split("somebody/dreams", "train"), has_split("somebody/dreams", "test")) == (True, False)


def test_a_dream_dataset_is_not_taken_for_photos(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dream dataset already"):
        find_photos(str(made(tmp_path)), size_px=32)
