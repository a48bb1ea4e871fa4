"""The arithmetic floor against sums by hand, and the benchmark's JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from dreamgan.backbones.features import load_extractor
from dreamgan.bench import alternate, dream_flops, forward_flops
from dreamgan.cli import main
from dreamgan.dream import get_recipe

# (inputs, outputs, stride of the maps) of VGG16's convolutions up to relu4_3.
VGG16: tuple[tuple[int, int, int], ...] = (
    (3, 64, 1),
    (64, 64, 1),
    (64, 128, 2),
    (128, 128, 2),
    (128, 256, 4),
    (256, 256, 4),
    (256, 256, 4),
)
VGG16 += ((256, 512, 8), (512, 512, 8), (512, 512, 8))


def by_hand(side: int) -> int:
    return sum(2 * 9 * inputs * outputs * (side // stride) ** 2 for inputs, outputs, stride in VGG16)


def test_forward_flops_of_vgg16() -> None:
    extractor = load_extractor("vgg16", ["relu4_3"], weights="random")
    assert forward_flops(extractor, torch.zeros(1, 3, 64, 64)) == by_hand(64)


def test_dream_flops_are_two_passes_per_step() -> None:
    extractor = load_extractor("vgg16", ["relu4_3"], weights="random")
    recipe = get_recipe("gordic", "vgg16", octaves=2, octave_scale=2.0, steps=(3, 5))
    assert dream_flops(extractor, recipe, 64, 64) == 2 * (3 * by_hand(32) + 5 * by_hand(64))


def test_functions_take_turns() -> None:
    calls: list[str] = []
    seconds = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3)
    assert calls == ["a", "b"] * 4  # one warm-up each
    assert [len(times) for times in seconds.values()] == [3, 3]


@pytest.mark.slow
def test_bench_dream_writes_rows(tmp_path: Path) -> None:
    target = tmp_path / "rows.json"
    flags = ["--backbone", "squeezenet1_1", "--recipe", "distillable", "--sizes", "64x64,64x96", "--repeats", "1"]
    assert main(["bench_dream", "--json", str(target), *flags]) == 0
    rows = json.loads(target.read_text())
    assert [row["case"].split()[-1] for row in rows] == ["64x64", "64x96"]
    for row in rows:
        assert row.keys() >= {"case", "seconds", "fraction_of_floor", "threads", "device"}
        assert row["fraction_of_floor"] == pytest.approx(row["floor_seconds"] / row["seconds"])
