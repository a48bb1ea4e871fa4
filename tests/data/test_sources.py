import importlib.util
import io
import pickle
import subprocess
import sys
from pathlib import Path

import datasets
import huggingface_hub.constants
import numpy as np
import pytest
from PIL import Image

from dreamgan.data.sources import SAMPLE_PHOTOS, FileCrop, Photo, find_photos, split_of
from dreamgan.errors import UserError


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def picture(seed: int, width: int = 48, height: int = 40) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def save(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(seed).save(path)
    return path


def boxes(photos: tuple[Photo, ...]) -> list[tuple[int, int, int, int]]:
    found = []
    for photo in photos:
        assert isinstance(photo.where, FileCrop)
        assert photo.where.box is not None
        found.append(photo.where.box)
    return found


# ------------------------------------------------------------------------------------------------- samples


def test_samples_are_crops_of_every_photograph_and_share_its_source() -> None:
    found = find_photos("samples", size_px=64, crops=6)
    assert found.labels == tuple(sorted(SAMPLE_PHOTOS))
    assert len(found) == 6 * len(SAMPLE_PHOTOS)
    assert len({photo.photo_id for photo in found.photos}) == len(found)
    assert found.photos[6].photo_id == "chelsea-00"
    for photo in found.photos:
        assert photo.source_id == photo.label == photo.photo_id.rsplit("-", 1)[0]


def test_sample_crops_are_square_inside_and_from_whole_to_a_third() -> None:
    for name in SAMPLE_PHOTOS:
        mine = [p for p in find_photos("samples", size_px=64, crops=12).photos if p.label == name]
        where = mine[0].where
        assert isinstance(where, FileCrop)
        with Image.open(where.path) as whole:
            width, height = whole.size
        sides = []
        for left, upper, right, lower in boxes(tuple(mine)):
            assert 0 <= left < right <= width
            assert 0 <= upper < lower <= height
            assert right - left == lower - upper
            sides.append(right - left)
        assert max(sides) == min(width, height)
        assert min(sides) == max(64, round(0.35 * min(width, height)))


def test_sample_crops_are_spread_out() -> None:
    for name in SAMPLE_PHOTOS:
        mine = boxes(tuple(p for p in find_photos("samples", size_px=32, crops=24).photos if p.label == name))
        assert len(set(mine)) == 24
        small = sorted(mine, key=lambda box: box[2] - box[0])[:8]
        centres = np.array([((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in small])
        gaps = np.linalg.norm(centres[:, None] - centres[None], axis=-1) + 1e9 * np.eye(8)
        assert gaps.min() > 0.15 * (small[0][2] - small[0][0])


def test_sample_crops_depend_on_the_seed_alone() -> None:
    first = find_photos("samples", size_px=64, crops=5, seed=3).photos
    assert find_photos("samples", size_px=64, crops=5, seed=3).photos == first
    assert boxes(find_photos("samples", size_px=64, crops=5, seed=4).photos) != boxes(first)


def test_no_crop_comes_twice_where_the_photograph_is_too_small_for_more() -> None:
    mine = [p for p in find_photos("samples", size_px=512, crops=9).photos if p.label == "astronaut"]
    assert boxes(tuple(mine)) == [(0, 0, 512, 512)]


def test_a_crop_is_loaded_from_its_box() -> None:
    found = find_photos("samples", size_px=32, crops=3)
    photo = found.photos[2]
    where = photo.where
    assert isinstance(where, FileCrop)
    side = boxes((photo,))[0][2] - boxes((photo,))[0][0]
    with Image.open(where.path) as whole:
        wanted = whole.convert("RGB").crop(where.box)
    assert np.array_equal(np.asarray(found.load(photo, side).picture), np.asarray(wanted))
    assert found.load(photo, 40).picture.size == (40, 40)


def test_samples_are_found_without_importing_their_packages() -> None:
    code = (
        "import sys; from dreamgan.data.sources import find_photos; find_photos('samples', size_px=64);"
        "sys.exit(any(name.split('.')[0] in ('skimage', 'sklearn', 'datasets') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_missing_sample_package_says_how_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "dreamgan\[samples\]"'):
        find_photos("samples", size_px=64)


# ------------------------------------------------------------------------------------------------- folders


def test_class_folders_give_labels(tmp_path: Path) -> None:
    for name in ("dog/a.png", "cat/b.png", "cat/deep/c.png"):
        save(tmp_path / name)
    found = find_photos(str(tmp_path), size_px=32)
    assert [(p.photo_id, p.label) for p in found.photos] == [
        ("cat/b", "cat"),
        ("cat/deep/c", "deep"),
        ("dog/a", "dog"),
    ]
    assert found.labels == ("cat", "deep", "dog")


def test_the_label_is_the_folder_that_a_photo_lies_in(tmp_path: Path) -> None:
    for name in ("train/cats/a.png", "train/dogs/b.png", "test/cats/a.png"):
        save(tmp_path / name)
    found = find_photos(str(tmp_path), size_px=32)
    assert {p.photo_id: p.label for p in found.photos} == {
        "test/cats/a": "cats",
        "train/cats/a": "cats",
        "train/dogs/b": "dogs",
    }


def test_a_stray_photo_has_no_label_and_leaves_the_others_theirs(tmp_path: Path) -> None:
    for name in ("stray.png", "cat/a.png", "dog/b.png"):
        save(tmp_path / name)
    found = find_photos(str(tmp_path), size_px=32)
    assert {p.photo_id: p.label for p in found.photos} == {"stray": "", "cat/a": "cat", "dog/b": "dog"}
    assert found.labels == ("cat", "dog")


def test_a_flat_folder_has_no_labels_and_keeps_ids_apart(tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "b.png"):
        save(tmp_path / name)
    found = find_photos(str(tmp_path), size_px=32)
    assert {p.photo_id for p in found.photos} == {"a.png", "a.bmp", "b"}
    assert {p.label for p in found.photos} == {""}
    assert found.labels == ()


def test_one_photo_is_a_set_of_one(tmp_path: Path) -> None:
    found = find_photos(str(save(tmp_path / "me.png")), size_px=32)
    assert [p.photo_id for p in found.photos] == ["me"]
    assert found.load(found.photos[0], 32).picture.size == (32, 32)


@pytest.mark.parametrize("limit", [1, 2, 5, 7, 100])
def test_limit_is_even_over_classes_and_within_them(tmp_path: Path, limit: int) -> None:
    for label, count in (("few", 1), ("some", 6), ("many", 12)):
        for number in range(count):
            save(tmp_path / label / f"{number:02d}.png")
    found = find_photos(str(tmp_path), size_px=32, limit=limit)
    assert len(found) == min(limit, 19)
    assert found.photos == find_photos(str(tmp_path), size_px=32, limit=limit).photos
    if limit == 7:
        ids = [p.photo_id for p in found.photos]
        assert ids == ["few/00", "many/00", "many/04", "many/08", "some/00", "some/02", "some/04"]
    if limit == 2:
        assert found.labels == tuple(sorted({p.label for p in found.photos}))


def test_bad_files_are_listed_and_fail_one_by_one(tmp_path: Path) -> None:
    save(tmp_path / "good.png")
    (tmp_path / "text.jpg").write_text("no picture")
    found = find_photos(str(tmp_path), size_px=32)
    outcome: dict[str, object] = {}
    for photo in found.photos:
        try:
            outcome[photo.photo_id] = found.load(photo, 32).picture.size
        except UserError as error:
            outcome[photo.photo_id] = str(error)
    assert outcome["good"] == (32, 32)
    assert "text.jpg" in str(outcome["text"])


def test_missing_empty_and_senseless_arguments(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        find_photos(str(tmp_path / "nowhere"), size_px=32)
    with pytest.raises(UserError, match="picture"):
        find_photos(str(tmp_path), size_px=32)
    for name in ("crops", "limit"):
        with pytest.raises(UserError, match=f"{name} is 0"):
            find_photos("samples", size_px=32, **{name: 0})


# -------------------------------------------------------------------------------------------------- tables


def raw(seed: int) -> dict[str, object]:
    buffer = io.BytesIO()
    picture(seed).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def test_a_parquet_with_class_labels(tmp_path: Path) -> None:
    kinds = datasets.Features({"pixels": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"pixels": [raw(0), raw(1), {"bytes": b"junk", "path": None}], "kind": [1, 0, 1]}
    table = datasets.Dataset.from_dict(rows, features=kinds)
    folder = tmp_path / "set" / "data"
    folder.mkdir(parents=True)
    table.to_parquet(folder / "train-0.parquet")
    for name in (str(tmp_path / "set"), str(folder), str(folder / "train-0.parquet")):
        found = pickle.loads(pickle.dumps(find_photos(name, size_px=32)))
        assert [p.label for p in found.photos] == ["dog", "cat", "dog"]
        assert len({p.photo_id for p in found.photos}) == 3
        got = np.asarray(found.load(found.photos[1], 40).picture)
        assert np.array_equal(got, np.asarray(picture(1).crop((4, 0, 44, 40))))
        with pytest.raises(UserError, match="row-000002"):
            found.load(found.photos[2], 32)


def test_a_parquet_without_the_librarys_metadata(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": [raw(0), raw(1)]}), tmp_path / "plain.parquet")
    found = find_photos(str(tmp_path / "plain.parquet"), size_px=32)
    assert found.load(found.photos[0], 32).picture.size == (32, 32)
    pq.write_table(pa.table({"words": ["a"]}), tmp_path / "words.parquet")
    with pytest.raises(UserError, match="no image column, only words"):
        find_photos(str(tmp_path / "words.parquet"), size_px=32)
    (tmp_path / "broken.parquet").write_text("no parquet")
    with pytest.raises(UserError, match=r"cannot read .*broken\.parquet") as caught:
        find_photos(str(tmp_path / "broken.parquet"), size_px=32)
    assert "\n" not in str(caught.value)


def test_a_table_may_name_no_file_outside_its_folder(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    outside, inside = save(tmp_path / "secret.png", 7), save(tmp_path / "set" / "pictures" / "own.png", 8)
    (tmp_path / "set" / "link.png").symlink_to(outside)
    named = [outside, inside, "pictures/own.png", "../secret.png", tmp_path / "set" / "link.png"]
    named += [f"file://{outside}", f"{tmp_path}/set/../secret.png"]
    rows = [{"bytes": None, "path": str(name)} for name in named]
    pq.write_table(pa.table({"image": [*rows, raw(0)]}), tmp_path / "set" / "plain.parquet")
    found = find_photos(str(tmp_path / "set" / "plain.parquet"), size_px=32)
    for number, seed in ((1, 8), (2, 8), (7, 0)):
        got = np.asarray(found.load(found.photos[number], 40).picture)
        assert np.array_equal(got, np.asarray(picture(seed).crop((4, 0, 44, 40))))
    for number in (0, 3, 4, 6):
        with pytest.raises(UserError, match=rf"row-00000{number} of .*outside the set \('.*'\); put the file beside"):
            found.load(found.photos[number], 40)
    with pytest.raises(UserError, match="row-000005 does not exist"):
        found.load(found.photos[5], 40)


def test_a_hub_dataset_may_name_files_of_the_caches_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    files = [save(tmp_path / name) for name in ("hub/a.png", "hf-cache/b.png", "downloads/c.png", "secret.png")]
    rows = [{"bytes": None, "path": str(file)} for file in files]
    table = datasets.Dataset.from_dict({"image": rows}, features=datasets.Features(image=datasets.Image()))
    monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict(train=table))
    found = find_photos("somebody/photos", size_px=32)
    for photo in found.photos[:3]:
        assert found.load(photo, 32).picture.size == (32, 32)
    with pytest.raises(UserError, match=r"row-000003 .* outside the set"):
        found.load(found.photos[3], 32)


def test_an_unreachable_name_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'nobody/no-photos'.*folder of photos instead") as caught:
        find_photos("nobody/no-photos", size_px=32)
    assert "\n" not in str(caught.value)


def test_a_hub_dataset_is_read_through_load_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    table = datasets.Dataset.from_dict({"image": [raw(0)]}, features=datasets.Features(image=datasets.Image()))
    monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict(other=table))
    found = find_photos("somebody/photos", size_px=32)
    assert found.load(found.photos[0], 32).picture.size == (32, 32)


# -------------------------------------------------------------------------------------------------- splits


def test_all_crops_of_a_photograph_are_on_one_side() -> None:
    photos = find_photos("samples", size_px=64, crops=4).photos
    side = split_of([p.source_id for p in photos], test_fraction=0.25, seed=0)
    assert set(side) == set(SAMPLE_PHOTOS)
    assert sorted(side.values()) == ["test"] * 2 + ["train"] * 6


def test_split_is_deterministic_and_ignores_order() -> None:
    names = [f"photo-{number}" for number in range(40)]
    first = split_of(names, test_fraction=0.2, seed=1)
    assert split_of(names[::-1] + names, test_fraction=0.2, seed=1) == first
    assert split_of(names, test_fraction=0.2, seed=2) != first
    assert list(first.values()).count("test") == 8


@pytest.mark.parametrize(
    ("count", "fraction", "test"), [(1, 0.5, 0), (2, 0.01, 1), (2, 0.99, 1), (10, 0.0, 0), (10, 0.25, 3)]
)
def test_split_counts(count: int, fraction: float, test: int) -> None:
    side = split_of([str(number) for number in range(count)], test_fraction=fraction, seed=0)
    assert list(side.values()).count("test") == test


def test_split_is_stratified_where_classes_are_big_enough() -> None:
    names = [f"{label}/{number}" for label in "ab" for number in range(10)]
    labels = [name[0] for name in names]
    for seed in range(10):
        side = split_of(names, test_fraction=0.2, seed=seed, labels=labels)
        assert sorted(name[0] for name in side if side[name] == "test") == ["a", "a", "b", "b"]
    small = split_of([*names, "c/0"], test_fraction=0.2, seed=0, labels=[*labels, "c"])
    assert list(small.values()).count("test") == 4


def test_a_photo_without_a_class_does_not_undo_the_classes() -> None:
    names = [*(f"{label}/{number}" for label in "ab" for number in range(10)), "stray"]
    labels = [name[0] if "/" in name else "" for name in names]
    for seed in range(10):
        side = split_of(names, test_fraction=0.2, seed=seed, labels=labels)
        assert sorted(name[0] for name in side if side[name] == "test") == ["a", "a", "b", "b"]


def test_hold_out_wins() -> None:
    names = [f"{label}/{number}" for label in "abc" for number in range(4)]
    labels = [name[0] for name in names]
    side = split_of(names, test_fraction=0, seed=0, labels=labels, hold_out=["b", "c/1"])
    assert {name for name in side if side[name] == "test"} == {"b/0", "b/1", "b/2", "b/3", "c/1"}
    more = split_of(names, test_fraction=0.25, seed=0, labels=labels, hold_out=["b"])
    assert sorted(name[0] for name in more if more[name] == "test") == ["a", "b", "b", "b", "b", "c"]
    with pytest.raises(UserError, match="leaves no photo"):
        split_of(names, test_fraction=0, seed=0, labels=labels, hold_out=["a", "b", "c"])
    with pytest.raises(UserError, match="nearest: 'c/1'"):
        split_of(names, test_fraction=0, seed=0, labels=labels, hold_out=["cc/1"])
    with pytest.raises(UserError, match=r"1\.0"):
        split_of(names, test_fraction=1.0, seed=0)
