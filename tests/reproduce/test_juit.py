import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dreamgan.backbones.features import load_extractor
from dreamgan.dream import dream, get_recipe
from dreamgan.images import load_image, to_picture, to_unit
from dreamgan.reproduce import juit
from dreamgan.reproduce.report import Experiment, dream_one

MakeJob = Callable[..., Experiment]
GRIDS = [
    "figure_4_2_layers.png",
    "figure_4_3_pyramid_sizes.png",
    "figure_4_4_iterations.png",
    "figure_4_5_layers_by_pyramid_size.png",
    "figure_4_6_layers_by_iterations.png",
]


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_the_table_and_the_grids(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_job(photos=make_job().photos[:1])
    juit.run(job)
    rows = rows_of(job.out / "juit.csv")
    assert tuple(rows[0]) == juit.COLUMNS
    layers = ("features.8", "features.10")
    # Iterations 2 and, capped by steps, 3; each dream once, though several grids show it.
    settings = [(row["layer"], row["pyramid_size"], row["iterations"]) for row in rows]
    wanted = {(layer, size, "3") for layer in layers for size in "1345"} | {(layer, "4", "2") for layer in layers}
    assert sorted(settings) == sorted(wanted)
    assert settings[:2] == [("features.8", "1", "3"), ("features.8", "3", "3")]
    assert all(float(row["mean_abs_change"]) > 0 for row in rows)
    assert [path.name for path in sorted(job.out.glob("*.png"))] == GRIDS
    sizes = {name: load_image(job.out / name).picture.size for name in GRIDS}
    assert sizes[GRIDS[3]][1] > 2 * 40
    assert sizes[GRIDS[1]][0] > 5 * 40
    told = capsys.readouterr().err.splitlines()
    assert told[0] == ("juit: pyramid size 3: the finest 2 only, since the others are too small; raise --max_side")


def test_a_dream_is_gordics(make_job: MakeJob) -> None:
    job = make_job(seed=5)
    juit.run(job)
    (row,) = (
        row
        for row in rows_of(job.out / "juit.csv")
        if [*row.values()][:4] == ["features.10", "4", "2", "two"]  # layer, pyramid size, iterations, photo
    )
    recipe = get_recipe("gordic", "squeezenet1_1", layers="features.10", octaves=4, octave_scale=1.8, steps=2)
    extractor = load_extractor("squeezenet1_1", ["features.10"], weights="random")
    photo = to_unit(load_image(job.photos[1]).picture)[None]
    dreamed = dream(photo, extractor, recipe, seed=5).images
    kept = load_image(job.out / "parts" / "juit_two_features.10_pyramid4_iterations2__dream.png").picture
    assert kept.tobytes() == to_picture(dreamed[0]).tobytes()
    assert float(row["mean_abs_change"]) == pytest.approx(float((dreamed - photo).abs().mean()), rel=1e-4)


def test_a_second_call_dreams_only_what_is_missing(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job()
    juit.run(job)
    table = (job.out / "juit.csv").read_bytes()
    missing = job.out / "parts" / "juit_one_features.8_pyramid3_iterations3__dream.png"
    before = missing.read_bytes()
    missing.unlink()
    dreamed: list[str] = []
    real = dream_one

    def noted(job: Experiment, name: str, *args: Any, **kwargs: Any) -> Any:
        dreamed.append(name)
        return real(job, name, *args, **kwargs)

    monkeypatch.setattr(juit, "dream_one", noted)
    juit.run(job)
    assert dreamed == ["one"]
    assert missing.read_bytes() == before
    assert len((job.out / "juit.csv").read_bytes().splitlines()) == len(table.splitlines())


def test_resnet50_has_the_one_dream_of_layer3(make_job: MakeJob) -> None:
    job = make_job(backbone="resnet50", steps=1, photos=make_job().photos[:1])
    juit.run(job)
    (row,) = rows_of(job.out / "juit_resnet50.csv")
    assert [*row.values()][:4] == ["layer3", "4", "1", "one"]
    assert [path.name for path in job.out.glob("*.png")] == ["figure_resnet50_layer3.png"]


def test_labels_say_what_differs_and_the_caption_what_does_not() -> None:
    row = [juit.Setting("relu4_3", size, 10) for size in (1, 3)]
    assert juit._labels(row, row) == (["pyramid size 1", "pyramid size 3"], "relu4_3, 10 iterations")
    both = [*row, *(juit.Setting("relu5_1", size, 10) for size in (1, 3))]
    assert juit._labels(row, both)[1] == "10 iterations"
    assert juit._labels(row[:1], row[:1]) == (["dream"], "relu4_3, pyramid size 1, 10 iterations")
