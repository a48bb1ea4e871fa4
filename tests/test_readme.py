"""The README keeps what it promises: its Python runs, its links lead somewhere, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from dreamgan.cli import COMMANDS
from dreamgan.images import load_image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: Image.Image) -> None:
    if not (Path(torch.hub.get_dir()) / "checkpoints" / "mobilenet_v2-b0353104.pth").is_file():
        pytest.skip("needs the default weights: run `make setup`")
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    photo.save(tmp_path / "holiday.jpg")
    monkeypatch.chdir(tmp_path)

    exec(compile(code, "README.md", "exec"), {})

    dreamed = load_image(tmp_path / "dream.png").picture
    assert dreamed.size == photo.size
    assert dreamed.tobytes() != load_image(tmp_path / "holiday.jpg").picture.tobytes()


def test_links_lead_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in target]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_scripts_configs_and_commands_exist() -> None:
    paths = re.findall(r"\b(?:scripts|configs)/\w+\.(?:py|yaml)", README)
    assert {"scripts/make_dream_dataset.py", "scripts/train.py", "configs/pix2pix.yaml"} <= set(paths)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert set(re.findall(r"dreamgan (dream|dataset|train|sample)\b", README)) <= set(COMMANDS)


def test_nothing_is_left_to_fill_in() -> None:
    assert "@@" not in README
