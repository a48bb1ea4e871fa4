"""Two processes train as one does with the whole batch; and what one of them cannot go on with ends both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.lit.runs import SMOKE, checkpoint, csv_flags, fit, logged
from tests.lit.steps import Losses, record, steps, weights

ROOT = Path(__file__).resolve().parents[2]
HANGS_S = 240
TWICE_AS_LARGE = ["--trainer.precision", "64-true", "--data.batch_size", "4"]
SHARED = ["--trainer.precision", "64-true", "--data.batch_size", "2", "--trainer.devices", "2"]


def by_two(
    dataset: object, run_dir: Path, out: Path, *flags: str, trouble: str = ""
) -> subprocess.CompletedProcess[str]:
    """A training of two processes, with exit code, stdout and stderr of both."""
    out.mkdir()
    command = ["fit", "--config", SMOKE, "--data.dataset", str(dataset), "--run_dir", str(run_dir), *SHARED, *flags]
    return subprocess.run(
        [sys.executable, "-m", "tests.lit.steps", str(out), trouble, *command],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        timeout=HANGS_S,
        capture_output=True,
        text=True,
        check=False,
    )


def mean_steps(out: Path) -> Losses:
    """The losses of two processes, step by step, averaged as those of one that sees both their batches."""
    both = zip(steps(out, 0), steps(out, 1), strict=True)
    return [{name: (one[name] + other[name]) / 2 for name in one} for one, other in both]


def assert_close(shared: Losses, alone: Losses) -> None:
    assert len(shared) == len(alone)
    for step, (two, one) in enumerate(zip(shared, alone, strict=True)):
        assert two == pytest.approx(one, rel=1e-4, abs=1e-8), step


@pytest.fixture(scope="module")
def shared(styles: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Two styles on crops, four epochs of three steps; the discriminator joins at half of them."""
    folder = tmp_path_factory.mktemp("shared")
    flags = ["--data.crop_px", "48", *csv_flags(folder / "run")]
    return folder, by_two(styles, folder / "run", folder / "out", *flags)


def test_two_processes_train_as_one_does(
    styles: str, tmp_path: Path, shared: tuple[Path, subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, done = shared
    assert done.returncode == 0, done.stderr
    record(monkeypatch.setattr, tmp_path)
    flags = ["--data.crop_px", "48", *csv_flags(tmp_path / "run")]
    assert fit(styles, tmp_path / "run", *TWICE_AS_LARGE, *flags) == 0

    assert len(steps(tmp_path)) == 12
    assert ["train/loss_d" in step for step in steps(tmp_path)] == [False] * 6 + [True] * 6
    assert {name for step in steps(tmp_path) for name in step} >= {"train/loss_distillable", "train/loss_petals"}
    assert_close(mean_steps(folder / "out"), steps(tmp_path))
    # They differ: each sees its own part of the batch.
    assert steps(folder / "out", 0)[0]["train/l1"] != steps(folder / "out", 1)[0]["train/l1"]

    alone = weights(tmp_path)
    for name, value in weights(folder / "out", 0).items():
        assert torch.equal(value, weights(folder / "out", 1)[name]), name
        torch.testing.assert_close(value, alone[name], rtol=1e-4, atol=1e-6)
    # What the log says of an epoch is of both processes.
    two, one = logged(folder / "run"), logged(tmp_path / "run")
    assert two.keys() == one.keys()
    for key in one:
        assert float(two[key]) == pytest.approx(float(one[key]), rel=1e-3, abs=1e-4), key


def test_two_processes_leave_one_run(shared: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = shared
    assert {path.name for path in (folder / "out").glob("started-*")} == {"started-0", "started-1"}
    assert {path.name for path in (folder / "run").iterdir()} == {"checkpoints", "csv", "generator", "grids"}
    assert [path.name for path in (folder / "run" / "checkpoints").iterdir()] == ["last.ckpt"]
    assert checkpoint(folder / "run")["epoch"] == 3
    assert sorted(path.name for path in (folder / "run" / "grids").iterdir()) == ["epoch-0001.png", "epoch-0003.png"]
    assert [path.name for path in (folder / "run" / "csv").iterdir()] == ["version_0"]
    # Both validate on everything, and one of them says so.
    one, other = (json.loads((folder / "out" / f"{rank}.json").read_text()) for rank in (0, 1))
    assert one == other
    assert one.keys() == {"distillable", "petals"}
    assert done.stdout.count("epoch 4/4: petals: agreement") == 1
    assert done.stdout.count("generator exported") == 1
    assert "Warning" not in done.stderr


def test_all_processes_stop_where_one_has_no_number(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The discriminator is there from the start; after ten steps the second process's loss is not a number."""
    flags = ["--model.adversarial_from", "0", "--trainer.max_epochs", "12", "--data.val_pairs", "0"]
    done = by_two(dataset, tmp_path / "run", tmp_path / "two", *flags, trouble="nan 10")
    assert done.returncode == 2, done.stderr
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    said = [line for line in done.stderr.splitlines() if "gradient is not finite" in line]
    assert said == [done.stderr.splitlines()[-1]]
    assert "in epoch 11, batch 1 (style 'distillable')" in said[0]
    assert f"the last good checkpoint is {last}, --ckpt_path last goes on from it" in said[0]
    assert "Traceback" not in done.stderr
    content = checkpoint(tmp_path / "run")
    assert content["epoch"] == 9
    assert all(bool(value.isfinite().all()) for value in content["state_dict"].values())

    (tmp_path / "one").mkdir()
    record(monkeypatch.setattr, tmp_path / "one", trouble="nan 10")
    assert fit(dataset, tmp_path / "alone", *TWICE_AS_LARGE, *flags) == 2
    assert len(steps(tmp_path / "one")) == 10
    assert "train/loss_d" in steps(tmp_path / "one")[0]
    assert_close(mean_steps(tmp_path / "two"), steps(tmp_path / "one"))


@pytest.mark.slow
def test_a_process_that_stops_alone_is_not_waited_for(dataset: Path, tmp_path: Path) -> None:
    done = by_two(dataset, tmp_path / "run", tmp_path / "out", trouble="stop 1")
    assert done.returncode != 0
    assert done.stderr.count("dreamgan train: this picture cannot be read") == 1
    assert "Traceback" not in done.stderr
    assert checkpoint(tmp_path / "run")["epoch"] == 0
