import io
import pickle
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub.constants
import pytest

from dreamgan.data.sources import find_photos
from dreamgan.errors import UserError
from tests.data.photo_files import content, save, seed_of


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def row(seed: int) -> dict[str, object]:
    return {"bytes": content(seed), "path": None}


def test_a_hub_dataset_may_name_files_of_the_caches_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", tmp_path / "downloads")
    files = [save(tmp_path / name) for name in ("hub/a.png", "hf-cache/b.png", "downloads/c.png", "secret.png")]
    rows = [{"bytes": None, "path": str(file)} for file in files]
    table = datasets.Dataset.from_dict({"image": rows}, features=datasets.Features(image=datasets.Image()))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: datasets.DatasetDict(train=table))
    found = find_photos("somebody/photos", size_px=32)
    for photo in found.photos[:3]:
        assert found.load(photo, 32).picture.size == (32, 32)
    with pytest.raises(UserError, match=r"'row-000003' .* outside the set"):
        found.load(found.photos[3], 32)


def test_an_unreachable_name_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'nobody/no-photos'.*folder of photos instead") as caught:
        find_photos("nobody/no-photos", size_px=32)
    assert "\n" not in str(caught.value)


class Hub:
    """Stands in for the hub: answers `load_dataset` from parquet files of splits, and counts the rows that are read."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, **splits: list[str | None]) -> None:
        self.files: dict[str, str] = {}
        self.rows_read = 0
        self.asked: list[tuple[str, str | None, str | None, bool]] = []
        for split, labels in splits.items():
            self.files[split] = str(folder / f"{split}.parquet")
            kinds = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog", "emu"]))
            rows = {"image": [row(seed) for seed in range(len(labels))], "label": labels}
            datasets.Dataset.from_dict(rows, features=kinds).to_parquet(self.files[split])
        self.real = datasets.load_dataset
        monkeypatch.setattr(datasets, "load_dataset", self.load)

    def load(self, name: str, config: str | None = None, *, split: str | None = None, streaming: bool = False) -> Any:
        self.asked.append((name, config, split, streaming))
        loaded = self.real("parquet", data_files=self.files, split=split, streaming=streaming)
        if not streaming:
            return loaded
        if split is not None:
            return self.counted(loaded)
        return datasets.IterableDatasetDict({name: self.counted(each) for name, each in loaded.items()})

    def counted(self, stream: Any) -> Any:
        def count(example: dict[str, Any]) -> dict[str, Any]:
            self.rows_read += 1
            return example

        return stream.cast_column("image", datasets.Image(decode=False)).map(count, features=stream.features)


def test_a_hub_dataset_is_read_with_its_configuration_and_split(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(tmp_path, monkeypatch, other=["cat"], train=["dog", "cat"])
    found = find_photos("somebody/photos", size_px=32)
    assert [photo.label for photo in found.photos] == ["dog", "cat"]
    assert seed_of(found, "row-000001") == 1
    other = find_photos("somebody/photos", size_px=32, hub_config="small", hub_split="other")
    assert [photo.label for photo in other.photos] == ["cat"]
    assert hub.asked == [("somebody/photos", None, None, False), ("somebody/photos", "small", "other", False)]
    assert found.sources == ("somebody/photos",)


def test_the_first_split_where_there_is_no_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(tmp_path, monkeypatch, other=["emu"], further=["dog", "cat"])
    assert find_photos("somebody/photos", size_px=32).labels == ("emu",)


def test_streaming_reads_no_further_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(tmp_path, monkeypatch, train=["cat", "dog"] * 40)
    found = pickle.loads(pickle.dumps(find_photos("somebody/photos", size_px=32, stream=True, limit=3)))
    assert [(photo.photo_id, photo.label) for photo in found.photos] == [
        ("row-000000", "cat"),
        ("row-000001", "dog"),
        ("row-000002", "cat"),
    ]
    assert [seed_of(found, f"row-00000{number}") for number in (2, 0, 1)] == [2, 0, 1]
    assert hub.rows_read < 20
    assert all(streaming for *_, streaming in hub.asked)


def test_streaming_reads_the_split_and_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(tmp_path, monkeypatch, train=["cat"], other=["emu", "dog"])
    flags = {"stream": True, "limit": 5, "hub_config": "small", "hub_split": "other"}
    found = find_photos("somebody/photos", size_px=32, **flags)  # type: ignore[arg-type]
    assert [photo.label for photo in found.photos] == ["emu", "dog"]
    assert set(hub.asked) == {("somebody/photos", "small", "other", True)}


def test_streaming_takes_the_classes_that_are_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(tmp_path, monkeypatch, train=["emu", "cat", "dog", None, "cat", "emu"])
    asked = {"size_px": 32, "stream": True, "limit": 2}
    some = find_photos("somebody/photos", only=["c*", "dog"], skip=["dog"], **asked)  # type: ignore[arg-type]
    assert [(photo.photo_id, photo.label) for photo in some.photos] == [("row-000001", "cat"), ("row-000004", "cat")]
    assert seed_of(some, "row-000004") == 4
    with pytest.raises(UserError, match="'dgo' matches no class of 'somebody/photos', .*nearest: 'dog'"):
        find_photos("somebody/photos", skip=["dgo"], **asked)  # type: ignore[arg-type]


def test_what_was_streamed_is_not_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(tmp_path, monkeypatch, train=["cat"] * 6)
    first = find_photos("somebody/photos", size_px=32, stream=True, limit=2)
    read = hub.rows_read
    again = find_photos("somebody/photos", size_px=32, stream=True, limit=2)
    assert hub.rows_read == read
    assert again.list_sha256() == first.list_sha256()
    more = find_photos("somebody/photos", size_px=32, stream=True, limit=4)
    assert hub.rows_read > read
    assert len(more) == 4


def test_streamed_rows_may_name_files_of_their_own_repository_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets.utils.file_utils

    secret = save(tmp_path / "secret.png")
    own = "hf://datasets/somebody/photos@main/a.png"
    packed = "zip://inside/b.png::hf://datasets/somebody/photos@main/b.zip"
    private = "hf://datasets/me/private/c.png"
    rows = [{"image": {"bytes": None, "path": path}} for path in (own, packed, private, str(secret))]
    kinds = datasets.Features(image=datasets.Image())
    opened = []

    def fetch(path: str, mode: str) -> io.BytesIO:
        opened.append(path)
        return io.BytesIO(content(len(opened)))

    def stream(*_: object, **__: object) -> Any:
        return datasets.IterableDatasetDict(train=datasets.IterableDataset.from_generator(lambda: iter(rows), kinds))

    monkeypatch.setattr(datasets, "load_dataset", stream)
    monkeypatch.setattr(datasets.utils.file_utils, "xopen", fetch)
    found = find_photos("somebody/photos", size_px=32, stream=True, limit=9)
    assert opened == [own, packed]
    assert seed_of(found, "row-000001") == 2
    for photo in found.photos[2:]:
        with pytest.raises(UserError, match="outside the set|does not exist"):
            found.open(photo)


def test_streaming_needs_a_limit_and_a_dataset_of_the_hub(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stream needs a limit"):
        find_photos("somebody/photos", size_px=32, stream=True)
    save(tmp_path / "a.png")
    with pytest.raises(UserError, match="stream is for Hugging Face datasets"):
        find_photos(str(tmp_path), size_px=32, stream=True, limit=3)
