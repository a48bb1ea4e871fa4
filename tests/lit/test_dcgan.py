"""The training of the GAN that dreams from noise, through the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from dreamgan.cli import main
from dreamgan.lit.callbacks import log_generator
from dreamgan.lit.dcgan import DCGAN
from dreamgan.metrics.from_noise import NoiseMeasures
from dreamgan.noise_sampling import load_noise_generator, noise_samples
from tests.lit.runs import SMOKE as PIX2PIX
from tests.lit.runs import assert_equal, checkpoint, csv_flags, dreamed, logged, write_photos

ROOT = Path(__file__).resolve().parents[2]
SMOKE = str(ROOT / "configs" / "smoke" / "dcgan.yaml")
HANGS_S = 240
ONCE = ["--trainer.max_epochs", "1"]


def fit(dataset: object, run_dir: Path, *flags: str, config: str = SMOKE) -> int:
    return main(["train", "fit", "--config", config, "--data.dataset", str(dataset), "--run_dir", str(run_dir), *flags])


@pytest.fixture(scope="module")
def classed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos of each of two classes, dreamed; four of all are for the test."""
    folder = tmp_path_factory.mktemp("classed")
    photos = write_photos(folder / "photos", 12)
    for name, numbers in (("bee", range(6)), ("cow", range(6, 12))):
        (photos / name).mkdir()
        for number in numbers:
            (photos / f"{number:02d}.png").rename(photos / name / f"{number:02d}.png")
    return dreamed(photos, folder / "dataset", "--backbone", "squeezenet1_1", "--test_fraction", "0.34")


