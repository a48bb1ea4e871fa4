"""Validations of a training and of a checkpoint."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamgan.cli import main
from dreamgan.lit.pix2pix import Pix2Pix
from dreamgan.metrics import Measures, measure
from tests.lit.runs import SMOKE, csv_flags, fit, logged, styles_of


def test_a_sanity_check_is_no_validation(
    dataset: Path, tmp_path: Path, whole_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    never = ["--trainer.check_val_every_n_epoch", "null", "--trainer.val_check_interval", "1000"]
    assert fit(dataset, tmp_path, "--trainer.max_epochs", "1", *never) == 0
    assert "agreement" not in capsys.readouterr().out
    assert styles_of(tmp_path)["distillable"]["measures"] == {}
    card = (tmp_path / "generator" / "README.md").read_text()
    assert "No validation was run" in card
    assert "| measure |" not in card
    assert "No validation was run" not in (whole_run / "generator" / "README.md").read_text()


def test_config_json_holds_no_nan(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A validation pair without a second dream: no ceiling, so no agreement."""
    step = Pix2Pix.validation_step

    def without_second(self: Pix2Pix, batch: dict[str, torch.Tensor], *numbers: int) -> None:
        step(self, {**batch, "has_second": torch.zeros_like(batch["has_second"])}, *numbers)

    monkeypatch.setattr(Pix2Pix, "validation_step", without_second)
    assert fit(dataset, tmp_path, "--trainer.max_epochs", "1") == 0

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in config.json")

    config = json.loads((tmp_path / "generator" / "config.json").read_text(), parse_constant=refuse)
    measures = config["styles"]["distillable"]["measures"]
    assert "floor_cosine" in measures
    assert "agreement" not in measures


def test_validate_measures_and_leaves_the_run_alone(
    dataset: Path, tmp_path: Path, whole_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    (tmp_path / "run" / "grids" / "epoch-0000.png").write_text("of the training")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    flags = ["--data.dataset", str(dataset), "--run_dir", str(tmp_path / "run")]
    assert main(["train", "validate", "--config", SMOKE, *flags, "--ckpt_path", "last"]) == 0
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    measures = styles_of(whole_run)["distillable"]["measures"]
    lines = capsys.readouterr().out.splitlines()
    said = next(line for line in lines if line.startswith("validation: distillable: agreement"))
    assert f"agreement {measures['agreement']:.3f}, feature cosine {measures['feature_cosine']:.3f}" in said


def test_validate_wants_a_checkpoint(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data.dataset", str(dataset), "--run_dir", str(tmp_path / "run")]
    assert main(["train", "validate", "--config", SMOKE, *flags]) == 2
    assert "--ckpt_path last" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_validate_wants_something_to_validate_on(
    dataset: Path, whole_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data.dataset", str(dataset), "--run_dir", str(whole_run), "--ckpt_path", "last"]
    assert main(["train", "validate", "--config", SMOKE, *flags, "--data.val_pairs", "0"]) == 2
    assert "nothing to validate on" in capsys.readouterr().err.splitlines()[-1]


def test_a_validation_measures_in_batches_of_the_data(
    dataset: Path, whole_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []

    def spy(*args: Any, batch: int, **options: Any) -> Any:
        batches.append(batch)
        return measure(*args, batch=batch, **options)

    monkeypatch.setattr("dreamgan.lit.pix2pix.measure", spy)
    flags = ["--data.dataset", str(dataset), "--run_dir", str(whole_run), "--ckpt_path", "last"]
    assert main(["train", "validate", "--config", SMOKE, *flags, "--data.batch_size", "1"]) == 0
    assert batches == [1]


def collapsing(style: float, dream: float = 0.2) -> Measures:
    values = {field.name: 0.0 for field in dataclasses.fields(Measures)}
    return Measures(**{**values, "n": 2, "universal_share": style, "dream_universal_share": dream})  # type: ignore[arg-type]


def test_a_style_that_adds_the_same_everywhere_is_told() -> None:
    model = Pix2Pix()
    assert model.collapsed() == {}
    shares = {"fine": (0.2, 0.2), "at the limit": (0.5, 0.25), "collapsed": (0.75, 0.25), "out of nothing": (0.1, 0.0)}
    model.measures = {name: collapsing(*each) for name, each in shares.items()}
    assert list(model.collapsed()) == ["collapsed", "out of nothing"]
    assert model.collapsed()["collapsed"] == 3


def test_a_collapse_is_printed_and_logged(
    styles: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Pix2Pix, "_measure", lambda self, number, parts: collapsing((0.2, 0.5)[number]))
    assert fit(styles, tmp_path, "--trainer.max_epochs", "1", *csv_flags(tmp_path)) == 0
    (said,) = (line for line in capsys.readouterr().out.splitlines() if "COLLAPSE" in line)
    assert said.startswith("epoch 1/1: petals: COLLAPSE? universal share 0.500, 2.5 times the dreams' own")
    values = logged(tmp_path)
    assert float(values[0, "val/collapsed"]) == 1
    assert float(values[0, "val/petals/universal_share"]) == 0.5


def test_a_checkpoint_of_several_styles_is_validated(
    styles: str, styled_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data.dataset", styles, "--run_dir", str(styled_run), "--ckpt_path", "last"]
    assert main(["train", "validate", "--config", SMOKE, *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, each in styles_of(styled_run).items():
        said = next(line for line in lines if line.startswith(f"validation: {name}: agreement"))
        assert f"agreement {each['measures']['agreement']:.3f}" in said
