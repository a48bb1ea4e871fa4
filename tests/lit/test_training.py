"""Training through the command line: what it writes, and on what it trains."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path

import pytest
import torch
import yaml

from dreamgan.data.datamodule import DreamPairs
from dreamgan.data.pairs import load_pairs
from dreamgan.data.styles import Style
from dreamgan.images import load_image, to_unit
from dreamgan.lit.gan import ema_average
from dreamgan.lit.pix2pix import Pix2Pix
from dreamgan.sampling import load_generator, sample
from tests.lit.runs import assert_equal, checkpoint, dreamed, fit, styles_of


def test_a_run_leaves_checkpoint_grids_and_generator(whole_run: Path, dataset: Path) -> None:
    assert checkpoint(whole_run)["epoch"] == 3
    grids = sorted((whole_run / "grids").glob("*.png"))
    assert [grid.name for grid in grids] == ["epoch-0001.png", "epoch-0003.png"]
    (facts,) = styles_of(whole_run).values()
    assert (facts["recipe"], facts["epochs"], facts["strengths"]) == ("distillable", 4, [1.0])
    assert facts["measures"]["n"] == 2
    assert "agreement" in (whole_run / "generator" / "README.md").read_text()


def test_the_export_is_the_ema(whole_run: Path) -> None:
    generator = load_generator(whole_run / "generator")
    state = checkpoint(whole_run)["state_dict"]
    ema = {name.removeprefix("ema.module."): value for name, value in state.items() if name.startswith("ema.module.")}
    assert_equal(dict(generator.network.state_dict()), ema)
    raw = {name.removeprefix("generator."): value for name, value in state.items() if name.startswith("generator.")}
    assert any(not torch.equal(raw[name], ema[name]) for name in ema)


def test_training_changes_the_pictures(whole_run: Path, dataset: Path) -> None:
    photo = to_unit(load_pairs(dataset, "test")[0]["photo"])[None]
    generated = sample(load_generator(whole_run / "generator"), photo)
    assert (generated - photo).abs().mean() > 1e-3


def test_other_seeds_train_otherwise(dataset: Path, tmp_path: Path) -> None:
    once = ["--trainer.max_epochs", "1", "--data.val_pairs", "0"]
    weights = []
    for run, flags, seeds in (
        ("zero", [], [0, 0]),
        ("one", ["--seed_everything", "1"], [1, 1]),
        ("own", ["--seed_everything", "1", "--model.seed", "4", "--data.seed", "5"], [4, 5]),
    ):
        assert fit(dataset, tmp_path / run, *once, *flags) == 0
        config = yaml.safe_load((tmp_path / run / "config.yaml").read_text())
        assert [config[part]["init_args"]["seed"] for part in ("model", "data")] == seeds
        weights.append(checkpoint(tmp_path / run)["state_dict"]["generator.head.weight"])
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])


def test_an_earlier_training_is_not_replaced_unasked(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(dataset, tmp_path, "--trainer.max_epochs", "1") == 0
    before = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    capsys.readouterr()
    assert fit(dataset, tmp_path, "--trainer.max_epochs", "1") == 2
    assert "--ckpt_path last" in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == before
    assert fit(dataset, tmp_path, "--trainer.max_epochs", "1", "--overwrite", "true", "--seed_everything", "1") == 0
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() != before


def test_a_training_shorter_than_its_validations_is_validated(dataset: Path, tmp_path: Path) -> None:
    assert fit(dataset, tmp_path, "--trainer.max_epochs", "1") == 0
    assert [grid.name for grid in (tmp_path / "grids").iterdir()] == ["epoch-0000.png"]


def test_sigterm_ends_a_training_as_ctrl_c_does(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def kill(self: Pix2Pix) -> None:
        if self.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Pix2Pix, "on_train_epoch_start", kill)
    assert fit(dataset, tmp_path) == 143
    assert capsys.readouterr().err.splitlines()[-1].endswith("terminated; what was finished is kept")
    assert checkpoint(tmp_path)["epoch"] == 0
    assert signal.getsignal(signal.SIGTERM) is before


def dataset_of(objective: str, dataset: Path, folder: Path, *, backbone: str = "squeezenet1_1") -> Path:
    """Another dataset, of the same photos dreamed with another objective."""
    flags = ["--backbone", backbone, "--test_fraction", "0.25", "--objective", objective]
    return dreamed(dataset.parent / "photos", folder / "other", *flags)


@pytest.mark.parametrize(
    "objective",
    [
        "l2(features.4) + 0.5*channel(features.7, 3) - 0.1*tv()",
        "maps(features.7, 1, 2) - norm()",
        "l2(features.4, octaves=1/1/0) + mean(features.7, octaves=0/0/2)",
    ],
)
def test_a_network_trains_on_dreams_of_any_objective_of_features(objective: str, dataset: Path, tmp_path: Path) -> None:
    other = dataset_of(objective, dataset, tmp_path)
    assert fit(other, tmp_path / "run", "--trainer.max_epochs", "1") == 0
    assert styles_of(tmp_path / "run")["distillable"]["measures"]["n"] == 2
    state = checkpoint(tmp_path / "run")["state_dict"]
    assert all(bool(value.isfinite().all()) for value in state.values())


def test_a_network_trains_on_dreams_of_a_class(dataset: Path, tmp_path: Path) -> None:
    other = dataset_of("class(tabby) - 0.01*batch_norm()", dataset, tmp_path, backbone="mobilenet_v2")
    assert fit(other, tmp_path / "run", "--trainer.max_epochs", "1", "--trainer.check_val_every_n_epoch", "1") == 0


def test_an_objective_that_needs_more_than_a_picture_is_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = DreamPairs.styles

    def guided(self: DreamPairs) -> list[Style]:
        (style,) = real(self)
        recipe = {**json.loads(style.facts["recipe_json"]), "objective": "guided(features.9, bees)"}
        return [dataclasses.replace(style, facts={**style.facts, "recipe_json": json.dumps(recipe)})]

    monkeypatch.setattr(DreamPairs, "styles", guided)
    assert fit(dataset, tmp_path / "run") == 2
    captured = capsys.readouterr()
    said = "the objective guided(features.9, bees) needs more than a picture; a GAN cannot train on it"
    assert said in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err


def test_ema_forgets_its_beginning() -> None:
    averaged, current = [torch.zeros(1)], [torch.ones(1)]
    update = ema_average(0.999)
    for count in range(1, 51):
        update(averaged, current, torch.tensor(count))
    assert 0.95 < float(averaged[0]) < 1


def test_loaded_pictures_of_a_grid_have_three_columns(whole_run: Path) -> None:
    grid = load_image(whole_run / "grids" / "epoch-0003.png").picture
    assert grid.width > 3 * 64
    assert grid.height > 2 * 64
