"""Checkpoints: what is in them, and that one which does not fit is refused in one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamgan.data.datamodule import DreamPairs
from dreamgan.errors import UserError
from dreamgan.lit.pix2pix import Pix2Pix
from tests.lit.runs import checkpoint, fit


def test_a_checkpoint_leaves_the_frozen_backbones_out(styled_run: Path) -> None:
    names = checkpoint(styled_run)["state_dict"]
    assert {name.split(".")[0] for name in names} == {"generator", "discriminator", "ema"}
    assert not [name for name in names if name.startswith("ema.module.lessons")]
    # Generator, its average and two moments of each weight; the discriminator is tiny. MobileNet alone has as many
    # weights as the whole generator, and more.
    weights = sum(value.numel() for name, value in names.items() if name.startswith("generator."))
    size = (styled_run / "checkpoints" / "last.ckpt").stat().st_size
    assert 4 * 4 * weights < size < 4.3 * 4 * weights


def test_last_without_a_checkpoint_is_an_error(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(dataset, tmp_path, "--ckpt_path", "last") == 2
    assert "there is no checkpoint" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("content", ["text", "tensor"])
def test_a_checkpoint_that_is_none(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    path = tmp_path / "x.ckpt"
    if content == "text":
        path.write_text("not a checkpoint")
    else:
        torch.save({"weight": torch.zeros(3)}, path)
    assert fit(dataset, tmp_path / "run", "--ckpt_path", str(path)) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "x.ckpt is no" in last


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--model.widths", "[8, 8, 8, 8, 8]"], "was trained with widths [4, 8, 8, 8, 8]"),
        (["--model.encoder", "mobilenet_v2"], "was trained with encoder squeezenet1_1"),
        (["--model.discriminator_width", "8"], "was trained with discriminator_width 4"),
    ],
)
@pytest.mark.parametrize("by_name", [False, True])
def test_a_checkpoint_of_another_shape(
    dataset: Path,
    tmp_path: Path,
    whole_run: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    words: str,
    by_name: bool,
) -> None:
    shutil.copytree(whole_run / "checkpoints", tmp_path / "checkpoints")
    path = str(tmp_path / "checkpoints" / "last.ckpt") if by_name else "last"
    assert fit(dataset, tmp_path, "--ckpt_path", path, *flags) == 2
    captured = capsys.readouterr()
    assert words in captured.err.splitlines()[-1]
    assert "last.ckpt" in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoints"]


@pytest.mark.parametrize(
    ("prefix", "words"), [("generator.", "lacks generator."), ("ema.", "lacks ema."), ("discriminator.", "lacks disc")]
)
def test_a_checkpoint_that_lacks_a_network(
    dataset: Path, tmp_path: Path, whole_run: Path, capsys: pytest.CaptureFixture[str], prefix: str, words: str
) -> None:
    content = checkpoint(whole_run)
    state = content["state_dict"]
    content["state_dict"] = {name: value for name, value in state.items() if not name.startswith(prefix)}
    path = tmp_path / "x.ckpt"
    torch.save(content, path)
    assert fit(dataset, tmp_path / "run", "--ckpt_path", str(path)) == 2
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def smoke_model(**changes: Any) -> Pix2Pix:
    settings: dict[str, Any] = {
        "encoder": "squeezenet1_1",
        "encoder_weights": "random",
        "backbone_weights": "random",
        "widths": (4, 8, 8, 8, 8),
        "discriminator_width": 4,
    }
    return Pix2Pix(**{**settings, **changes})


def test_a_model_loads_only_a_checkpoint_that_fits(dataset: Path, whole_run: Path) -> None:
    content = checkpoint(whole_run)
    model = smoke_model()
    model.prepare(DreamPairs(str(dataset)).styles())
    model.on_load_checkpoint(content)
    assert model.measures["distillable"].n == 2
    content["state_dict"]["extra.weight"] = torch.zeros(1)
    with pytest.raises(UserError, match=r"unknown extra\.weight"):
        model.on_load_checkpoint(content)
    del content["state_dict"]["extra.weight"]
    content["state_dict"]["generator.head.weight"] = torch.zeros(1)
    with pytest.raises(UserError, match=r"other shapes of generator\.head\.weight"):
        model.on_load_checkpoint(content)


@pytest.mark.parametrize(
    ("fact", "was", "said"),
    [
        ("weights_sha256", "0" * 64, "weights_sha256 was 0000"),
        ("backbone", "vgg19", "backbone was vgg19, and is squeezenet1_1 in the dataset"),
        ("guides", '{"guide": "abc"}', "guides was"),
        ("smoothing_sigma", 3.5, "the recipe's smoothing_sigma was 3.5, and is 1.5 in the dataset"),
        ("of_a_later_version", 1, "the recipe's of_a_later_version was 1, and is None in the dataset"),
    ],
)
def test_a_checkpoint_of_other_dreams_by_the_same_name(
    dataset: Path, whole_run: Path, fact: str, was: Any, said: str
) -> None:
    content = checkpoint(whole_run)
    model = smoke_model()
    model.prepare(DreamPairs(str(dataset)).styles())
    dreams = content["dreams"]["distillable"]
    if fact in dreams:
        dreams[fact] = was
    else:
        dreams["recipe_json"] = json.dumps(json.loads(dreams["recipe_json"]) | {fact: was})
    with pytest.raises(UserError, match=f"learnt the style 'distillable' from other dreams: {said}"):
        model.on_load_checkpoint(content)


@pytest.mark.parametrize(
    "change", [{"styles": 3}, {"hyper_parameters": None}, {"dreams": None}, {"dreams": {"x": {}}}, {"state_dict": [1]}]
)
def test_a_damaged_checkpoint(dataset: Path, whole_run: Path, change: dict[str, Any]) -> None:
    model = smoke_model()
    model.prepare(DreamPairs(str(dataset)).styles())
    with pytest.raises(UserError, match="the checkpoint is"):
        model.on_load_checkpoint({**checkpoint(whole_run), **change})


@pytest.mark.parametrize("first", ["one", "two"])
def test_a_checkpoint_of_other_styles(
    dataset: Path,
    petals: Path,
    tmp_path: Path,
    whole_run: Path,
    styled_run: Path,
    capsys: pytest.CaptureFixture[str],
    first: str,
) -> None:
    run, other = (whole_run, petals) if first == "one" else (styled_run, dataset)
    path = run / "checkpoints" / "last.ckpt"
    assert fit(other, tmp_path / "run", "--ckpt_path", str(path)) == 2
    captured = capsys.readouterr()
    said = "distillable, the datasets hold petals" if first == "one" else "distillable, petals, the datasets hold disti"
    assert f"is of the styles {said}" in captured.err.splitlines()[-1]
    assert "give the same --data.dataset and --data.recipe" in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert not (tmp_path / "run").exists()
