import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]  # public, but not in its stubs

from dreamgan.errors import UserError
from dreamgan.images import save_png
from dreamgan.making import publish
from dreamgan.making.histogram import score_histogram
from dreamgan.making.publish import check_login, check_repo_id, log_to_wandb, prepare_wandb, push_to_hub
from dreamgan.making.report import contact_sheet
from tests.finished_dataset import config_of, dream_of, picture, write_dataset

FILES = [
    "README.md",
    "config.json",
    "data/test-00000-of-00001.parquet",
    "data/train-00000-of-00002.parquet",
    "data/train-00001-of-00002.parquet",
    "guides/bold-[b]*.png",
    "rejects.csv",
    "scores.png",
    "sheet.png",
]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A finished dataset, and things beside it that are none of it."""
    out = write_dataset(tmp_path / "my dreams")
    (out / "config.json").write_text(json.dumps(config_of()), encoding="utf-8")
    (out / "README.md").write_text("# dreams\n", encoding="utf-8")
    (out / "rejects.csv").write_text("photo,reason\n", encoding="utf-8")
    save_png(contact_sheet(out), out / "sheet.png")
    save_png(score_histogram(out), out / "scores.png")
    save_png(picture(0), out / "guides" / "bold-[b]*.png")
    for name in (".work/units/0000000.parquet", ".work/final/data/train-00000-of-00001.parquet", "notes.txt", ".env"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("not for others", encoding="utf-8")
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class Hub:
    """What the hub is asked to do; it does nothing."""

    def __init__(self, *, public: bool = False, error: Exception | None = None) -> None:
        self.public, self.error = public, error
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __call__(self) -> "Hub":
        return self

    def create_repo(self, repo_id: str, **options: Any) -> str:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        if self.error:
            raise self.error
        return f"https://hub/datasets/{repo_id}"

    def dataset_info(self, repo_id: str) -> Any:
        return SimpleNamespace(private=not self.public)

    def upload_folder(self, **options: Any) -> None:
        self.calls.append(("upload_folder", options))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Hub]:
    def logged_in(**options: Any) -> Hub:
        found = Hub(**options)
        monkeypatch.setattr(huggingface_hub, "HfApi", found)
        monkeypatch.setattr(huggingface_hub, "get_token", lambda: "token")
        return found

    return logged_in


@pytest.mark.parametrize("repo_id", ["me/dreams", "a-team/dreams_2.0"])
def test_names_of_the_hub_pass(repo_id: str) -> None:
    check_repo_id(repo_id)


@pytest.mark.parametrize(
    "repo_id", ["dreams", "", "/dreams", "me/", "a/b/c", "me/my dreams", "me/d..x", "me/x\ny", "../x"]
)
def test_what_the_hub_would_refuse_is_refused_before_anything_is_done(repo_id: str) -> None:
    with pytest.raises(UserError, match="--push_to_hub") as caught:
        check_repo_id(repo_id)
    assert "\n" not in str(caught.value)


def test_exactly_the_files_of_the_dataset_are_pushed(out: Path, hub: Callable[..., Hub]) -> None:
    found, before = hub(), contents(out)
    push_to_hub(out, "me/dreams")
    (created, first), (uploaded, second) = found.calls
    assert (created, uploaded) == ("create_repo", "upload_folder")
    assert first == {"repo_id": "me/dreams", "repo_type": "dataset", "private": True, "exist_ok": True}
    assert (second["repo_id"], second["repo_type"], second["folder_path"]) == ("me/dreams", "dataset", out)
    chosen = filter_repo_objects(list(before), allow_patterns=second["allow_patterns"])
    assert sorted(chosen) == FILES
    assert contents(out) == before


def test_what_an_earlier_dataset_left_on_the_hub_goes(out: Path, hub: Callable[..., Hub]) -> None:
    found = hub()
    push_to_hub(out, "me/dreams")
    stale = ["data/train-00002-of-00003.parquet", "guides/old.png", "rejects.csv"]
    kept = [".gitattributes", "LICENSE", "README.md", "code/data.py"]
    patterns = found.calls[1][1]["delete_patterns"]
    assert sorted(filter_repo_objects([*stale, *kept], allow_patterns=patterns)) == stale


def test_pushed_for_everybody_only_when_that_is_wanted(out: Path, hub: Callable[..., Hub]) -> None:
    public = hub(public=True)
    with pytest.raises(UserError, match="'me/dreams' is public on the hub already"):
        push_to_hub(out, "me/dreams")
    assert [name for name, _ in public.calls] == ["create_repo"]
    push_to_hub(out, "me/dreams", private=False)
    assert public.calls[1][1]["private"] is False
    assert public.calls[2][0] == "upload_folder"


def test_without_a_login_nothing_is_sent(out: Path, hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    found = hub()
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    for call in (check_login, lambda: push_to_hub(out, "me/dreams")):
        with pytest.raises(UserError, match="`hf auth login`") as caught:
            call()
        assert "\n" not in str(caught.value)
    assert found.calls == []


def test_an_error_of_the_hub_is_one_line_and_leaves_the_dataset(out: Path, hub: Callable[..., Hub]) -> None:
    hub(error=RuntimeError("403 Forbidden: not your namespace.\nRequest ID: 1\nurl"))
    before = contents(out)
    with pytest.raises(UserError, match=r"is finished, but the hub did not take it .*403 Forbidden") as caught:
        push_to_hub(out, "you/dreams")
    assert "\n" not in str(caught.value)
    assert contents(out) == before


class Run:
    """Stands for a W&B run and keeps what is logged."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.summary: dict[str, Any] = {}
        self.logged: dict[str, Any] = {}
        self.artifacts: list[Any] = []
        self.ended: bool | None = None

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.ended = kind is None

    def log(self, values: dict[str, Any]) -> None:
        self.logged |= values

    def log_artifact(self, artifact: Any) -> None:
        self.artifacts.append(artifact)


