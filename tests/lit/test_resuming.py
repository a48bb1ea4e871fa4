"""A training that was stopped goes on as if it had not been."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from dreamgan.lit.pix2pix import Pix2Pix
from tests.lit.runs import assert_equal, checkpoint, csv_flags, fit, logged, styles_of


def stopped(monkeypatch: pytest.MonkeyPatch, epochs: int, *fit_args: Any) -> None:
    """A training that is interrupted after so many epochs."""

    def stop(self: Pix2Pix) -> None:
        if self.current_epoch == epochs:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Pix2Pix, "on_train_epoch_start", stop)
        assert fit(*fit_args) == 130


def assert_same_end(resumed: dict[str, Any], whole: dict[str, Any]) -> None:
    assert resumed["epoch"] == whole["epoch"] == 3
    assert resumed["global_step"] == whole["global_step"]
    for part in ("state_dict", "optimizer_states"):
        assert_equal(resumed[part], whole[part], part)


def test_a_resumed_run_equals_an_uninterrupted_one(
    dataset: Path, tmp_path: Path, whole_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after every epoch, before and after the discriminator joins: weights, EMA and optimisers bit by bit."""
    stopped(monkeypatch, 1, dataset, tmp_path)
    for epochs in (2, 3):
        assert checkpoint(tmp_path)["epoch"] == epochs - 2
        stopped(monkeypatch, epochs, dataset, tmp_path, "--ckpt_path", "last")
    assert fit(dataset, tmp_path, "--ckpt_path", "last") == 0
    assert_same_end(checkpoint(tmp_path), checkpoint(whole_run))


def test_a_run_on_crops_of_two_styles_is_resumed(
    styles: str, tmp_path: Path, styled_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same, and all losses and measures in the log, before and after the discriminator joins."""
    flags = ["--data.crop_px", "48", *csv_flags(tmp_path)]
    stopped(monkeypatch, 1, styles, tmp_path, *flags)
    stopped(monkeypatch, 3, styles, tmp_path, *flags, "--ckpt_path", "last")
    assert fit(styles, tmp_path, *flags, "--ckpt_path", "last") == 0
    assert_same_end(checkpoint(tmp_path), checkpoint(styled_run))
    assert logged(tmp_path) == logged(styled_run)
    assert {epoch for epoch, name in logged(tmp_path) if name == "train/loss_g"} == {0, 1, 2, 3}
    assert {epoch for epoch, name in logged(tmp_path) if name == "train/loss_d"} == {2, 3}


def test_a_finished_run_that_is_resumed_keeps_its_measures(dataset: Path, tmp_path: Path, whole_run: Path) -> None:
    shutil.copytree(whole_run / "checkpoints", tmp_path / "checkpoints")
    assert fit(dataset, tmp_path, "--ckpt_path", "last") == 0
    assert styles_of(tmp_path) == styles_of(whole_run)


def test_the_card_says_when_it_was_measured_also_after_a_resume(dataset: Path, tmp_path: Path) -> None:
    """Validated after every second of three epochs."""
    for resume in ([], ["--ckpt_path", "last"]):
        assert fit(dataset, tmp_path, "--trainer.max_epochs", "3", *resume) == 0
        (facts,) = styles_of(tmp_path).values()
        assert (facts["epochs"], facts["measured_epoch"]) == (3, 2)
        card = (tmp_path / "generator" / "README.md").read_text()
        assert "## Measures on held-out photos (last validation, in epoch 2 of 3)" in card
        shutil.rmtree(tmp_path / "generator")
