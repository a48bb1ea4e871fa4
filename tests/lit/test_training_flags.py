"""Mistakes in flags and configs of a training: one line, exit code 2, nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dreamgan.cli import main
from tests.lit.runs import SMOKE, fit


def test_weights_other_than_the_dataset_s(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], shared_dir: Path
) -> None:
    weights = shared_dir / "weights" / "squeezenet1_1_features.fp16.safetensors"
    assert fit(dataset, tmp_path, "--model.backbone_weights", str(weights)) == 2
    assert "--model.backbone_weights" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model:\n  class_path: dreamgan.lit.pix2pix.Pix2Pix\n  init_args:\n    lr_gg: 1", "lr_gg"),
        ("trainer:\n  max_epoch: 3", "max_epoch"),
        ("model:\n  class_path: os.system", "os.system"),
        ("model: [", "is not YAML"),
        ("just text", "holds no settings"),
    ],
)
def test_a_config_with_a_mistake(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, words: str
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(change)
    assert fit(dataset, tmp_path / "run", "--config", str(config)) == 2
    captured = capsys.readouterr()
    assert words in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--data.batch_size", "0"], "batch_size is 0"),
        (["--trainer.max_epochs", "-7"], "max_epochs"),
        (["--trainer.max_epochs", "0"], "trainer.max_epochs is 0, and nothing would be trained; give 1 or more"),
        pytest.param(
            ["--trainer.accelerator", "cuda"],
            "CUDAAccelerator",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU"),
        ),
        (["--trainer.devices", "1000000"], "trainer.devices is 1000000; on the CPUs of this machine it must be"),
        (["--trainer.accelerator", "foo"], "foo"),
        (["--trainer.strategy", "foo"], "foo"),
        (["--trainer.max_time", "soon"], "soon"),
        (["--device", "gpu0"], "device 'gpu0' is not known"),
        (["--device", "cuda:99"], "device 'cuda:99' is not available"),
        (["--precision", "16"], "--precision: '16' is not one of '32', 'bf16'"),
        (["--trainer.precision", "16-mixed"], "trainer.precision is 16-mixed, and float16 is not supported"),
        (["--trainer.precision", "16"], "trainer.precision is 16, and float16"),
        (["--grid_rows", "0"], "grid_rows is 0; it must be at least 1"),
        (["--seed_everything", "-1"], "seed_everything is -1"),
        (["--model.lr_g", "-1"], "lr_g is -1.0; it must be above 0"),
        (["--model.lr_g", ".nan"], "lr_g is nan; it must be above 0"),
        (["--model.lr_d", "0"], "lr_d is 0.0; it must be above 0"),
        (["--model.discriminator_width", "0"], "discriminator_width is 0; it must be at least 1"),
        (["--model.widths", "[4, 0, 8, 8, 8]"], "widths is [4, 0, 8, 8, 8]; each must be at least 1"),
        (["--model.view_chance", "1.5"], "view_chance is 1.5; it must be from 0 to 1"),
        (["--model.clip", "0"], "clip is 0.0; it must be above 0"),
        (["--model.backbone_weights", "vgg16="], "--model.backbone_weights: 'vgg16=' is not NETWORK=FILE"),
        (["--data.crop_px", "16"], "crop_px is 16; it must be at least 32"),
        (["--data.crop_px", "65"], "crop_px is 65, and the pictures are only 64 px"),
        (["--data.recipe", "eyes"], "there is no recipe 'eyes', only distillable"),
        (["--model.ema_decay", "1"], "ema_decay is 1.0; it must be at least 0 and below 1"),
        (["--model.warmup", "1"], "warmup is 1.0; it must be at least 0 and below 1"),
        (["--model.warmup", "-0.1"], "warmup is -0.1"),
        (["--model.betas", "[0.9, 1.5]"], "betas is [0.9, 1.5]"),
        (["--model.adversarial_from", "1.5"], "adversarial_from is 1.5; it must be from 0 to 1"),
        (["--model.l1_weight", "-1"], "l1_weight is -1.0; it must be at least 0"),
        (["--model.adversarial_weight", "-1"], "adversarial_weight is -1.0; it must be at least 0"),
        (["--model.feature_layers", "features.4:-1"], "feature_layers is features.4:-1; no weight may be below 0"),
        (["--model.feature_layers", "features.99"], "features.99"),
        (["--model.lr_g", "quick"], "--lr_g: 'quick' is not a number"),
        (["--model.encoder", "vgg16"], "is not one of 'mobilenet_v2', 'squeezenet1_1'"),
    ],
)
def test_a_flag_with_a_mistake(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    assert fit(dataset, tmp_path / "run", *flags) == 2
    captured = capsys.readouterr()
    assert words in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert not (tmp_path / "run").exists()


def test_a_dataset_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit(tmp_path, tmp_path / "run") == 2
    assert "no dream dataset" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["test", "predict", "fitt"])
def test_other_subcommands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", command, "--config", SMOKE]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert command in last
    assert "fit" in last
    assert "validate" in last


def test_device_and_precision_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "fit", "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "cuda:1 or mps; stands for trainer.accelerator" in text
    assert "bf16 for mixed bfloat16" in text