@pytest.fixture
def own_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATA", "CACHE", "CONFIG", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / f"wandb-{name.lower()}"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_DIR", raising=False)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, own_wandb: None) -> list[Run]:
    import wandb

    made: list[Run] = []

    def start(**options: Any) -> Run:
        made.append(Run(**options))
        return made[-1]

    monkeypatch.setattr(wandb, "init", start)
    return made


def test_one_run_gets_the_dataset_its_pictures_a_table_and_the_scores(out: Path, runs: list[Run]) -> None:
    before = contents(out)
    log_to_wandb(out, "dreams")
    (run,) = runs
    assert run.ended is True
    assert run.options["project"] == "dreams"
    assert run.options["job_type"] == "dataset"
    assert run.options["config"] == config_of()
    (artifact,) = run.artifacts
    assert (artifact.type, artifact.name) == ("dataset", "my-dreams")
    assert sorted(artifact.manifest.entries) == FILES
    for name, entry in artifact.manifest.entries.items():
        assert Path(entry.local_path) == out / name  # no copy of a large dataset
    assert set(run.logged) == {"pairs", "sheet", "scores"}
    table = run.logged["pairs"]
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.data]
    assert {(row["recipe"], row["strength"]) for row in rows} == {("bold", 0.5), ("bold", 1.0), ("calm", 1.0)}
    assert {row["split"] for row in rows} == {"train", "test"}
    assert {row["label"] for row in rows} == {"cat", "dog"}
    for row in rows:
        number = int(row["photo_id"].removeprefix("photo-"))
        assert row["photo"].image.tobytes() == picture(number).tobytes()
        assert row["dream"].image.tobytes() == dream_of(number).tobytes()
    assert {row["second_dream"] is None for row in rows} == {True, False}
    assert run.summary["bold/strength 0.5/train/pairs"] == 4
    assert run.summary["calm/strength 1/test/score after"] == pytest.approx(4.375)
    assert contents(out) == before


@pytest.mark.parametrize("inside", [False, True])
def test_wandb_files_never_land_in_the_dataset(
    out: Path, runs: list[Run], monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    if inside:
        monkeypatch.setenv("WANDB_DIR", str(out / "data"))
    log_to_wandb(out, "dreams")
    assert Path(runs[0].options["dir"]) == out.parent
    monkeypatch.setenv("WANDB_DIR", str(out.parent / "elsewhere"))
    log_to_wandb(out, "dreams")
    assert Path(runs[1].options["dir"]) == out.parent / "elsewhere"


def test_an_error_of_wandb_is_one_line_and_leaves_the_dataset(
    out: Path, runs: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    def refuse(**_: Any) -> Run:
        raise wandb.errors.CommError("user is not logged in\nrun wandb login")

    monkeypatch.setattr(wandb, "init", refuse)
    before = contents(out)
    with pytest.raises(UserError, match=r"is finished, but W&B did not take it \(user is not logged in\)") as caught:
        log_to_wandb(out, "dreams")
    assert "\n" not in str(caught.value)
    assert contents(out) == before


def test_without_wandb_there_is_one_line(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="pip install wandb"):
        log_to_wandb(out, "dreams")


def test_without_a_key_logging_goes_offline_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    monkeypatch.setenv("WANDB_MODE", "")
    monkeypatch.setattr(wandb, "login", lambda **_: False)
    monkeypatch.setattr(wandb, "teardown", lambda: None)
    prepare_wandb(Path("runs"))
    assert os.environ["WANDB_MODE"] == "offline"
    assert "`wandb sync runs/wandb/offline-run-*`" in capsys.readouterr().err


def test_with_a_key_or_a_chosen_mode_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setattr(wandb, "login", lambda **_: pytest.fail("asked for a login"))
    prepare_wandb("runs")
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    prepare_wandb("runs")
    assert "WANDB_MODE" not in os.environ


def test_a_real_offline_run_leaves_the_dataset_as_it_was(out: Path, own_wandb: None) -> None:
    import wandb

    before = contents(out)
    wandb.teardown()  # what an earlier test has set may have been read
    log_to_wandb(out, "dreams")
    wandb.teardown()
    assert contents(out) == before
    (run,) = (out.parent / "wandb").glob("offline-run-*")
    assert [path.name.split("_")[0] for path in (run / "files" / "media" / "table").iterdir()] == ["pairs"]
    assert {path.name.split("_")[0] for path in (run / "files" / "media" / "images").iterdir()} == {"sheet", "scores"}


def test_the_files_of_a_dataset_without_extras(tmp_path: Path) -> None:
    out = write_dataset(tmp_path, test=0, shards=1)
    assert publish.dataset_files(out) == [out / "data" / "train-00000-of-00001.parquet"]
