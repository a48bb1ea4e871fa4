"""Fine-tuning through the command line, with tiny pictures and random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dreamgan.backbones.features import load_extractor, normalise
from dreamgan.classifying.cache import views
from dreamgan.classifying.sets import find_labelled
from dreamgan.cli import main
from tests.lit.runs import checkpoint, write_photos

CONFIG = str(Path(__file__).parents[2] / "configs" / "finetune.yaml")


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of eight photos each."""
    folder = tmp_path_factory.mktemp("classes")
    for label, height in (("ants", 48), ("bees", 60)):
        write_photos(folder / label, 8, height, 64)
    return folder


def tune(classes: Path, run_dir: Path, *flags: str, command: str = "fit") -> int:
    usual = ["--model.backbone", "squeezenet1_1", "--model.weights", "random", "--data.size_px", "48"]
    usual += ["--data.features", str(classes.parent / "features"), "--data.val_last", "3", "--data.batch_size", "4"]
    usual += ["--trainer.max_epochs", "3", "--trainer.accelerator", "cpu", "--trainer.logger", "false"]
    where = ["--data.photos", str(classes), "--run_dir", str(run_dir)]
    return main(["train", command, "--config", CONFIG, *usual, *where, *flags])


UNFREEZE = ["--model.unfreeze", "[features.11, features.9]", "--model.unfreeze_every", "1"]


