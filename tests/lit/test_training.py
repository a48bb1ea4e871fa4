"""Training through the command line: what it writes, and that a resumed run equals an uninterrupted one."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from dreamgan.cli import main
from dreamgan.commands.train import check_configs, prepare_wandb
from dreamgan.errors import UserError
from dreamgan.images import load_image, to_unit
from dreamgan.lit.pix2pix import Pix2Pix, ema_average
from dreamgan.sampling import load_generator, sample

SMOKE = str(Path(__file__).parents[2] / "configs" / "smoke" / "pix2pix.yaml")

pytestmark = [
    # Lightning's own use of torch.
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning"),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos of 64 px with structure, dreamed with a random SqueezeNet; two of them are for the test."""
    folder = tmp_path_factory.mktemp("lit")
    photos = folder / "photos"
    photos.mkdir()
    noise = torch.rand(8, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    for number, coarse in enumerate(torch.nn.functional.interpolate(noise, size=(70, 80), mode="bilinear")):
        pixels = (coarse * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(photos / f"{number}.png")
    out = folder / "dataset"
    flags = ["--backbone", "squeezenet1_1", "--weights", "random", "--size", "64", "--test_fraction", "0.25"]
    assert main(["dataset", "--photos", str(photos), "--out", str(out), "--device", "cpu", *flags]) == 0
    return out


def fit(dataset: Path, run_dir: Path, *flags: str) -> int:
    return main(["train", "fit", "--config", SMOKE, "--data.dataset", str(dataset), "--run_dir", str(run_dir), *flags])


def checkpoint(run_dir: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    return content


def assert_equal(a: object, b: object, where: str = "") -> None:
    """Compare nested containers, tensors bit by bit."""
    if isinstance(a, torch.Tensor):
        assert isinstance(b, torch.Tensor)
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert isinstance(b, dict)
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, list | tuple):
        assert isinstance(b, list | tuple)
        assert len(a) == len(b), where
        for number, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}/{number}")
    else:
        assert a == b, where


@pytest.fixture(scope="module")
def whole_run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    assert fit(dataset, run_dir) == 0
    return run_dir


def test_a_run_leaves_checkpoint_grids_and_generator(whole_run: Path, dataset: Path) -> None:
    assert checkpoint(whole_run)["epoch"] == 3
    grids = sorted((whole_run / "grids").glob("*.png"))
    assert [grid.name for grid in grids] == ["epoch-0001.png", "epoch-0003.png"]
    config = json.loads((whole_run / "generator" / "config.json").read_text())
    assert config["dream"]["recipe"] == "distillable"
    assert config["dream"]["measures"]["n"] == 2
    assert "agreement" in (whole_run / "generator" / "README.md").read_text()


def test_the_export_is_the_ema(whole_run: Path) -> None:
    generator = load_generator(whole_run / "generator")
    state = checkpoint(whole_run)["state_dict"]
    ema = {name.removeprefix("ema.module."): value for name, value in state.items() if name.startswith("ema.module.")}
    assert_equal(dict(generator.network.state_dict()), ema)
    raw = {name.removeprefix("generator."): value for name, value in state.items() if name.startswith("generator.")}
    assert any(not torch.equal(raw[name], ema[name]) for name in ema)


def test_a_checkpoint_leaves_the_frozen_backbone_out(whole_run: Path) -> None:
    names = checkpoint(whole_run)["state_dict"]
    assert not [name for name in names if name.startswith("extractor.")]
    assert [name for name in names if name.startswith("discriminator.")]


def test_training_changes_the_pictures(whole_run: Path, dataset: Path) -> None:
    from dreamgan.data.pairs import load_pairs

    photo = to_unit(load_pairs(dataset, "test")[0]["photo"])[None]
    dreamed = sample(load_generator(whole_run / "generator"), photo)
    assert (dreamed - photo).abs().mean() > 1e-3


@pytest.mark.parametrize("epochs_before", [1, 2, 3])
def test_a_resumed_run_equals_an_uninterrupted_one(
    dataset: Path, tmp_path: Path, whole_run: Path, epochs_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after an epoch, before and after the discriminator joins: weights, EMA and optimisers bit by bit."""

    def stop(self: Pix2Pix) -> None:
        if self.current_epoch == epochs_before:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Pix2Pix, "on_train_epoch_start", stop)
        assert fit(dataset, tmp_path) == 130
    assert checkpoint(tmp_path)["epoch"] == epochs_before - 1
    assert fit(dataset, tmp_path, "--ckpt_path", "last") == 0

    resumed, whole = checkpoint(tmp_path), checkpoint(whole_run)
    assert resumed["epoch"] == whole["epoch"] == 3
    assert resumed["global_step"] == whole["global_step"]
    for part in ("state_dict", "optimizer_states"):
        assert_equal(resumed[part], whole[part], part)


def test_other_seeds_train_otherwise(dataset: Path, tmp_path: Path, whole_run: Path) -> None:
    assert fit(dataset, tmp_path, "--seed_everything", "1") == 0
    one, other = (checkpoint(run)["state_dict"]["generator.head.weight"] for run in (tmp_path, whole_run))
    assert not torch.equal(one, other)


def test_last_without_a_checkpoint_is_an_error(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(dataset, tmp_path, "--ckpt_path", "last") == 2
    assert "there is no checkpoint" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("content", ["text", "tensor"])
def test_a_checkpoint_that_is_none(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    path = tmp_path / "x.ckpt"
    if content == "text":
        path.write_text("not a checkpoint")
    else:
        torch.save({"weight": torch.zeros(3)}, path)
    assert fit(dataset, tmp_path / "run", "--ckpt_path", str(path)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "x.ckpt is no" in last


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
        pytest.param(
            ["--trainer.accelerator", "cuda"],
            "CUDAAccelerator",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU"),
        ),
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


def test_configs_may_name_only_our_classes(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("trainer:\n  callbacks:\n    - class_path: subprocess.Popen\n")
    with pytest.raises(UserError, match="subprocess.Popen"):
        check_configs(["fit", "--config", str(config)])
    config.write_text("trainer:\n  callbacks:\n    - class_path: pytorch_lightning.callbacks.Timer\n")
    check_configs(["fit", f"--config={config}"])


@pytest.mark.slow
def test_csv_and_wandb_offline(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default loggers, twice into one folder: both runs are kept."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    for _ in range(2):
        assert fit(dataset, tmp_path, "--trainer.logger", "null", "--trainer.log_every_n_steps", "1") == 0
    for number in range(2):
        text = (tmp_path / "csv" / f"version_{number}" / "metrics.csv").read_text()
        rows = list(csv.DictReader(text.splitlines()))
        assert [row for row in rows if row["val/agreement"]]
        assert [row for row in rows if row["train/loss_d"]]
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2


def test_without_a_key_logging_goes_offline_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(wandb, "login", lambda **_: False)
    monkeypatch.setattr(wandb, "teardown", lambda: None)
    prepare_wandb()
    import os

    assert os.environ["WANDB_MODE"] == "offline"
    assert "wandb login" in capsys.readouterr().err


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
