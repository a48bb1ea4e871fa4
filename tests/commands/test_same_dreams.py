"""The comparison of dreams before and after fine-tuning, on tiny sets and random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from dreamgan.backbones.features import init_random
from dreamgan.backbones.registry import BACKBONES, build_network
from dreamgan.cli import main
from tests.lit.runs import write_photos


def test_a_table_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "val"):
        for label, height in (("ants", 48), ("bees", 60)):
            write_photos(tmp_path / "set" / split / label, 2, height, 64)
    network = build_network(BACKBONES["squeezenet1_1"])
    init_random(network)
    state = network.state_dict()
    changed = {key: value.flip(0).contiguous() if "features.6." in key else value for key, value in state.items()}
    save_file(changed, tmp_path / "tuned.safetensors")
    args = ["same_dreams", str(tmp_path / "set"), "--tuned", f"squeezenet1_1={tmp_path / 'tuned.safetensors'}"]
    args += ["--weights", "random", "--referee_weights", "random", "--photos_per_class", "2"]
    assert main([*args, "--out", str(tmp_path / "out")]) == 0
    table = (tmp_path / "out" / "table.md").read_text()
    assert table in capsys.readouterr().out
    assert "| squeezenet1_1 | " in table
    assert (tmp_path / "out" / "squeezenet1_1.png").is_file()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "--tuned must be given, as NETWORK=FILE"),
        (["--tuned", "backbone.safetensors"], "--tuned: 'backbone.safetensors' is not NETWORK=FILE"),
    ],
)
def test_the_tuned_weights_must_be_named(flags: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["same_dreams", "x", *flags]) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
