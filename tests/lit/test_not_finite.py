"""A batch that gives no finite gradient stops a training in one line, before it spoils the weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dreamgan.lit.pix2pix import Pix2Pix
from tests.lit.runs import assert_equal, checkpoint, fit

ADVERSARIAL = ["--model.adversarial_from", "0"]
PoisonFrom = Callable[[int], list[Pix2Pix]]


@pytest.fixture
def poison_from(monkeypatch: pytest.MonkeyPatch) -> PoisonFrom:
    """Makes one dream of each batch a picture of no numbers, from an epoch on; gives the module that met it."""

    def poison(epoch: int) -> list[Pix2Pix]:
        step, met = Pix2Pix.training_step, []

        def poisoned(self: Pix2Pix, batch: dict[str, Tensor], batch_idx: int) -> None:
            if self.current_epoch >= epoch:
                met.append(self)
                batch["dream"][0] = torch.nan
            step(self, batch, batch_idx)

        monkeypatch.setattr(Pix2Pix, "training_step", poisoned)
        return met

    return poison


@pytest.mark.parametrize("flags", [[], ADVERSARIAL])
def test_it_names_the_last_good_checkpoint(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], poison_from: PoisonFrom, flags: list[str]
) -> None:
    """In the losses of the generator, and, where it has joined, before that in the discriminator's."""
    met = poison_from(1)
    assert fit(dataset, tmp_path, *flags) == 2
    captured = capsys.readouterr()
    (said,) = (line for line in captured.err.splitlines() if "not finite" in line)
    assert said == captured.err.splitlines()[-1]
    assert "the gradient is not finite in epoch 2, batch 1 (style 'distillable')" in said
    last = tmp_path / "checkpoints" / "last.ckpt"
    assert f"the last good checkpoint is {last}, --ckpt_path last goes on from it" in said
    assert "Traceback" not in captured.err
    assert not (tmp_path / "generator").exists()

    kept = checkpoint(tmp_path)
    assert kept["epoch"] == 0
    assert len(met) == 1
    # The step was not taken: all weights are still those of the checkpoint.
    state = met[0].state_dict()
    names = [name for name in state if not name.endswith(("._u", "._v"))]  # turn round at every look
    assert_equal({name: state[name] for name in names}, {name: kept["state_dict"][name] for name in names})
    assert all(bool(value.isfinite().all()) for value in state.values())


def test_what_it_says_is_true(dataset: Path, tmp_path: Path, whole_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        step = Pix2Pix.training_step

        def poisoned(self: Pix2Pix, batch: dict[str, Tensor], batch_idx: int) -> None:
            if self.current_epoch == 2:
                batch["photo"][0] = torch.inf
            step(self, batch, batch_idx)

        patch.setattr(Pix2Pix, "training_step", poisoned)
        assert fit(dataset, tmp_path) == 2
    assert fit(dataset, tmp_path, "--ckpt_path", "last") == 0
    assert_equal(checkpoint(tmp_path)["state_dict"], checkpoint(whole_run)["state_dict"])


@pytest.mark.parametrize("earlier", ["none", "replaced", "resumed"])
def test_before_the_first_checkpoint(
    dataset: Path,
    tmp_path: Path,
    whole_run: Path,
    capsys: pytest.CaptureFixture[str],
    poison_from: PoisonFrom,
    earlier: str,
) -> None:
    poison_from(0)
    path = whole_run / "checkpoints" / "last.ckpt"
    flags, way = [], "there is no checkpoint yet, so start anew"
    if earlier == "replaced":
        shutil.copytree(whole_run / "checkpoints", tmp_path / "checkpoints")
        flags = ["--overwrite", "true"]
    if earlier == "resumed":
        flags = ["--ckpt_path", str(path), "--trainer.max_epochs", "6"]
        way = f"the last good checkpoint is {path}, --ckpt_path {path} goes on from it"
    assert fit(dataset, tmp_path, *flags) == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"; {way}")
