"""Trainings through the command line, and what is asked of them."""

import csv
import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from dreamgan.cli import main

SMOKE = str(Path(__file__).parents[2] / "configs" / "smoke" / "pix2pix.yaml")


def write_photos(folder: Path, count: int, height: int = 70, width: int = 80) -> Path:
    """Photos with structure, no two of them alike."""
    folder.mkdir(parents=True)
    noise = torch.rand(count, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    for number, coarse in enumerate(torch.nn.functional.interpolate(noise, size=(height, width), mode="bilinear")):
        Image.fromarray((coarse * 255).byte().permute(1, 2, 0).numpy()).save(folder / f"{number:02d}.png")
    return folder


def dreamed(photos: Path, out: Path, *flags: str) -> Path:
    """A dataset of photos, dreamed with random weights at 64 px unless the flags say otherwise."""
    usual = ["--photos", str(photos), "--out", str(out), "--weights", "random", "--size", "64", "--device", "cpu"]
    assert main(["dataset", *usual, *flags]) == 0
    return out


def fit(dataset: object, run_dir: Path, *flags: str) -> int:
    return main(["train", "fit", "--config", SMOKE, "--data.dataset", str(dataset), "--run_dir", str(run_dir), *flags])


def csv_flags(run_dir: Path) -> list[str]:
    flags = ["--trainer.logger", "pytorch_lightning.loggers.CSVLogger", "--trainer.logger.save_dir", str(run_dir)]
    return [*flags, "--trainer.logger.name", "csv"]


def logged(run_dir: Path) -> dict[tuple[int, str], str]:
    """What its CSV holds of each epoch, by the name of the measure; of all versions, each of other epochs."""
    found: dict[tuple[int, str], str] = {}
    for file in sorted((run_dir / "csv").glob("version_*/metrics.csv")):
        for row in csv.DictReader(file.read_text().splitlines()):
            values = {(int(row["epoch"]), name): value for name, value in row.items() if value and "/" in name}
            assert not values.keys() & found.keys(), "logged twice"
            found |= values
    return found


def styles_of(run_dir: Path) -> dict[str, dict[str, Any]]:
    """What the config of the exported generator says of its styles."""
    found: dict[str, dict[str, Any]] = json.loads((run_dir / "generator" / "config.json").read_text())["styles"]
    return found


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
