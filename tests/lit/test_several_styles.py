"""One network learns several styles out of several datasets, at the strengths that they hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamgan.data.pairs import load_pairs
from dreamgan.images import load_image, save_png, to_unit
from dreamgan.lit.pix2pix import Pix2Pix
from dreamgan.sampling import load_generator, sample
from tests.lit.runs import dreamed, fit, styles_of


def refused(capsys: pytest.CaptureFixture[str], dataset: object, run_dir: Path, *flags: str) -> str:
    """The one line with which a training is refused, before anything is written."""
    capsys.readouterr()
    assert fit(dataset, run_dir, *flags) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert not run_dir.exists()
    return captured.err.splitlines()[-1]


def test_every_batch_is_of_one_style_and_cut(styles: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, tuple[float, ...], torch.Size]] = []
    step = Pix2Pix.training_step

    def spy(self: Pix2Pix, batch: dict[str, torch.Tensor], batch_idx: int) -> None:
        (number,) = set(batch["style"].tolist())
        assert batch["photo"].shape == batch["dream"].shape
        seen.append((number, tuple(batch["strength"].tolist()), batch["photo"].shape))
        step(self, batch, batch_idx)

    monkeypatch.setattr(Pix2Pix, "training_step", spy)
    flags = ["--trainer.max_epochs", "2", "--data.crop_px", "48", "--data.val_pairs", "0"]
    assert fit(styles, tmp_path, *flags) == 0
    assert sorted(number for number, _, _ in seen) == [0] * 2 * 3 + [1] * 2 * 4
    assert {strength for number, strengths, _ in seen if number == 1 for strength in strengths} == {0.5, 1}
    assert {strength for number, strengths, _ in seen if number == 0 for strength in strengths} == {1}
    assert {shape for _, _, shape in seen} == {(2, 3, 48, 48)}
    # In no fixed order.
    assert [number for number, _, _ in seen] != sorted(number for number, _, _ in seen)


def test_the_grid_shows_both(styled_run: Path, whole_run: Path, dataset: Path, petals: Path) -> None:
    both, one = (load_image(run / "grids" / "epoch-0003.png").picture for run in (styled_run, whole_run))
    assert both.height == one.height
    assert both.width >= one.width + 3 * 64
    pixels = to_unit(both)
    for folder in (dataset, petals):
        rows = [row for row in load_pairs(folder, "test") if row["strength"] == 1]
        assert len(rows) == 2
        for row in rows:
            for column in ("photo", "dream"):
                assert stands_in(pixels, to_unit(row[column])), (folder, column)


def stands_in(sheet: torch.Tensor, picture: torch.Tensor) -> bool:
    """Whether the picture is part of the sheet, at whatever place."""
    side = picture.shape[-1]
    corner = (sheet[:, : 1 - side, : 1 - side] == picture[:, :1, :1]).all(dim=0).nonzero().tolist()
    return any(torch.equal(sheet[:, y : y + side, x : x + side], picture) for y, x in corner)


def test_card_and_config_say_what_was_learnt(styled_run: Path, petals: Path) -> None:
    facts = styles_of(styled_run)
    assert list(facts) == ["distillable", "petals"]
    assert facts["petals"]["backbone"] == "mobilenet_v2"
    assert facts["petals"]["layers"] == ["block_6_expand_relu"]
    assert facts["petals"]["strengths"] == [0.5, 1.0]
    assert json.loads(facts["petals"]["guides"]).keys() == {"guide"}
    assert facts["distillable"]["strengths"] == [1.0]
    # Measured on the whole dreams only: half of petals' test pairs.
    assert [each["measures"]["n"] for each in facts.values()] == [2, 2]
    assert facts["petals"]["measures"]["dream_gain"] != facts["distillable"]["measures"]["dream_gain"]
    card = (styled_run / "generator" / "README.md").read_text()
    assert "# One-pass dreams: distillable, petals" in card
    assert "| petals | mobilenet_v2 | block_6_expand_relu | 0.5, 1 |" in card
    assert "| measure | distillable | petals |" in card


def test_the_generator_tells_styles_and_strengths_apart(styled_run: Path, petals: Path) -> None:
    generator = load_generator(styled_run / "generator")
    photo = to_unit(load_pairs(petals, "test")[0]["photo"])[None]
    one, other, half = (
        sample(generator, photo, style=style, strength=strength)
        for style, strength in (("distillable", 1.0), ("petals", 1.0), ("petals", 0.5))
    )
    assert (one - other).abs().max() > 1e-4
    assert 0.2 < (half - photo).abs().mean() / (other - photo).abs().mean() < 0.8
    assert torch.equal(sample(generator, photo, style="petals", strength=0.0), photo)


def test_one_of_the_recipes_is_learnt(styles: str, tmp_path: Path) -> None:
    flags = ["--trainer.max_epochs", "1", "--data.recipe", "petals"]
    assert fit(styles, tmp_path, *flags) == 0
    assert list(styles_of(tmp_path)) == ["petals"]


def test_datasets_that_do_not_fit_together(
    styles: str, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, f"{styles}, {dataset}", tmp_path / "run")
    assert "a dataset is given twice in" in said
    said = refused(capsys, styles, tmp_path / "run", "--data.recipe", "petals,fur")
    assert "there is no recipe 'fur', only distillable, petals" in said

    photos, flags = dataset.parent / "photos", ["--backbone", "squeezenet1_1", "--test_fraction", "0"]
    other = dreamed(photos, tmp_path / "other", *flags, "--objective", "l2(features.4)")
    said = refused(capsys, f"{dataset},{other}", tmp_path / "run")
    assert f"{other} and a dataset before it both hold a recipe 'distillable', but with another recipe_json" in said

    small = dreamed(photos, tmp_path / "small", *flags, "--size", "48")
    said = refused(capsys, f"{dataset},{small}", tmp_path / "run")
    assert f"the pictures of {small} are 48x48 px, those of {dataset} 64x64" in said


def test_a_second_dataset_of_a_style_adds_pairs(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ["--backbone", "squeezenet1_1", "--test_fraction", "0"]
    more = dreamed(dataset.parent / "photos", tmp_path / "more", *flags, "--seed", "1", "--strengths", "0.5")
    steps: list[Any] = []
    monkeypatch.setattr(Pix2Pix, "training_step", lambda self, batch, batch_idx: steps.append(batch["strength"]))
    assert fit(f"{dataset},{more}", tmp_path / "run", "--trainer.max_epochs", "1", "--data.batch_size", "1") == 0
    assert sorted(float(strength) for strength in steps) == [0.5] * 8 + [1.0] * 6
    assert styles_of(tmp_path / "run")["distillable"]["strengths"] == [0.5, 1.0]


def test_a_guide_that_is_missing_or_another(petals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "petals"
    shutil.copytree(petals, copy)
    guide = copy / "guides" / "petals-guide.png"
    picture = load_image(guide).picture
    picture.putpixel((0, 0), (1, 2, 3))
    save_png(picture, guide)
    said = refused(capsys, copy, tmp_path / "run")
    assert f"'{guide}' is not the guide that 'petals' was dreamed with; copy it anew" in said
    guide.unlink()
    assert f"the guide '{guide}' of the dataset" in refused(capsys, copy, tmp_path / "run")
