import pickle
from pathlib import Path

import datasets
import huggingface_hub.constants
import numpy as np
import pytest

from dreamgan.data.sources import find_photos
from dreamgan.data.tables import label_text
from dreamgan.errors import UserError
from tests.data.photo_files import content, picture, save, seed_of


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def row(seed: int) -> dict[str, object]:
    return {"bytes": content(seed), "path": None}


def test_a_parquet_with_class_labels(tmp_path: Path) -> None:
    kinds = datasets.Features({"pixels": datasets.Image(), "kind": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"pixels": [row(0), row(1), {"bytes": b"junk", "path": None}], "kind": [1, 0, 1]}
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

    pq.write_table(pa.table({"image": [row(0), row(1)]}), tmp_path / "plain.parquet")
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
    (tmp_path / "set" / "loop.png").symlink_to("loop.png")
    named = [outside, inside, "pictures/own.png", "../secret.png", tmp_path / "set" / "link.png"]
    named += [f"file://{outside}", f"{tmp_path}/set/../secret.png", "loop.png", "a\0b"]
    rows = [{"bytes": None, "path": str(name)} for name in named]
    pq.write_table(pa.table({"image": [*rows, row(0)]}), tmp_path / "set" / "plain.parquet")
    found = find_photos(str(tmp_path / "set" / "plain.parquet"), size_px=32)
    for number, seed in ((1, 8), (2, 8), (9, 0)):
        got = np.asarray(found.load(found.photos[number], 40).picture)
        assert np.array_equal(got, np.asarray(picture(seed).crop((4, 0, 44, 40))))
    for number in (0, 3, 4, 6, 7, 8):
        with pytest.raises(UserError, match=rf"'row-00000{number}' .*outside the set \('.*'\); put the file beside"):
            found.load(found.photos[number], 40)
    with pytest.raises(UserError, match="'row-000005' does not exist"):
        found.load(found.photos[5], 40)


def three(**columns: list[object]) -> datasets.Dataset:
    """Pictures of seeds 0, 1 and 2."""
    kinds = datasets.Dataset.from_dict(columns).features if columns else {}
    rows = {"image": [row(seed) for seed in range(3)], **columns}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(image=datasets.Image(), **kinds))


def test_an_arrow_file_and_a_folder_of_them(tmp_path: Path) -> None:
    for number in range(2):
        folder = tmp_path / f"saved{number}"
        three(label=["cat", "dog", "cat"]).save_to_disk(folder)
        (tmp_path / "set").mkdir(exist_ok=True)
        next(folder.glob("*.arrow")).rename(tmp_path / "set" / f"{number}.arrow")
    one = pickle.loads(pickle.dumps(find_photos(str(tmp_path / "set" / "0.arrow"), size_px=32)))
    assert [(p.photo_id, p.label) for p in one.photos] == [
        ("row-000000", "cat"),
        ("row-000001", "dog"),
        ("row-000002", "cat"),
    ]
    assert [seed_of(one, f"row-00000{number}") for number in (2, 0, 1)] == [2, 0, 1]
    both = find_photos(str(tmp_path / "set"), size_px=32)
    assert len(both) == 6
    assert seed_of(both, "row-000004") == 1
    (tmp_path / "broken.arrow").write_bytes(b"ARROW1 and no more")
    with pytest.raises(UserError, match=r"cannot read .*broken\.arrow' as arrow"):
        find_photos(str(tmp_path / "broken.arrow"), size_px=32)


def test_a_folder_that_datasets_saved(tmp_path: Path) -> None:
    # The arrays that the library was asked for are kept with the set.
    three(label=["cat", "dog", "cat"]).with_format("numpy", columns=["label"]).save_to_disk(tmp_path / "one")
    found = pickle.loads(pickle.dumps(find_photos(str(tmp_path / "one"), size_px=32)))
    assert [p.label for p in found.photos] == ["cat", "dog", "cat"]
    assert [seed_of(found, f"row-00000{number}") for number in (2, 0, 1)] == [2, 0, 1]
    with pytest.raises(UserError, match="hub_config is for Hugging Face datasets"):
        find_photos(str(tmp_path / "one"), size_px=32, hub_config="small")


@pytest.mark.parametrize(("split", "seed"), [(None, 1), ("test", 0)])
def test_a_split_of_what_datasets_saved(tmp_path: Path, split: str | None, seed: int) -> None:
    splits = datasets.DatasetDict(test=three().select([0]), train=three().select([1]))
    splits.save_to_disk(tmp_path / "two")
    found = find_photos(str(tmp_path / "two"), size_px=32, hub_split=split)
    assert seed_of(found, "row-000000") == seed
    with pytest.raises(UserError, match="has no split 'tset', only test, train"):
        find_photos(str(tmp_path / "two"), size_px=32, hub_split="tset")


@pytest.mark.parametrize(
    ("column", "values", "wanted"),
    [
        ("label", ["cat", None, " dog "], ["cat", "", "dog"]),
        ("category", [3, -1, 0], ["3", "", "0"]),
        ("class", ["two\nlines", "", "ü"], [r"two\nlines", "", "ü"]),
        ("caption", ["a cat", "a dog", "a hare"], ["", "", ""]),
        ("label", [0.5, 0.25, 0.125], ["", "", ""]),
    ],
)
def test_columns_of_texts_and_numbers_are_classes_by_their_names(
    tmp_path: Path, column: str, values: list[object], wanted: list[str]
) -> None:
    three(**{column: values}).to_parquet(tmp_path / "set.parquet")
    found = find_photos(str(tmp_path / "set.parquet"), size_px=32)
    assert [photo.label for photo in found.photos] == wanted
    assert found.labels == tuple(sorted(set(wanted) - {""}))


def test_a_number_beyond_the_classes_is_none() -> None:
    kind = datasets.ClassLabel(names=["cat", "dog"])
    assert [label_text(number, kind) for number in (1, 2, -1, None)] == ["dog", "", "", ""]


@pytest.mark.parametrize("kind", ["object", "string", "category"])
def test_classes_that_pandas_wrote(tmp_path: Path, kind: str) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"image": [row(seed) for seed in range(3)], "label": ["cat", "dog", "cat"]})
    frame["label"] = frame["label"].astype(kind)
    frame.to_parquet(tmp_path / "set.parquet")
    found = find_photos(str(tmp_path / "set.parquet"), size_px=32)
    assert [photo.label for photo in found.photos] == ["cat", "dog", "cat"]
    assert seed_of(found, "row-000001") == 1


def test_a_dream_dataset_is_no_source(tmp_path: Path) -> None:
    three(photo=[1, 2, 3], dream=[1, 2, 3], recipe_json=["{}"] * 3).to_parquet(tmp_path / "dreams.parquet")
    with pytest.raises(UserError, match="is a dream dataset already"):
        find_photos(str(tmp_path / "dreams.parquet"), size_px=32)
