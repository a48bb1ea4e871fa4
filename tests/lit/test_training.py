"""Training through the command line: what it writes, and that a resumed run equals an uninterrupted one."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from dreamgan.cli import main
from dreamgan.data.datamodule import DreamPairs
from dreamgan.errors import UserError
from dreamgan.images import load_image, to_unit
from dreamgan.lit.pix2pix import Pix2Pix, ema_average
from dreamgan.metrics import measure
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
    import os
    import signal

    before = signal.getsignal(signal.SIGTERM)

    def kill(self: Pix2Pix) -> None:
        if self.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Pix2Pix, "on_train_epoch_start", kill)
    assert fit(dataset, tmp_path) == 143
    assert capsys.readouterr().err.splitlines()[-1].endswith("terminated; what was finished is kept")
    assert checkpoint(tmp_path)["epoch"] == 0
    assert signal.getsignal(signal.SIGTERM) is before


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


def dataset_of(objective: str, dataset: Path, folder: Path, *, backbone: str = "squeezenet1_1") -> Path:
    """Another dataset, of the same photos dreamed with another objective."""
    flags = ["--photos", str(dataset.parent / "photos"), "--out", str(folder / "other"), "--size", "64"]
    flags += ["--backbone", backbone, "--weights", "random", "--test_fraction", "0.25", "--device", "cpu"]
    assert main(["dataset", *flags, "--objective", objective]) == 0
    return folder / "other"


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
    assert fit(other, tmp_path / "run", "--trainer.max_epochs", "2") == 0
    config = json.loads((tmp_path / "run" / "generator" / "config.json").read_text())
    assert config["dream"]["measures"]["n"] == 2
    assert checkpoint(tmp_path / "run")["epoch"] == 1
    state = checkpoint(tmp_path / "run")["state_dict"]
    assert all(bool(value.isfinite().all()) for value in state.values())


def test_a_network_trains_on_dreams_of_a_class(dataset: Path, tmp_path: Path) -> None:
    other = dataset_of("class(tabby) - 0.01*batch_norm()", dataset, tmp_path, backbone="mobilenet_v2")
    assert fit(other, tmp_path / "run", "--trainer.max_epochs", "1", "--trainer.check_val_every_n_epoch", "1") == 0


def test_an_objective_that_needs_more_than_a_picture_is_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = DreamPairs.recipe_facts

    def guided(self: DreamPairs) -> dict[str, Any]:
        facts = real(self)
        recipe = {**json.loads(facts["recipe_json"]), "objective": "guided(features.9, bees)"}
        return {**facts, "recipe_json": json.dumps(recipe)}

    monkeypatch.setattr(DreamPairs, "recipe_facts", guided)
    assert fit(dataset, tmp_path / "run") == 2
    captured = capsys.readouterr()
    said = "the objective guided(features.9, bees) needs more than a picture; a GAN cannot train on it"
    assert said in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err


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
        (["--trainer.accelerator", "foo"], "foo"),
        (["--trainer.strategy", "foo"], "foo"),
        (["--trainer.devices", "2"], "training runs on one device so far; use --trainer.devices 1"),
        (["--trainer.num_nodes", "2", "--trainer.strategy", "ddp"], "training runs on one device so far"),
        (["--trainer.max_time", "soon"], "soon"),
        (["--device", "gpu0"], "device 'gpu0' is not known"),
        (["--device", "cuda:99"], "device 'cuda:99' is not available"),
        (["--precision", "16"], "--precision: '16' is not one of '32', 'bf16'"),
        (["--grid_rows", "0"], "grid_rows is 0; it must be at least 1"),
        (["--seed_everything", "-1"], "seed_everything is -1"),
        (["--model.lr_g", "-1"], "lr_g is -1.0; it must be above 0"),
        (["--model.lr_g", ".nan"], "lr_g is nan; it must be above 0"),
        (["--model.lr_d", "0"], "lr_d is 0.0; it must be above 0"),
        (["--model.discriminator_width", "0"], "discriminator_width is 0; it must be at least 1"),
        (["--model.widths", "[4, 0, 8, 8, 8]"], "widths is [4, 0, 8, 8, 8]; each must be at least 1"),
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


FOREIGN = """
import pathlib, pytorch_lightning
pathlib.Path({trace!r}).touch()
class Callback(pytorch_lightning.Callback):
    pass
