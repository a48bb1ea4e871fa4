import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest

from dreamgan.data import names
from dreamgan.data.photos import PhotoSet
from dreamgan.data.sources import find_photos
from dreamgan.errors import UserError
from tests.data.photo_files import content, save, seed_of


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")


def ids(found: PhotoSet) -> list[str]:
    return [photo.photo_id for photo in found.photos]


def save_table(path: Path, *seeds: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {"image": [{"bytes": content(seed), "path": None} for seed in seeds]}
    datasets.Dataset.from_dict(rows, features=datasets.Features(image=datasets.Image())).to_parquet(path)
    return path


@pytest.fixture
def zoo(tmp_path: Path) -> str:
    for number, label in enumerate(("cat", "dog", "hot dog")):
        for place in range(3):
            save(tmp_path / "zoo" / label / f"{label[0]}{place}.png", 10 * number + place)
    return str(tmp_path / "zoo")


# ------------------------------------------------------------------------------------------------- which of them


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


def test_missing_empty_and_senseless_arguments(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        find_photos(str(tmp_path / "nowhere"), size_px=32)
    with pytest.raises(UserError, match="picture"):
        find_photos(str(tmp_path), size_px=32)
    for name in ("crops", "limit"):
        with pytest.raises(UserError, match=f"{name} is 0"):
            find_photos("samples", size_px=32, **{name: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("only", "skip", "wanted"),
    [
        (["cat"], [], ["cat/c0", "cat/c1", "cat/c2"]),
        (["*dog"], ["hot*"], ["dog/d0", "dog/d1", "dog/d2"]),
        (["cat/c?"], ["c1"], ["cat/c0", "cat/c2"]),
        ([], ["*dog", "cat/c[01]"], ["cat/c2"]),
        (["c0", "dog/d2"], [], ["cat/c0", "dog/d2"]),
    ],
)
def test_patterns_are_of_classes_ids_and_files(zoo: str, only: list[str], skip: list[str], wanted: list[str]) -> None:
    found = find_photos(zoo, size_px=32, only=only, skip=skip)
    assert ids(found) == wanted
    assert found.labels == tuple(sorted({photo.label for photo in found.photos}))


def test_the_suffix_of_an_id_need_not_be_given(tmp_path: Path) -> None:
    for name in ("x/a.png", "x/a.bmp", "x/b.png"):
        save(tmp_path / name)
    for pattern in ("a", "x/a"):
        assert ids(find_photos(str(tmp_path), size_px=32, only=[pattern])) == ["x/a.bmp", "x/a.png"]
    assert ids(find_photos(str(tmp_path), size_px=32, only=["x/a.b*"])) == ["x/a.bmp"]


def test_patterns_mind_the_case_as_names_do(zoo: str) -> None:
    with pytest.raises(UserError, match="'CAT' matches no class and no photo of .*nearest: '"):
        find_photos(zoo, size_px=32, only=["CAT"])


def test_a_pattern_that_matches_nothing_is_an_error(zoo: str) -> None:
    with pytest.raises(UserError, match="'dgo' matches no class and no photo of .*; nearest: 'dog'"):
        find_photos(zoo, size_px=32, skip=["dgo"])
    with pytest.raises(UserError, match="'dog/d9' matches no class .*; nearest: 'dog/d"):
        find_photos(zoo, size_px=32, only=["cat", "dog/d9"])
    with pytest.raises(UserError, match="leaves no photo"):
        find_photos(zoo, size_px=32, only=["cat"], skip=["c*"])


def test_the_limit_counts_what_the_patterns_leave(zoo: str) -> None:
    assert ids(find_photos(zoo, size_px=32, skip=["cat"], limit=2)) == ["dog/d0", "hot dog/h0"]


def test_the_nearest_name_is_looked_for_among_so_many_only() -> None:
    asked = []

    def many() -> Iterator[str]:
        for number in range(10**9):
            asked.append(number)
            yield str(number)

    assert names.nearest("12x", many()) is not None
    assert len(asked) <= names.MOST_COMPARED + 1


# ------------------------------------------------------------------------------------------------- several sources


def test_several_sources_are_one_set_with_their_names_before_the_ids(zoo: str, tmp_path: Path) -> None:
    first = save_table(tmp_path / "first.parquet", 30, 31)
    second = save_table(tmp_path / "second" / "x.parquet", 40)
    (tmp_path / "mine.txt").write_text("zoo/cat/c0.png\tcat\n")
    lone = save(tmp_path / "lone.v2.png", 60)
    parts = [zoo, str(first), str(second.parent), str(tmp_path / "mine.txt"), str(lone)]
    sets = [find_photos(",".join(parts), size_px=32), find_photos(parts, size_px=32)]
    sets.append(pickle.loads(pickle.dumps(sets[0])))
    for found in sets:
        assert ids(found)[:2] == ["zoo/cat/c0", "zoo/cat/c1"]
        assert ids(found)[9:] == [
            "first/row-000000",
            "first/row-000001",
            "second/row-000000",
            "mine/zoo/cat/c0",
            "lone.v2/lone.v2",
        ]
        assert [seed_of(found, name) for name in reversed(ids(found)[8:])] == [60, 0, 40, 31, 30, 22]
        assert found.labels == ("cat", "dog", "hot dog")
        assert found.sources == ("zoo", "first.parquet", "second", "mine.txt", "lone.v2.png")
        assert found.photos[0].source_id == "zoo/cat/c0"
        assert found.photos[0].file == "zoo/cat/c0.png"
    assert len({found.list_sha256() for found in sets}) == 1


def test_patterns_and_limits_are_of_all_sources_together(zoo: str, tmp_path: Path) -> None:
    save(tmp_path / "more" / "cat" / "c7.png")
    both = f"{zoo}, {tmp_path / 'more'}"
    assert ids(find_photos(both, size_px=32, only=["cat"], limit=4)) == [
        "zoo/cat/c0",
        "zoo/cat/c1",
        "zoo/cat/c2",
        "more/cat/c7",
    ]
    assert ids(find_photos(both, size_px=32, only=["more/*", "h1"])) == ["zoo/hot dog/h1", "more/cat/c7"]


def test_rejects_of_several_sources_are_told_apart(zoo: str, tmp_path: Path) -> None:
    for folder in ("zoo", "more"):
        save(tmp_path / folder / "two\nlines.png")
    save(tmp_path / "more" / "a.png")
    found = find_photos([zoo, str(tmp_path / "more")], size_px=32)
    assert [reject.name for reject in found.rejects] == [r"zoo/two\nlines.png", r"more/two\nlines.png"]


def test_a_name_with_a_comma_that_exists_is_one_source(tmp_path: Path) -> None:
    save(tmp_path / "cats,dogs" / "a.png")
    save(tmp_path / "cats" / "b.png")
    assert ids(find_photos(str(tmp_path / "cats,dogs"), size_px=32)) == ["a"]
    assert ids(find_photos([str(tmp_path / "cats,dogs"), str(tmp_path / "cats")], size_px=32)) == [
        "cats,dogs/a",
        "cats/b",
    ]


def test_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("x/photos/a.png", "y/photos/b.png"):
        save(tmp_path / name)
    with pytest.raises(UserError, match="are both called 'photos'.*; rename one, or give a folder that holds both"):
        find_photos(f"{tmp_path}/x/photos,{tmp_path}/y/photos/", size_px=32)
    with pytest.raises(UserError, match="are both called 'photos'"):
        find_photos([f"{tmp_path}/x/photos"] * 2, size_px=32)


def test_a_source_is_called_the_same_from_wherever_it_is_named(
    zoo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = find_photos(zoo, size_px=32)
    monkeypatch.chdir(zoo)
    here = find_photos(".", size_px=32)
    assert (
        (here.sources, here.list_sha256()) == (wanted.sources, wanted.list_sha256()) == (("zoo",), here.list_sha256())
    )


@pytest.mark.parametrize("photos", ["", ",", "a,,b", []])
def test_an_empty_name_is_no_source(photos: str | list[str]) -> None:
    with pytest.raises(UserError, match="names no source of photos"):
        find_photos(photos, size_px=32)


def test_a_folder_that_may_not_be_entered_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*args: object, **kwargs: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", denied)
        with pytest.raises(UserError, match=r"'locked/photos' cannot be read: Permission denied"):
            find_photos("locked/photos", size_px=32)
    with pytest.raises(UserError, match="cannot be read: File name too long"):
        find_photos("x" * 5000, size_px=32)


def test_split_and_configuration_are_for_those_who_have_them(zoo: str) -> None:
    for flags in ({"hub_split": "test"}, {"hub_config": "small"}):
        with pytest.raises(UserError, match=f"{next(iter(flags))} is for Hugging Face datasets, and .* names none"):
            find_photos(zoo, size_px=32, **flags)  # type: ignore[arg-type]
