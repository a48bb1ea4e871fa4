"""The comparison of backbones, on tiny photos and random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dreamgan.cli import main
from tests.lit.runs import write_photos


def test_a_table_and_finished_trainings_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label, height in (("ants", 48), ("bees", 60)):
        write_photos(tmp_path / "insects" / label, 6, height, 64)
    networks = "squeezenet1_1=random,googlenet_bvlc=random"
    args = ["compare_backbones", str(tmp_path / "insects"), "--backbones", "squeezenet1_1,googlenet_bvlc"]
    args += ["--weights", networks, "--val_last", "2", "--epochs", "2", "--size", "64", "--device", "cpu"]
    args += ["--features", str(tmp_path / "features"), "--out", str(tmp_path / "out")]
    assert main(args) == 0
    rows = json.loads((tmp_path / "out" / "table.json").read_text())
    assert [(row["set"], row["backbone"], row["n"]) for row in rows] == [
        ("insects", "squeezenet1_1", 4),
        ("insects", "googlenet_bvlc", 4),
    ]
    table = (tmp_path / "out" / "table.md").read_text()
    assert "| insects | squeezenet1_1 (random weights) | " in table
    assert table in capsys.readouterr().out
    files = [
        tmp_path / "out" / f"insects-{name}" / "backbone.safetensors" for name in ("squeezenet1_1", "googlenet_bvlc")
    ]
    before = [file.stat().st_mtime_ns for file in files]
    assert main(args) == 0
    assert [file.stat().st_mtime_ns for file in files] == before
    (tmp_path / "insects" / "bees" / "05.png").unlink()
    assert main(args) == 0
    assert all(file.stat().st_mtime_ns > old for file, old in zip(files, before, strict=True))


def test_nothing_to_compare(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare_backbones", "x", "--backbones", ","]) == 2
    assert "there is nothing to compare" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("photos", "flags", "said"),
    [
        ("a/insects,b/insects", [], "are both called 'insects'"),
        ("a/insects,c/insects", [], "there is no folder of photos '{tmp}/c/insects'"),
        ("a/insects", ["--weights", "vgg61=random"], "'vgg61' is not among --backbones: squeezenet1_1, vgg16"),
        ("a/insects", ["--weights", "resnet50=random"], "'resnet50' is not among --backbones: squeezenet1_1, vgg16"),
        ("a/insects", ["--weights", "vgg16=none.pth"], "file 'none.pth' does not exist"),
        ("a/insects", ["--weights", "none.pth"], "file 'none.pth' does not exist"),
        ("a/insects", ["--features", __file__], "is a file, not a folder; give another --features"),
        ("a/insects", ["--size", "1000000"], "--size is 1000000; it must be at most 1024"),
    ],
)
def test_mistakes_are_told_before_the_first_training(
    photos: str, flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        write_photos(tmp_path / name / "insects" / "ants", 1, 48, 64)
    given = ",".join(str(tmp_path / name) for name in photos.split(","))
    args = ["compare_backbones", given, "--backbones", "squeezenet1_1,vgg16", "--out", str(tmp_path / "out")]
    assert main([*args, *flags]) == 2
    captured = capsys.readouterr()
    assert said.format(tmp=tmp_path) in captured.err.splitlines()[-1]
    assert captured.out == ""
    assert not (tmp_path / "out").exists()