"""


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module ``foreign_code`` that can be imported; the file is there once it was."""
    trace = tmp_path / "imported"
    (tmp_path / "foreign_code.py").write_text(FOREIGN.format(trace=str(trace)))
    monkeypatch.syspath_prepend(str(tmp_path))
    return trace


@pytest.mark.parametrize(
    "content",
    [
        "trainer:\n  callbacks:\n    - class_path: foreign_code.Callback",
        "trainer:\n  callbacks: foreign_code.Callback",
        "trainer.callbacks: foreign_code.Callback",
        "trainer:\n  strategy:\n    class_path: foreign_code.Callback",
        "trainer: other.yaml",
        "trainer: other.txt",
        'trainer: \'{"callbacks": [{"class_path": "foreign_code.Callback"}]}\'',
        "model: foreign_code.Callback",
        "data:\n  class_path: foreign_code.Callback",
    ],
)
def test_a_config_imports_nothing_but_our_classes(
    dataset: Path, tmp_path: Path, foreign: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("other.yaml", "other.txt"):
        (tmp_path / name).write_text("callbacks:\n  - class_path: foreign_code.Callback\n")
    config = tmp_path / "c.yaml"
    config.write_text(content + "\n")
    assert fit(dataset, tmp_path / "run", "--config", str(config)) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert "'foreign_code.Callback' is not trusted" in captured.err.splitlines()[-1]
    assert not foreign.exists()
    assert not (tmp_path / "run").exists()


def test_a_trusted_module_is_no_way_to_others(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(dataset, tmp_path / "run", "--trainer.callbacks", "pytorch_lightning.cli.os.system") == 2
    assert "is not trusted" in capsys.readouterr().err.splitlines()[-1]


def test_a_nested_config_of_our_classes_is_read(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.yaml").write_text(
        "accelerator: cpu\ndevices: 1\nmax_epochs: 1\nlogger: false\nenable_progress_bar: false\n"
        "enable_model_summary: false\n"
        "callbacks:\n  - class_path: pytorch_lightning.callbacks.ModelSummary\n"
    )
    config = tmp_path / "c.yaml"
    config.write_text("trainer: other.yaml\n")
    assert fit(dataset, tmp_path / "run", "--config", str(config)) == 0


def test_a_config_at_an_address_is_not_read(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import fsspec  # type: ignore[import-untyped]

    with fsspec.open("memory://trainer.yaml", "w") as file:
        file.write("max_epochs: 1\n")
    config = tmp_path / "c.yaml"
    config.write_text("trainer: memory://trainer.yaml\n")
    assert fit(dataset, tmp_path / "run", "--config", str(config)) == 2
    assert "memory://trainer.yaml" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("command", ["fit", "validate"])
@pytest.mark.parametrize("path", ["some.jpg", "https://example.org/last.ckpt", "s3://bucket/last.ckpt", "best"])
def test_a_checkpoint_in_a_config(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, path: str
) -> None:
    (tmp_path / "some.jpg").write_text("no picture either")
    config = tmp_path / "c.yaml"
    config.write_text(f"ckpt_path: {tmp_path / path if path == 'some.jpg' else path}\n")
    flags = ["--data.dataset", str(dataset), "--run_dir", str(tmp_path / "run"), "--config", str(config)]
    assert main(["train", command, "--config", SMOKE, *flags]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert ("is no checkpoint" if path == "some.jpg" else "there is no checkpoint") in last
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["test", "predict", "fitt"])
def test_other_subcommands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", command, "--config", SMOKE]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert command in last
    assert "fit" in last
    assert "validate" in last


# --- checkpoints that do not fit


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model.widths", "[8, 8, 8, 8, 8]"], "was trained with widths [4, 8, 8, 8, 8]"),
        (["--model.encoder", "mobilenet_v2"], "was trained with encoder squeezenet1_1"),
        (["--model.discriminator_width", "8"], "was trained with discriminator_width 4"),
    ],
)
@pytest.mark.parametrize("by_name", [False, True])
def test_a_checkpoint_of_another_shape(
    dataset: Path,
    tmp_path: Path,
    whole_run: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    words: str,
    by_name: bool,
) -> None:
    shutil.copytree(whole_run / "checkpoints", tmp_path / "checkpoints")
    path = str(tmp_path / "checkpoints" / "last.ckpt") if by_name else "last"
    assert fit(dataset, tmp_path, "--ckpt_path", path, *flags) == 2
    captured = capsys.readouterr()
    assert words in captured.err.splitlines()[-1]
    assert "last.ckpt" in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


@pytest.mark.parametrize(
    ("prefix", "words"), [("generator.", "lacks generator."), ("ema.", "lacks ema."), ("discriminator.", "lacks disc")]
)
def test_a_checkpoint_that_lacks_a_network(
    dataset: Path, tmp_path: Path, whole_run: Path, capsys: pytest.CaptureFixture[str], prefix: str, words: str
) -> None:
    content = checkpoint(whole_run)
    state = content["state_dict"]
    content["state_dict"] = {name: value for name, value in state.items() if not name.startswith(prefix)}
    path = tmp_path / "x.ckpt"
    torch.save(content, path)
    assert fit(dataset, tmp_path / "run", "--ckpt_path", str(path)) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def smoke_model(**changes: Any) -> Pix2Pix:
    settings: dict[str, Any] = {
        "encoder": "squeezenet1_1",
        "encoder_weights": "random",
        "widths": (4, 8, 8, 8, 8),
        "discriminator_width": 4,
    }
    return Pix2Pix(**{**settings, **changes})


def test_a_model_loads_only_a_checkpoint_that_fits(whole_run: Path) -> None:
    content = checkpoint(whole_run)
    model = smoke_model()
    model.on_load_checkpoint(content)
    assert model.measures is not None
    assert model.measures.n == 2
    content["state_dict"]["extra.weight"] = torch.zeros(1)
    with pytest.raises(UserError, match=r"unknown extra\.weight"):
        model.on_load_checkpoint(content)
    del content["state_dict"]["extra.weight"]
    content["state_dict"]["generator.head.weight"] = torch.zeros(1)
    with pytest.raises(UserError, match=r"other shapes of generator\.head\.weight"):
        model.on_load_checkpoint(content)


# --- validations


def test_a_sanity_check_is_no_validation(
    dataset: Path, tmp_path: Path, whole_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    never = ["--trainer.check_val_every_n_epoch", "null", "--trainer.val_check_interval", "1000"]
    assert fit(dataset, tmp_path, "--trainer.max_epochs", "1", *never) == 0
    assert "agreement" not in capsys.readouterr().out
    config = json.loads((tmp_path / "generator" / "config.json").read_text())
    assert config["dream"]["measures"] == {}
    card = (tmp_path / "generator" / "README.md").read_text()
    assert "No validation was run" in card
    assert "| measure |" not in card
    assert "No validation was run" not in (whole_run / "generator" / "README.md").read_text()


def test_config_json_holds_no_nan(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A validation pair without a second dream: no ceiling, so no agreement."""
    step = Pix2Pix.validation_step

    def without_second(self: Pix2Pix, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        step(self, {**batch, "has_second": torch.zeros_like(batch["has_second"])}, batch_idx)

    monkeypatch.setattr(Pix2Pix, "validation_step", without_second)
    assert fit(dataset, tmp_path, "--trainer.max_epochs", "2") == 0

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in config.json")

    config = json.loads((tmp_path / "generator" / "config.json").read_text(), parse_constant=refuse)
    assert "floor_cosine" in config["dream"]["measures"]
    assert "agreement" not in config["dream"]["measures"]


def test_a_finished_run_that_is_resumed_keeps_its_measures(dataset: Path, tmp_path: Path, whole_run: Path) -> None:
    shutil.copytree(whole_run / "checkpoints", tmp_path / "checkpoints")
    assert fit(dataset, tmp_path, "--ckpt_path", "last") == 0
    again, whole = (json.loads((run / "generator" / "config.json").read_text()) for run in (tmp_path, whole_run))
    assert again["dream"]["measures"] == whole["dream"]["measures"]


def test_validate_measures_and_leaves_the_run_alone(
    dataset: Path, tmp_path: Path, whole_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(whole_run, tmp_path / "run")
    (tmp_path / "run" / "grids" / "epoch-0000.png").write_text("of the training")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    flags = ["--data.dataset", str(dataset), "--run_dir", str(tmp_path / "run")]
    assert main(["train", "validate", "--config", SMOKE, *flags, "--ckpt_path", "last"]) == 0
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    measures = json.loads((whole_run / "generator" / "config.json").read_text())["dream"]["measures"]
    said = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("validation: agreement"))
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


# --- device, precision, memory


@pytest.mark.parametrize(("precision", "lightning_s"), [("32", "32-true"), ("bf16", "bf16-mixed")])
def test_device_and_precision(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, lightning_s: str
) -> None:
    seen: list[tuple[bool, torch.dtype]] = []
    compute = Pix2Pix._terms

    def terms(self: Pix2Pix, *args: torch.Tensor) -> dict[str, torch.Tensor]:
        found = compute(self, *args)
        seen.extend((torch.is_autocast_enabled("cpu"), term.dtype) for term in found.values())
        return found

    monkeypatch.setattr(Pix2Pix, "_terms", terms)
    assert fit(dataset, tmp_path, "--device", "cpu", "--precision", precision, "--trainer.max_epochs", "2") == 0
    assert set(seen) == {(precision == "bf16", torch.float32)}
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert config["trainer"]["accelerator"] == "cpu"
    assert config["trainer"]["precision"] == lightning_s


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_a_gpu_by_name(dataset: Path, tmp_path: Path, precision: str) -> None:
    assert fit(dataset, tmp_path, "--device", "cuda:0", "--precision", precision) == 0
    assert load_generator(tmp_path / "generator").network.head.weight.isfinite().all()


def test_device_and_precision_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", "fit", "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "cuda:1 or mps; stands for trainer.accelerator" in text
    assert "bf16 for mixed bfloat16" in text


def test_out_of_memory_names_the_way_out(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step = Pix2Pix.training_step

    def full(self: Pix2Pix, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        if self.current_epoch == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        step(self, batch, batch_idx)

    monkeypatch.setattr(Pix2Pix, "training_step", full)
    assert fit(dataset, tmp_path) == 2
    captured = capsys.readouterr()
    last = captured.err.splitlines()[-1]
    assert "out of memory; lower --data.batch_size (now 2)" in last
    assert f"goes on from {tmp_path / 'checkpoints' / 'last.ckpt'}" in last
    assert "Traceback" not in captured.err


def test_a_validation_measures_in_batches_of_the_data(
    dataset: Path, whole_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []

    def spy(*args: Any, batch: int) -> Any:
        batches.append(batch)
        return measure(*args, batch=batch)

    monkeypatch.setattr("dreamgan.lit.pix2pix.measure", spy)
    flags = ["--data.dataset", str(dataset), "--run_dir", str(whole_run), "--ckpt_path", "last"]
    assert main(["train", "validate", "--config", SMOKE, *flags, "--data.batch_size", "1"]) == 0
    assert batches == [1]


@pytest.mark.slow
def test_csv_and_wandb_offline(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default loggers, twice into one folder: both runs are kept."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    for _ in range(2):
        flags = ["--trainer.logger", "null", "--trainer.log_every_n_steps", "1", "--overwrite", "true"]
        assert fit(dataset, tmp_path, *flags) == 0
    for number in range(2):
        text = (tmp_path / "csv" / f"version_{number}" / "metrics.csv").read_text()
        rows = list(csv.DictReader(text.splitlines()))
        assert [row for row in rows if row["val/agreement"]]
        assert [row for row in rows if row["train/loss_d"]]
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2


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
