"""The quickstart end to end on its real defaults (sample photos, MobileNetV2), with a training made short."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dreamgan.cli import main
from dreamgan.images import load_image

CONFIG = """
model:
  class_path: dreamgan.lit.pix2pix.Pix2Pix
  init_args:
    encoder_weights: random
    widths: [4, 8, 8, 8, 8]
    adversarial_from: 1.0
data:
  class_path: dreamgan.data.datamodule.DreamPairs
  init_args:
    dataset: given by the quickstart
    batch_size: 4
    val_pairs: 4
trainer:
  accelerator: cpu
  max_epochs: 1
  enable_progress_bar: false
  enable_model_summary: false
  logger: false
"""

FIGURES = {
    "dream_gain",
    "robust_gain",
    "floor_cosine",
    "feature_cosine",
    "ceiling_cosine",
    "agreement",
    "seconds_direct",
    "seconds_one_pass",
    "recipe",
    "backbone",
    "size",
    "batch",
    "device",
    "n",
}


@pytest.fixture
def default_weights() -> None:
    if not (Path(torch.hub.get_dir()) / "checkpoints" / "mobilenet_v2-b0353104.pth").is_file():
        pytest.skip("needs the default weights: run `make setup`")


@pytest.mark.slow
@pytest.mark.usefixtures("default_weights")
def test_quickstart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("skimage")
    config = tmp_path / "small.yaml"
    config.write_text(CONFIG)
    out = tmp_path / "quick"
    flags = ["--out", str(out), "--config", str(config), "--size", "64", "--crops", "2"]

    assert main(["quickstart", *flags]) == 0

    results = json.loads((out / "results.json").read_text())
    assert results.keys() >= FIGURES
    assert results["n"] == 4
    assert results["size"] == 64
    assert 0 < results["floor_cosine"] < results["ceiling_cosine"] <= 1
    assert results["seconds_direct"] > results["seconds_one_pass"] > 0
    # photo | direct dream | one pass, of the two held-out photographs only
    assert {path.name[:6] for path in (out / "one_pass").iterdir()} == {"chelse", "coffee"}
    assert load_image(out / "sheet.png").picture.width > 3 * 64
    printed = capsys.readouterr().out
    assert "agreement" in printed
    assert "distillable, mobilenet_v2 block_6_expand_relu, 64 px" in printed

    trained = (out / "generator" / "model.safetensors").stat().st_mtime_ns
    assert main(["quickstart", *flags]) == 0
    assert (out / "generator" / "model.safetensors").stat().st_mtime_ns == trained