@pytest.fixture(scope="session")
def tuned(classes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three epochs: the head; the last block; the last two blocks."""
    run_dir = tmp_path_factory.mktemp("tuned") / "run"
    assert tune(classes, run_dir, *UNFREEZE, "--model.lr_backbone", "0.001") == 0
    return run_dir


def test_what_a_run_leaves(tuned: Path) -> None:
    facts = json.loads((tuned / "results.json").read_text())
    assert (facts["n"], facts["train_photos"], facts["classes"]) == (6, 10, ["ants", "bees"])
    assert facts["random_weights"] is True
    assert facts["interval_95"][0] < facts["accuracy"] <= facts["interval_95"][1]
    assert facts["parameters_trained"] < facts["parameters"]
    assert [row["epoch"] for row in facts["history"]] == [1, 2, 3]
    assert "--model.unfreeze" in facts["command"]
    for name in ("curves.png", "confusion.png", "backbone.safetensors", "backbone.classes.json"):
        assert (tuned / name).is_file()


def test_the_export_says_what_was_measured(tuned: Path, classes: Path, tmp_path: Path) -> None:
    """Whole pictures through the exported file give the confusion that training counted on cached features."""
    extractor = load_extractor("squeezenet1_1", ["head"], weights=tuned / "backbone.safetensors")
    val = find_labelled(str(classes), val_last=3, folder=tmp_path).val
    with torch.no_grad():
        guesses = extractor(normalise(views(val, range(len(val)), 48, 0, 0)))["head"].argmax(1).tolist()
    right = sum(guess == target for guess, target in zip(guesses, val.targets, strict=True))
    assert json.loads((tuned / "results.json").read_text())["errors"] == len(val) - right


def test_only_what_was_unfrozen_has_changed(tuned: Path) -> None:
    begun = load_extractor("squeezenet1_1", ["features.9", "fire9/concat"], weights="random")
    ended = load_extractor("squeezenet1_1", ["features.9", "fire9/concat"], weights=tuned / "backbone.safetensors")
    photo = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before, after = begun(photo), ended(photo)
    assert torch.equal(before["features.9"], after["features.9"])
    assert not torch.allclose(before["fire9/concat"], after["fire9/concat"])


def test_it_dreams(tuned: Path, classes: Path, tmp_path: Path) -> None:
    flags = ["--backbone", "squeezenet1_1", "--weights", str(tuned / "backbone.safetensors"), "--steps", "1"]
    photo = str(classes / "ants" / "00.png")
    assert main(["dream", photo, *flags, "--objective", "class(bees)", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "00.png").is_file()


def test_a_resumed_training_ends_as_the_whole_one(classes: Path, tuned: Path, tmp_path: Path) -> None:
    flags = [*UNFREEZE, "--model.lr_backbone", "0.001"]

    def stop(*args: object) -> None:
        raise KeyboardInterrupt

    from dreamgan.lit.classifier import FineTuning

    with pytest.MonkeyPatch.context() as patch:
        whole = FineTuning.on_train_epoch_start
        patch.setattr(
            FineTuning,
            "on_train_epoch_start",
            lambda self: stop() if self.current_epoch == 2 else whole(self),
        )
        assert tune(classes, tmp_path, *flags) == 130
    assert tune(classes, tmp_path, *flags, "--ckpt_path", "last") == 0
    states = [checkpoint(run)["state_dict"] for run in (tuned, tmp_path)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert len(json.loads((tmp_path / "results.json").read_text())["history"]) == 3


def test_validate_measures_a_checkpoint(tuned: Path, classes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in tuned.rglob("*") if path.is_file()}
    assert tune(classes, tuned, *UNFREEZE, "--ckpt_path", "last", command="validate") == 0
    assert "val/accuracy" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in tuned.rglob("*") if path.is_file()} == before


def test_a_checkpoint_of_something_else(
    tuned: Path, classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = ["--ckpt_path", str(tuned / "checkpoints" / "last.ckpt")]
    assert tune(classes, tmp_path / "run", *last) == 2
    assert "was trained with unfreeze ['features.11', 'features.9'], this model has None" in capsys.readouterr().err
    for label, height in (("ants", 48), ("wasps", 60)):
        write_photos(tmp_path / "others" / label, 8, height, 64)
    assert tune(tmp_path / "others", tmp_path / "run", *UNFREEZE, *last) == 2
    assert "knows the classes ants, bees, the photos show ants, wasps" in capsys.readouterr().err


def test_head_only_on_several_layers(classes: Path, tmp_path: Path) -> None:
    assert tune(classes, tmp_path, "--model.layers", "[features.7, features.12]", "--data.views", "3") == 0
    facts = json.loads((tmp_path / "results.json").read_text())
    assert facts["parameters_trained"] == 2 * (256 + 512) + 2


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model.unfreeze", "[features.9, features.11]"], "name layers from the deepest to the first"),
        (["--model.unfreeze", "[features.99]"], "layer 'features.99' is not in squeezenet1_1"),
        (["--model.unfreeze", "features.9"], "--unfreeze: 'features.9' is not a list; give one, like \"[features.9]\""),
        (["--model.weights", "none.pth"], "weights file 'none.pth' does not exist"),
        (["--model.lr_head", ".inf"], "above 0 and finite"),
        (["--model.layers", "[head]"], "is the head of squeezenet1_1"),
        (["--data.size_px", "100000"], "at most 1024"),
        (["--model.label_smoothing", "1"], "label_smoothing is 1.0; it must be at least 0 and below 1"),
        (["--data.features", __file__], f"'{__file__}' is a file, not a folder; give another --data.features"),
        (["--data.views", "0"], "views is 0; it must be at least 1"),
        (["--data.val_last", "8"], "has 8 photos, so val_last 8 leaves none to learn from"),
        (["--trainer.devices", "2"], "fine-tuning runs on one device"),
        (["--trainer.limit_val_batches", "0"], "trainer.limit_val_batches is 0"),
        (["--data.photos", "nowhere/at/all"], "'nowhere/at/all'"),
    ],
)
def test_mistakes_are_told_in_one_line(
    flags: list[str], said: str, classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(classes, tmp_path / "run", *flags) == 2
    captured = capsys.readouterr()
    assert said in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert not (tmp_path / "run").exists()


def test_bf16_runs_the_frozen_part_too(classes: Path, tmp_path: Path) -> None:
    """What it answers is kept apart from the answers of float32, which it is near."""
    folder = tmp_path / "features"
    for precision in ("32", "bf16"):
        where = ["--data.features", str(folder / precision), "--precision", precision]
        assert tune(classes, tmp_path / precision, *where, "--trainer.max_epochs", "1") == 0
    found = {}
    for precision in ("32", "bf16"):
        keys = {path.parent.name: json.loads(path.read_text()) for path in (folder / precision).glob("*/key.json")}
        assert {key.get("precision") for key in keys.values()} == {None if precision == "32" else "bf16"}
        home = next(
            name for name, key in keys.items() if key["photos"] == min(each["photos"] for each in keys.values())
        )
        found[precision] = load_file(next((folder / precision / home).glob("view0-*")))["features"]
    assert not torch.equal(found["32"], found["bf16"])
    torch.testing.assert_close(found["32"], found["bf16"], rtol=0.1, atol=0.02 * float(found["32"].abs().max()))


def test_an_end_that_is_not_finite_is_no_success(
    classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    flags = ["--model.lr_backbone", "1e30", *UNFREEZE, "--trainer.max_epochs", "2", "--data.batch_size", "10"]
    assert tune(classes, run_dir, *flags) != 0
    assert "not finite" in capsys.readouterr().err
    assert not (run_dir / "backbone.safetensors").exists()


def test_a_checkpoint_of_other_photos_is_refused(
    tuned: Path, classes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = str(tuned / "checkpoints" / "last.ckpt")
    for flags, said in (
        (["--data.val_last", "4"], "other training photos"),
        (["--data.size_px", "64"], "other --data.size_px"),
    ):
        assert tune(classes, tmp_path / "run", *UNFREEZE, *flags, "--ckpt_path", last) == 2
        assert said in capsys.readouterr().err
