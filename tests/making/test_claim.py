"""The folder of a dataset: whose it is."""

import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from dreamgan.errors import UserError
from dreamgan.making.claim import FORMAT, begun_threads, check_claim, claimed, is_complete


def config_of(**changes: Any) -> dict[str, Any]:
    dream = {"name": "gordic", "share": 1.0, "recipe": {"name": "gordic", "octaves": 4}, "guides": {}}
    return {"format": FORMAT, "seed": 0, "photos": ["a"], "threads": 1, "torch": "2.15", "dreams": [dream], **changes}


def finished(out: Path, config: dict[str, Any]) -> None:
    with claimed(out, config, overwrite=False):
        (out / "data").mkdir()
        (out / "data" / "train-00000-of-00001.parquet").touch()
        (out / "README.md").touch()


def test_a_new_folder_is_claimed_by_writing_the_config(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    assert not check_claim(out, config_of(), overwrite=False)
    assert not out.exists()
    with claimed(out, config_of(), overwrite=False) as work:
        assert work.parent == out
        assert json.loads((out / "config.json").read_text()) == config_of()
    assert check_claim(out, config_of(), overwrite=False)
    assert not is_complete(out)
    assert begun_threads(out) == 1


def test_a_run_that_was_killed_before_it_wrote_its_config_is_no_stranger(tmp_path: Path) -> None:
    (tmp_path / ".work").mkdir()
    (tmp_path / ".work" / ".0123456789abcdef.tmp").touch()
    assert not check_claim(tmp_path, config_of(), overwrite=False)
    with claimed(tmp_path, config_of(), overwrite=False) as work:
        assert [item.name for item in work.iterdir()] == ["lock"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 1}, "(seed was 0, is 1)"),
        ({"photo_list_sha256": "b"}, "(the photos differ in name, class, crop or file size)"),
        ({"dreams": [{**config_of()["dreams"][0], "share": 2.0}]}, "(dream.share was 1.0, is 2.0)"),
        (
            {"dreams": [{**config_of()["dreams"][0], "recipe": {"name": "gordic", "octaves": 3}}]},
            "(dream.recipe.octaves was 4, is 3)",
        ),
        ({"dreams": [{"name": "keras", "recipe": {"name": "keras"}}]}, "(dream was 'gordic', is 'keras')"),
        (
            {"dreams": [config_of()["dreams"][0], {"name": "keras"}]},
            "(dream is gone; dream gordic is new; dream keras is new)",
        ),
    ],
)
def test_another_configuration_is_refused_with_the_difference(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    finished(tmp_path, config_of())
    with pytest.raises(UserError, match="was begun with another configuration") as caught:
        check_claim(tmp_path, config_of(**changes), overwrite=False)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not check_claim(tmp_path, config_of(**changes), overwrite=True)
    assert is_complete(tmp_path)
    with claimed(tmp_path, config_of(**changes), overwrite=True):
        assert not is_complete(tmp_path)
        assert sorted(item.name for item in tmp_path.iterdir()) == [".work", "config.json"]


def test_names_of_sources_versions_and_what_no_longer_matters_may_change(tmp_path: Path) -> None:
    with claimed(tmp_path, config_of(), overwrite=False):
        pass
    assert check_claim(tmp_path, config_of(photos=["b"]), overwrite=False)
    with pytest.raises(UserError, match="threads was 1, is 2; torch was '2.15', is '3.0'"):
        check_claim(tmp_path, config_of(threads=2, torch="3.0"), overwrite=False)
    finished(tmp_path, config_of())
    assert check_claim(tmp_path, config_of(threads=2, torch="3.0", dreamgan="9"), overwrite=False)


@pytest.mark.parametrize("content", ['{"format": "dreamgan-translator-1"}', "[]", "{", "\xff"])
def test_a_config_of_something_else_is_left_alone(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match="is of something else than a dream dataset"):
        check_claim(tmp_path, config_of(), overwrite=True)
    assert (tmp_path / "config.json").read_text(encoding="latin-1") == content
    assert begun_threads(tmp_path) is None


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UserError, match="holds something else than a dream dataset"):
        check_claim(tmp_path, config_of(), overwrite=True)


def test_a_dataset_of_an_earlier_format_may_be_overwritten(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"format": "dreamgan-dataset-1", "seed": 0}')
    with pytest.raises(UserError, match="format was 'dreamgan-dataset-1', is 'dreamgan-dataset-2'"):
        check_claim(tmp_path, config_of(), overwrite=False)
    assert not check_claim(tmp_path, config_of(), overwrite=True)


def _hold(out: Path, held: Any, go: Any) -> None:
    with claimed(out, config_of(), overwrite=False):
        held.set()
        go.wait(60)


def test_only_one_run_at_a_time(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, go))
    other.start()
    try:
        assert held.wait(60)
        with (
            pytest.raises(UserError, match="another run is making the dataset"),
            claimed(tmp_path, config_of(), overwrite=False),
        ):
            pass
    finally:
        go.set()
        other.join()
    with claimed(tmp_path, config_of(), overwrite=False):
        pass
