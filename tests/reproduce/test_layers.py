import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dreamgan.backbones.features import load_extractor
from dreamgan.dream import dream, get_recipe, score
from dreamgan.images import load_image, to_picture, to_unit
from dreamgan.reproduce import layers
from dreamgan.reproduce.report import Experiment, dream_one

MakeJob = Callable[..., Experiment]


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_the_table_has_the_loss_of_both_sets_on_both_photos(
    make_job: MakeJob, capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job(steps=10)
    layers.run(job)
    rows = rows_of(job.out / "layers.csv")
    assert list(rows[0]) == ["set", "photo", "step", "loss"]
    assert [(row["photo"], row["set"], row["step"]) for row in rows] == [
        (photo, which, step) for photo in ("one", "two") for which in ("low", "high") for step in ("1", "5", "10")
    ]
    # As the engine has it at once, not in stretches; the photo was stretched first.
    photo = to_unit(load_image(job.photos[1]).picture)[None]
    for which in ("low", "high"):
        recipe = get_recipe(f"layers_{which}", "squeezenet1_1", steps=10)
        extractor = load_extractor("squeezenet1_1", recipe.layer_names, weights="random")
        dreamed = dream(photo, extractor, recipe).images
        (found,) = (
            float(row["loss"]) for row in rows if (row["photo"], row["set"], row["step"]) == ("two", which, "10")
        )
        assert found == pytest.approx(float(score(dreamed, extractor, recipe)), rel=1e-5)
        kept = load_image(job.out / "parts" / f"layers_{which}_two__10.png").picture
        assert kept.tobytes() == to_picture(dreamed[0]).tobytes()
    figure = load_image(job.out / "layers.png").picture
    assert figure.width > 4 * 40
    assert figure.height > 4 * 40
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("low above high at every step: ")


def test_a_second_call_dreams_only_what_is_missing(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(steps=2)
    layers.run(job)
    table, figure = ((job.out / name).read_bytes() for name in ("layers.csv", "layers.png"))
    (job.out / "parts" / "layers_high_one.json").unlink()
    dreamed: list[str] = []
    real = dream_one

    def noted(job: Experiment, name: str, *args: Any, **kwargs: Any) -> Any:
        dreamed.append(name)
        return real(job, name, *args, **kwargs)

    monkeypatch.setattr(layers, "dream_one", noted)
    layers.run(job)
    assert dreamed == ["layers_high_one 0 to 1", "layers_high_one 1 to 2"]
    assert (job.out / "layers.csv").read_bytes() == table
    assert (job.out / "layers.png").read_bytes() == figure


def test_one_photo_is_allowed_and_told_of(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_job(steps=1)
    layers.run(make_job(steps=1, photos=job.photos[:1]))
    assert len(rows_of(job.out / "layers.csv")) == 2
    assert capsys.readouterr().err == "layers: one photo only; the paper's tables have two (--photos a.jpg,b.jpg)\n"


def table_of(**losses: tuple[float, float, float]) -> list[dict[str, Any]]:
    return [
        {"set": which, "photo": "p", "step": step, "loss": loss}
        for which, values in losses.items()
        for step, loss in zip((100, 500, 1000), values, strict=True)
    ]


def test_the_papers_own_table_has_its_shape() -> None:
    bears = table_of(low=(31.14, 51.25, 53.97), high=(20.07, 29.90, 31.96))
    assert layers.verdict(bears) == [
        "low above high at every step: yes",
        "loss at 500 / 100: 1.490 to 1.646 (within the paper's 1.4 to 1.7)",
        "loss at 1000 / 500: 1.053 to 1.069 (within the paper's 1.03 to 1.1)",
    ]


def test_another_shape_is_told() -> None:
    said = layers.verdict(table_of(low=(10, 15, 16), high=(10, 12, 12.1)))
    assert said[0].endswith(": no")
    assert said[1].endswith(": 1.200 to 1.500 (not within the paper's 1.4 to 1.7)")
    assert said[2].startswith("loss at 1000 / 500: 1.008 to 1.067 (not within")


def test_a_short_run_is_not_held_against_the_papers_ratios() -> None:
    rows = [{"set": w, "photo": "p", "step": s, "loss": float(s)} for w in ("low", "high") for s in (1, 5, 10)]
    assert layers.verdict(rows)[1:] == ["loss at 5 / 1: 5.000 to 5.000", "loss at 10 / 5: 2.000 to 2.000"]


def test_marks_of_shorter_runs(make_job: MakeJob) -> None:
    assert layers.marks_of(make_job(steps=None)) == (100, 500, 1000)
    assert layers.marks_of(make_job(steps=20)) == (2, 10, 20)
    assert layers.marks_of(make_job(steps=1)) == (1,)


def test_low_layers_of_vgg16_are_the_papers(make_job: MakeJob) -> None:
    torch.manual_seed(0)
    found = layers.extractors_of(make_job(backbone=None))
    assert found["low"][1].backbone == "vgg16"
    assert found["low"][0].layer_names == ("block2_conv2", "block3_conv1", "block3_conv2")
    assert found["high"][0].layer_names == ("block4_conv2", "block5_conv1", "block3_conv2")
