"""What a training logs: every term of every style, the measures, and, in W&B, pictures and the generator."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dreamgan.commands.train import wandb_logger
from dreamgan.lit.callbacks import ProgressLine, log_generator
from dreamgan.lit.pix2pix import LOGGED
from tests.lit.runs import fit, logged, styles_of

TERMS = {f"train/{name}" for name in ("l1", "low_pass_l1", "feature", "objective", "local")}


def of_epoch(found: dict[tuple[int, str], str], epoch: int) -> dict[str, float]:
    return {name: float(value) for (own, name), value in found.items() if own == epoch}


def test_every_term_and_style_is_logged_in_every_epoch(styled_run: Path) -> None:
    for epoch in range(4):
        values = of_epoch(logged(styled_run), epoch)
        terms = TERMS | ({"train/adversarial"} if epoch >= 2 else set())
        losses = {"train/loss_g", "train/loss_distillable", "train/loss_petals", "train/gradient_norm"}
        losses |= {"train/loss_d"} if epoch >= 2 else set()
        assert {name for name in values if name.startswith("train/")} == terms | losses
        assert values["train/loss_g"] == pytest.approx(sum(values[name] for name in terms), rel=1e-4)
        # Three batches of the one, four of the other.
        mean = (3 * values["train/loss_distillable"] + 4 * values["train/loss_petals"]) / 7
        assert values["train/loss_g"] == pytest.approx(mean, rel=1e-4)


def test_the_measures_of_every_style_are_logged(styled_run: Path) -> None:
    facts = styles_of(styled_run)
    for epoch, validated in ((0, False), (1, True), (2, False), (3, True)):
        values = of_epoch(logged(styled_run), epoch)
        assert ("val/collapsed" in values) is validated
        for name in LOGGED:
            both = [values.get(f"val/{style}/{name}") for style in facts]
            assert (None not in both) is validated, name
            if epoch == 3:
                assert both == [pytest.approx(each["measures"][name], rel=1e-5) for each in facts.values()]
                assert values[f"val/{name}"] == pytest.approx(
                    sum(each["measures"][name] for each in facts.values()) / 2
                )


def test_the_generator_becomes_an_artifact(styled_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))
    taken: list[Any] = []
    log_generator(SimpleNamespace(log_artifact=taken.append), styled_run / "generator")
    (artifact,) = taken
    assert (artifact.name, artifact.type) == ("generator", "model")
    assert artifact.manifest.entries.keys() == {"README.md", "config.json", "model.safetensors"}
    assert artifact.metadata["styles"].keys() == {"distillable", "petals"}


def test_a_generator_that_wandb_does_not_take(
    styled_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))

    def refuse(artifact: object) -> None:
        raise ConnectionError("no route\nto host")

    log_generator(SimpleNamespace(log_artifact=refuse), styled_run / "generator")
    folder = styled_run / "generator"
    said = f"W&B did not take the generator (no route to host); it is in {folder} all the same"
    assert capsys.readouterr().err.splitlines()[-1] == said


def test_a_log_without_a_terminal_shows_progress_within_an_epoch(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    once = ["--trainer.max_epochs", "1"]
    assert fit(dataset, tmp_path / "quick", *once) == 0
    assert "batch" not in capsys.readouterr().out
    monkeypatch.setattr("dreamgan.lit.callbacks.EVERY_S", 0)
    assert fit(dataset, tmp_path / "long", *once) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "batch" in line]
    assert lines == [f"epoch 1/1: batch {batch} of 3" for batch in (1, 2, 3)]


@pytest.mark.parametrize(("first", "terminal"), [(False, False), (True, True)])
def test_other_processes_and_terminals_get_no_lines(
    first: bool, terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dreamgan.lit.callbacks.EVERY_S", 0)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    trainer: Any = SimpleNamespace(is_global_zero=first, num_training_batches=3, current_epoch=0, max_epochs=1)
    line = ProgressLine()
    line.on_train_start(trainer, None)  # type: ignore[arg-type]
    line.on_train_batch_end(trainer, None, None, None, 0)  # type: ignore[arg-type]
    assert capsys.readouterr().out == ""


def test_wandb_gets_no_setting_that_it_warns_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("wandb.init", lambda **settings: given.update(settings))
    _ = wandb_logger("dreams", tmp_path).experiment
    assert (given["project"], given["dir"]) == ("dreams", str(tmp_path))
    assert "anonymous" not in given


@pytest.mark.slow
def test_csv_and_wandb_offline(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default loggers, twice into one folder: both runs are kept."""
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))
    for _ in range(2):
        flags = ["--trainer.logger", "null", "--trainer.log_every_n_steps", "1", "--overwrite", "true"]
        assert fit(dataset, tmp_path, *flags) == 0
    wandb.teardown()  # its other process has written everything then
    runs = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert len(runs) == 2
    for number, run in enumerate(runs):
        text = (tmp_path / "csv" / f"version_{number}" / "metrics.csv").read_text()
        rows = list(csv.DictReader(text.splitlines()))
        assert [row for row in rows if row["val/agreement"]]
        assert [row for row in rows if row["train/loss_d"]]
        (history,) = run.glob("*.wandb")
        kept = history.read_bytes()
        for name in ("train/loss_g", "train/loss_distillable", "val/agreement", "val/grid", "model.safetensors"):
            assert name.encode() in kept, name
        assert len(list((run / "files" / "media").rglob("*.png"))) == 2  # one grid per validation
