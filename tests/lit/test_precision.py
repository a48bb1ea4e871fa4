"""Device, precision and memory of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from dreamgan.lit.pix2pix import Pix2Pix
from dreamgan.sampling import load_generator
from tests.lit.runs import fit, styles_of
from tests.lit.steps import record, steps


@pytest.mark.parametrize(("precision", "lightning_s"), [("32", "32-true"), ("bf16", "bf16-mixed")])
def test_device_and_precision(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str, lightning_s: str
) -> None:
    seen: list[tuple[bool, torch.dtype]] = []
    compute = Pix2Pix._terms

    def terms(self: Pix2Pix, *args: Any) -> dict[str, torch.Tensor]:
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
    assert f"the last good checkpoint is {tmp_path / 'checkpoints' / 'last.ckpt'}, --ckpt_path last goes on" in last
    assert "Traceback" not in captured.err


def test_bf16_trains_as_float32_does(styles: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The losses of the first epoch, to some per cent; what is exported is float32."""
    flags = ["--trainer.max_epochs", "1", "--data.val_pairs", "2", "--model.adversarial_from", "0"]
    found = []
    for precision in ("32", "bf16"):
        out = tmp_path / precision
        out.mkdir()
        with monkeypatch.context() as patch:
            record(patch.setattr, out)
            assert fit(styles, out / "run", "--precision", precision, *flags) == 0
        found.append(steps(out))
        network = load_generator(out / "run" / "generator").network
        assert {value.dtype for value in network.state_dict().values()} == {torch.float32}
        assert all(bool(value.isfinite().all()) for value in network.state_dict().values())
        assert all(
            bool(torch.tensor(each["measures"]["dream_gain"]).isfinite()) for each in styles_of(out / "run").values()
        )
    assert len(found[0]) == len(found[1]) == 7
    for wide, narrow in zip(*found, strict=True):
        assert wide != narrow
        for name in ("train/loss_g", "train/loss_d", "train/l1", "train/feature", "train/objective"):
            if name in wide:
                assert narrow[name] == pytest.approx(wide[name], rel=0.05, abs=0.003), name