@pytest.fixture(scope="module")
def run(classed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four epochs, classes apart. Treat as read-only."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    assert fit(classed, run_dir, "--model.class_conditional", "true", *csv_flags(run_dir)) == 0
    return run_dir


def test_a_run_leaves_checkpoint_grids_and_generator(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {"checkpoints", "csv", "generator", "grids"}
    kept = checkpoint(run)
    assert (kept["epoch"], kept["classes"], kept["styles"]) == (3, ["bee", "cow"], ["distillable"])
    assert {name.split(".")[0] for name in kept["state_dict"]} == {"generator", "discriminator", "ema"}
    grids = sorted((run / "grids").glob("*.png"))
    assert [grid.name for grid in grids] == ["epoch-0001.png", "epoch-0003.png"]
    with Image.open(grids[-1]) as grid:
        assert min(grid.size) > 8 * 64
    assert grids[0].read_bytes() != grids[1].read_bytes()


def test_the_export_is_the_average(run: Path) -> None:
    generator = load_noise_generator(run / "generator")
    state = checkpoint(run)["state_dict"]
    ema = {name.removeprefix("ema.module."): value for name, value in state.items() if name.startswith("ema.module.")}
    assert_equal(dict(generator.network.state_dict()), ema)
    raw = {name.removeprefix("generator."): value for name, value in state.items() if name.startswith("generator.")}
    assert any(not torch.equal(raw[name], ema[name]) for name in ema)
    assert list(generator.classes) == ["bee", "cow"]
    pictures = noise_samples(generator, [0, 1], category="cow")
    assert pictures.shape == (2, 3, 64, 64)

    config = json.loads((run / "generator" / "config.json").read_text())
    (facts,) = config["styles"].values()
    assert (facts["recipe"], facts["epochs"], facts["measures"]["n"]) == ("distillable", 4, 4)
    assert facts["measures"]["features"] == "squeezenet1_1 features.9"
    card = (run / "generator" / "README.md").read_text()
    assert "dreamgan sample --generator THIS_FOLDER --n 64" in card
    assert f"| diversity | {facts['measures']['diversity']:.4g} |" in card
    assert "bee, cow" in card
    assert "## Measures (last validation, in epoch 4 of 4)" in card


def test_terms_and_measures_are_logged(run: Path) -> None:
    values = logged(run)
    terms = {"loss_g", "loss_d", "adversarial_d", "r1", "r2", "real", "fake", "gradient_norm", "gradient_norm_d"}
    for epoch in range(4):
        of_epoch = {name: float(value) for (number, name), value in values.items() if number == epoch}
        assert {name for name in of_epoch if name.startswith("train/")} == {f"train/{term}" for term in terms}
        parts = sum(of_epoch[f"train/{name}"] for name in ("adversarial_d", "r1", "r2"))
        assert of_epoch["train/loss_d"] == pytest.approx(parts, rel=1e-4)
        assert ("val/diversity" in of_epoch) is (epoch in (1, 3))


def test_a_resumed_run_equals_an_uninterrupted_one(
    classed: Path, tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--model.class_conditional", "true", *csv_flags(tmp_path)]
    for epochs, resume in ((1, []), (3, ["--ckpt_path", "last"])):

        def stop(self: DCGAN, epochs: int = epochs) -> None:
            if self.current_epoch == epochs:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(DCGAN, "on_train_epoch_start", stop)
            assert fit(classed, tmp_path, *flags, *resume) == 130
    assert fit(classed, tmp_path, *flags, "--ckpt_path", "last") == 0
    resumed, whole = checkpoint(tmp_path), checkpoint(run)
    for each in (resumed, whole):
        each["measures"] = {name: value for name, value in each["measures"].items() if value == value}  # no NaN
    for part in ("epoch", "global_step", "state_dict", "optimizer_states", "measures"):
        assert_equal(resumed[part], whole[part], part)
    assert logged(tmp_path) == logged(run)
    shutil.rmtree(tmp_path / "generator")
    assert fit(classed, tmp_path, *flags, "--ckpt_path", "last") == 0
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "generator" / name).read_bytes() == (run / "generator" / name).read_bytes()


def test_two_processes_train_as_one_does(classed: Path, tmp_path: Path) -> None:
    once = ["--trainer.max_epochs", "2", "--trainer.precision", "64-true", "--data.val_pictures", "0"]
    assert fit(classed, tmp_path / "one", *once, "--data.batch_size", "4") == 0
    (tmp_path / "out").mkdir()
    two = ["--data.dataset", str(classed), "--run_dir", str(tmp_path / "two"), "--trainer.devices", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.lit.steps", str(tmp_path / "out"), "", "fit", "--config", SMOKE, *once, *two],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        timeout=HANGS_S,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"started-0", "started-1"}
    one, other = checkpoint(tmp_path / "one"), checkpoint(tmp_path / "two")
    assert one["global_step"] == other["global_step"] == 2 * 2 * 2
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(other["state_dict"][name], value, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("flags", "averaged"),
    [
        (
            ["--model.kind", "dcgan", "--model.loss", "logistic", "--model.ema_decay", "0", "--model.decay", "false"],
            False,
        ),
        (["--model.loss", "hinge", "--model.r2_weight", "0", "--model.warmup", "0.5", "--precision", "bf16"], True),
        (["--model.r1_weight", "0", "--model.augment", "false", "--precision", "bf16"], True),
    ],
)
def test_other_ways_to_train(classed: Path, tmp_path: Path, flags: list[str], averaged: bool) -> None:
    assert fit(classed, tmp_path, *ONCE, *flags) == 0
    state = checkpoint(tmp_path)["state_dict"]
    assert all(bool(value.isfinite().all()) for value in state.values())
    names = [name.removeprefix("generator.") for name in state if name.startswith("generator.")]
    same = all(torch.equal(state[f"ema.module.{name}"], state[f"generator.{name}"]) for name in names)
    assert same is not averaged


def test_likeness_joins_in_when_its_time_has_come(classed: Path, tmp_path: Path) -> None:
    judges = ["--model.likeness", "squeezenet1_1,mobilenet_v2"]
    flags = [*judges, "--model.likeness_from", "0.5", "--model.likeness_weight", "0.5"]
    assert fit(classed, tmp_path, *flags, *csv_flags(tmp_path)) == 0
    values = logged(tmp_path)
    assert [(epoch, "train/likeness") in values for epoch in range(4)] == [False, False, True, True]
    state = checkpoint(tmp_path)["state_dict"]
    # The frozen network is no part of the checkpoint, and the training goes on without it there.
    assert {name.split(".")[0] for name in state} == {"generator", "discriminator", "ema"}
    assert (
        fit(classed, tmp_path, *flags, "--ckpt_path", "last", "--trainer.max_epochs", "5", "--trainer.logger", "false")
        == 0
    )


def test_the_average_takes_the_statistics_of_batch_norms_along(classed: Path, tmp_path: Path) -> None:
    assert fit(classed, tmp_path, "--model.kind", "dcgan") == 0
    state = checkpoint(tmp_path)["state_dict"]
    name = "layers.2.running_mean"
    raw, averaged = state[f"generator.{name}"], state[f"ema.module.{name}"]
    assert not torch.equal(raw, averaged)
    assert torch.equal(
        state["generator.layers.2.num_batches_tracked"], state["ema.module.layers.2.num_batches_tracked"]
    )


def test_the_export_says_what_was_learnt(classed: Path, tmp_path: Path) -> None:
    assert fit(classed, tmp_path, *ONCE, "--data.categories", "cow", "--data.limit", "3") == 0
    (facts,) = load_noise_generator(tmp_path / "generator").styles.values()
    assert (facts["labels"], facts["limit"]) == (["cow"], 3)


def test_several_recipes_apart_or_as_one(styles: str, tmp_path: Path) -> None:
    flags = [*ONCE, "--data.val_pictures", "0"]
    assert fit(styles, tmp_path / "apart", *flags, "--model.recipe_conditional", "true") == 0
    assert list(load_noise_generator(tmp_path / "apart" / "generator").styles) == ["distillable", "petals"]
    assert fit(styles, tmp_path / "one", *flags) == 0
    ((name, facts),) = load_noise_generator(tmp_path / "one" / "generator").styles.items()
    assert name == "distillable, petals"
    assert facts["recipes"].keys() == {"distillable", "petals"}
    assert "No validation was run" in (tmp_path / "one" / "generator" / "README.md").read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model.size_px", "128", "--data.size_px", "128"], "a square of at least 128 px is needed"),
        (["--data.size_px", "32"], "give the same --model.size_px and --data.size_px"),
        (["--data.categories", "ant"], "there is no category 'ant', only bee, cow"),
        (["--model.latent", "0"], "latent is 0"),
        (
            ["--model.likeness", "resnet9"],
            "likeness is resnet9; use some of squeezenet1_1, mobilenet_v2, inception_v3, vgg16",
        ),
        (["--model.likeness", "vgg16,vgg16"], "likeness is vgg16,vgg16; use some of"),
        (["--model.likeness_from", "2"], "likeness_from is 2"),
        (["--model.likeness", "squeezenet1_1", "--data.batch_size", "1"], "give a --data.batch_size of 2 or more"),
        (["--model.lr_d", "0"], "lr_d is 0"),
        (["--model.r1_weight", "-1"], "r1_weight is -1"),
        (["--model.ema_decay", "1"], "ema_decay is 1"),
        (["--model.loss", "wgan"], "'logistic', 'hinge', 'relativistic'"),
        (["--model.backbone_weights", "nothing.safetensors"], "nothing.safetensors"),
        (["--data", "dreamgan.data.datamodule.DreamPairs"], "use dreamgan.data.dreams.DreamPictures"),
    ],
)
def test_what_is_refused_in_one_line(
    classed: Path, tmp_path: Path, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = [] if flags[0] == "--data" else ["--data.dataset", str(classed)]
    after = ["--data.dataset", str(classed)] if flags[0] == "--data" else []
    command = ["train", "fit", "--config", SMOKE, *before, *flags, *after, "--run_dir", str(tmp_path / "run")]
    assert main(command) == 2
    captured = capsys.readouterr()
    assert words in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert not (tmp_path / "run").exists()


def test_classes_of_photos_without_any(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(dataset, tmp_path, "--model.class_conditional", "true") == 2
    assert "the dreams are of no classes" in capsys.readouterr().err.splitlines()[-1]


def test_a_translator_is_not_trained_on_dreams_alone(
    classed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data", "dreamgan.data.dreams.DreamPictures", "--data.dataset", str(classed)]
    assert main(["train", "fit", "--config", PIX2PIX, *flags, "--run_dir", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "Pix2Pix is trained on other data than DreamPictures; use dreamgan.data.datamodule.DreamPairs" in said


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "was trained with class_conditional True, this model has class_conditional False"),
        (
            ["--model.class_conditional", "true", "--model.width", "5"],
            "was trained with width 4, this model has width 5",
        ),
        (["--model.class_conditional", "true", "--data.categories", "cow"], "is of the classes bee, cow, the data"),
    ],
)
def test_a_checkpoint_that_does_not_fit(
    classed: Path, run: Path, tmp_path: Path, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(run / "checkpoints" / "last.ckpt")
    assert fit(classed, tmp_path / "run", "--ckpt_path", path, *flags) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_validate_says_what_the_training_said(classed: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--data.dataset", str(classed), "--run_dir", str(run), "--ckpt_path", "last"]
    assert main(["train", "validate", "--config", SMOKE, *flags, "--model.class_conditional", "true"]) == 0
    measures = checkpoint(run)["measures"]
    said = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("validation:"))
    diversity = f"diversity {measures['diversity']:.2f}"
    assert said == f"validation: 4 pictures from noise, {diversity}; fewer than 50 held-out pictures: no KID"
    command = ["train", "validate", "--config", SMOKE, *flags, "--model.class_conditional", "true"]
    assert main([*command, "--data.val_pictures", "0"]) == 2
    assert "nothing to validate on" in capsys.readouterr().err.splitlines()[-1]


def test_a_collapse_is_said_and_logged(
    classed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nothing_of_the_noise(self: DCGAN, seeds: Any) -> torch.Tensor:
        return torch.zeros(len(seeds), self.hparams["latent"])

    monkeypatch.setattr(DCGAN, "_latents", nothing_of_the_noise)
    assert fit(classed, tmp_path, *ONCE, *csv_flags(tmp_path)) == 0
    (said,) = (line for line in capsys.readouterr().out.splitlines() if "COLLAPSE" in line)
    assert said.startswith("epoch 1/1: COLLAPSE? two pictures differ by 0.00 of what two dreams do")
    assert float(logged(tmp_path)[0, "val/collapsed"]) == 1

    def diverse(*sets: torch.Tensor) -> NoiseMeasures:
        return NoiseMeasures(len(sets[0]), 0.1, 0.01, 0.3, 0.02, 0.001, 0.25, diversity=0.9)

    monkeypatch.setattr("dreamgan.lit.noise_validation.measure_noise", diverse)
    assert fit(classed, tmp_path, *ONCE, "--overwrite", "true") == 0
    said = capsys.readouterr().out
    assert (
        "epoch 1/1: 4 pictures from noise, diversity 0.90, KID in squeezenet1_1 features.9 to held-out dreams 0.1000 "
        "(photos to them 0.2500, half of them to the others 0.0010), to held-out photos 0.3000"
    ) in said
    assert "COLLAPSE" not in said


def test_a_gradient_that_is_not_finite_ends_it(
    classed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = DCGAN._seen

    def poisoned(self: DCGAN, pictures: torch.Tensor) -> torch.Tensor:
        return seen(self, pictures) * (torch.nan if self.current_epoch == 1 else 1)

    monkeypatch.setattr(DCGAN, "_seen", poisoned)
    assert fit(classed, tmp_path) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "the gradient is not finite in epoch 2, batch 1; a lower --model.lr_g may help" in said
    assert "--ckpt_path last goes on from it" in said
    assert all(bool(value.isfinite().all()) for value in checkpoint(tmp_path)["state_dict"].values())


def test_the_generator_becomes_an_artifact(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path))
    taken: list[Any] = []
    log_generator(SimpleNamespace(log_artifact=taken.append), run / "generator")
    (artifact,) = taken
    assert artifact.manifest.entries.keys() == {"README.md", "config.json", "model.safetensors"}
    assert artifact.metadata["format"] == "dreamgan-noise-1"


@pytest.mark.parametrize("name", ["dcgan", "dcgan_paper"])
def test_the_configs_that_ship_can_be_trained(classed: Path, tmp_path: Path, name: str) -> None:
    """With networks and epochs made small; everything else is theirs."""
    small = ["--model.width", "4", "--data.batch_size", "4", "--data.passes", "1", "--trainer.logger", "false"]
    quiet = ["--trainer.enable_progress_bar", "false", "--device", "cpu"]
    assert fit(classed, tmp_path, *ONCE, *small, *quiet, config=str(ROOT / "configs" / f"{name}.yaml")) == 0
    config = load_noise_generator(tmp_path / "generator").network.config
    assert (config.kind, config.latent) == ("dcgan", {"dcgan": 128, "dcgan_paper": 100}[name])
