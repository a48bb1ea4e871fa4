"""The anchor for the GAN that dreams from noise, as far as it is ours."""

from __future__ import annotations

import sys

import pytest
import torch

from dreamgan.bench.public_gan import _Batches
from scripts.bench_noise import main


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "torchgan.trainer", None)
    assert main(["runs/none"]) == 2
    said = capsys.readouterr().err
    assert "pip install --no-deps torchgan" in said
    assert said.count("\n") == 1


def test_batches_are_the_pictures_some_of_them_mirrored() -> None:
    pictures = torch.rand(8, 3, 4, 4)
    torch.manual_seed(0)
    batch = _Batches(pictures)([5] * 64)
    plain, mirrored = pictures[5] * 2 - 1, pictures[5].flip(-1) * 2 - 1
    kinds = [0 if torch.equal(each, plain) else 1 if torch.equal(each, mirrored) else 2 for each in batch]
    assert set(kinds) == {0, 1}
