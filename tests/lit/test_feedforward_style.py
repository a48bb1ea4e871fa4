"""A network that paints in one style: trained on photos by the same command, exported and sampled like the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from dreamgan.cli import main
from dreamgan.data.plain_photos import PlainPhotos
from dreamgan.images import load_image, to_unit
from dreamgan.lit.feedforward_style import FeedForwardStyle
from dreamgan.sampling import load_generator
from tests.lit.runs import assert_equal, checkpoint, csv_flags, logged, write_photos

SMOKE = str(Path(__file__).parents[2] / "configs" / "smoke" / "feedforward_style.yaml")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("style") / "photos", 8)


@pytest.fixture(scope="module")
def style(photos: Path) -> Path:
    """Red and green stripes."""
    picture = Image.new("RGB", (72, 64), (200, 40, 30))
    for left in range(0, 72, 12):
        picture.paste((30, 150, 60), (left, 0, left + 6, 64))
    picture.save(photos.parent / "stripes.png")
    return photos.parent / "stripes.png"


def fit(photos: Path, style: Path, run_dir: Path, *flags: str) -> int:
    own = ["--data.photos", str(photos), "--model.style", str(style), "--run_dir", str(run_dir)]
    return main(["train", "fit", "--config", SMOKE, *own, *flags])


@pytest.fixture(scope="module")
def whole_run(photos: Path, style: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    assert fit(photos, style, run_dir, *csv_flags(run_dir), "--trainer.max_epochs", "12") == 0
    return run_dir


def test_training_lowers_the_loss_below_that_of_the_photos(whole_run: Path) -> None:
    found = logged(whole_run)
    total = {epoch: float(value) for (epoch, name), value in found.items() if name == "val/total"}
    photo = {float(value) for (_, name), value in found.items() if name == "val/photo_style"}
    assert len(photo) == 1
    assert total[11] < 0.8 * photo.pop()
    losses = [float(found[epoch, "train/loss_g"]) for epoch in (0, 11)]
    assert losses[1] < 0.8 * losses[0]


def test_the_export_is_sampled_like_any_other(whole_run: Path, photos: Path, tmp_path: Path) -> None:
    generator = load_generator(whole_run / "generator")
    assert list(generator.styles) == ["stripes"]
    facts = generator.styles["stripes"]
    assert (facts["recipe"], facts["epochs"], facts["measures"]["n"]) == ("gatys", 12, 2)
    assert json.loads(facts["recipe_json"])["style_weight"] == 1.0
    card = (whole_run / "generator" / "README.md").read_text()
    assert "One-pass style: stripes" in card
    assert "(last validation, in epoch 12 of 12)" in card
    assert str(photos.parent) not in card
    out = tmp_path / "out"
    assert main(["sample", str(photos / "00.png"), "--generator", str(whole_run / "generator"), "--out", str(out)]) == 0
    painted, photo = (to_unit(load_image(file).picture) for file in (out / "00.png", photos / "00.png"))
    assert painted.shape == photo.shape
    assert (painted - photo).abs().mean() > 0.01


def test_a_resumed_training_equals_an_uninterrupted_one(photos: Path, style: Path, tmp_path: Path) -> None:
    halves = tmp_path / "halves"
    assert fit(photos, style, tmp_path / "whole", "--trainer.max_epochs", "2") == 0
    # The rates follow the planned length, so the first half must be stopped rather than be shorter.
    stop = ["--trainer.max_epochs", "2", "--trainer.max_steps", "3"]
    assert fit(photos, style, halves, *stop) == 0
    assert fit(photos, style, halves, "--trainer.max_epochs", "2", "--ckpt_path", "last") == 0
    one, other = (checkpoint(run)["state_dict"] for run in (tmp_path / "whole", halves))
    assert_equal(one, other)
    assert not any(name.startswith("comparison") for name in one)


def test_another_style_picture_is_refused(
    whole_run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 64), "blue").save(tmp_path / "stripes.png")
    assert fit(photos, tmp_path / "stripes.png", whole_run, "--ckpt_path", "last") == 2
    assert "learnt the style 'stripes' from other dreams: guides was" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--model.style", "none.png"], "'none.png' does not exist"),
        (["--model.style_px", "8"], "style_px is 8; it must be at least 32"),
        (["--model.style_weight", "0"], "style_weight is 0.0; it must be above 0"),
        (["--model.content_layers", "relu3_3"], "layer 'relu3_3' is not in squeezenet1_1"),
        (["--data.photos", "./none.parquet"], "there is no './none.parquet'"),
        (["--data.batch_size", "0"], "batch_size is 0; it must be at least 1"),
        (["--data.test_fraction", "1"], "test fraction is 1.0"),
        (["--data", "dreamgan.data.datamodule.DreamPairs", "--data.dataset", "x"], "is trained on other data than"),
    ],
)
def test_bad_values_are_one_line(
    flags: list[str], said: str, photos: Path, style: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(photos, style, tmp_path / "run", *flags) == 2
    captured = capsys.readouterr()
    assert said in captured.err.splitlines()[-1]
    assert "Traceback" not in captured.err
    assert not (tmp_path / "run").exists()


def test_the_terms_do_not_depend_on_the_batch(photos: Path, style: Path) -> None:
    data = PlainPhotos(str(photos), size_px=64, batch_size=2)
    data.setup("fit")
    own = {"backbone": "squeezenet1_1", "backbone_weights": "random", "encoder": "squeezenet1_1"}
    layers = {"content_layers": "features.4", "style_layers": "features.1"}
    model = FeedForwardStyle(str(style), encoder_weights="random", **own, **layers)  # type: ignore[arg-type]
    model.prepare_for(data)
    batch = next(iter(data.train_dataloader()))["photo"]
    with torch.no_grad():
        both = model._terms(model(batch), batch)
        one = model._terms(model(batch[:1]), batch[:1])
    for name, value in one.items():
        torch.testing.assert_close(both[name][:1], value, rtol=1e-4, atol=1e-7)


def test_crops_of_a_photograph_are_on_one_side(photos: Path) -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    data = PlainPhotos("samples", size_px=32, crops=3, val_photos=8)
    data.setup()
    assert data.train_photos is not None
    assert data.held_out is not None
    assert (len(data.train_photos), len(data.held_out)) == (21, 3)


def test_photos_that_cannot_be_read(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "99.png").write_text("no picture")
    data = PlainPhotos(str(tmp_path / "photos"), size_px=32, val_photos=0, test_fraction=0)
    data.setup("fit")
    assert data.train_photos is not None
    assert len(data.train_photos) == 8
    assert "skipped: " in capsys.readouterr().err
    assert data.val_dataloader() == []
