import csv
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from dreamgan.dream import dream, score
from dreamgan.images import load_image, to_unit
from dreamgan.reproduce import layers_scan
from dreamgan.reproduce.layers import extractors_of
from dreamgan.reproduce.layers_scan import Setting
from dreamgan.reproduce.report import Experiment

MakeJob = Callable[..., Experiment]
FEW = (Setting("minmax", "std", True, 0.02), Setting("minmax", "none", False, 0.02), Setting("none", "std", True, 0.02))


def test_the_scan_has_a_row_for_each_setting_set_and_photo(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(layers_scan, "SETTINGS", FEW)
    job = make_job(steps=10)
    layers_scan.run(job)
    with (job.out / "layers_scan.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("scaling", "gradient_scale", "clamp", "step_size", "set", "photo"),
        *("loss1", "loss5", "loss10", "ratio_5_1", "ratio_10_5"),
    ]
    assert len(rows) == 3 * 2 * 2
    assert all(float(row["loss10"]) > float(row["loss1"]) for row in rows)
    # The loss after ten steps, as the engine and score have it.
    recipe, extractor = extractors_of(job)["low"]
    photo = to_unit(load_image(job.photos[0]).picture)[None]
    stretched = (photo - photo.min()) / (photo.max() - photo.min())
    for row, start in ((rows[0], stretched), (rows[8], photo)):
        assert (row["set"], row["photo"]) == ("low", "one")
        plain = replace(recipe, stretch=False, steps=(10,), step_size=(0.02,))
        expected = float(score(dream(start, extractor, plain).images, extractor, plain))
        assert float(row["loss10"]) == pytest.approx(expected, rel=1e-4)
    assert load_image(job.out / "layers_scan.png").picture.width > 800
    assert "settings give every photo the shape" in capsys.readouterr().out


def test_without_scaling_the_first_step_is_as_long_as_with_std(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = (Setting("minmax", "std", False, 0.01), Setting("minmax", "none", False, 0.01))
    monkeypatch.setattr(layers_scan, "SETTINGS", two)
    job = make_job(steps=2)
    layers_scan.run(job)
    with (job.out / "layers_scan.csv").open() as file:
        rows = list(csv.DictReader(file))
    for std, none in zip(rows[:4], rows[4:], strict=True):
        assert float(none["loss1"]) == pytest.approx(float(std["loss1"]), rel=1e-4)
        assert none["loss2"] != std["loss2"]


@pytest.mark.parametrize(
    ("high", "holds"),
    [
        ((20.07, 29.90, 31.96), True),
        ((35.0, 52.0, 55.0), False),  # above low
        ((20.0, 26.0, 28.0), False),  # 500 / 100 = 1.3
        ((20.0, 30.0, 30.1), False),  # 1000 / 500 = 1.003
    ],
)
def test_what_counts_as_the_papers_shape(high: tuple[float, float, float], holds: bool) -> None:
    rows = [
        {
            "set": which,
            "photo": "bears",
            **{f"loss{step}": loss for step, loss in zip((100, 500, 1000), losses, strict=True)},
            "ratio_500_100": losses[1] / losses[0],
            "ratio_1000_500": losses[2] / losses[1],
        }
        for which, losses in (("low", (31.14, 51.25, 53.97)), ("high", high))
    ]
    assert layers_scan._has_shape(rows, (100, 500, 1000)) is holds


def test_a_panel_draws_good_settings_green_and_survives_what_is_not_finite() -> None:
    good, bad = Setting("minmax", "std", True, 0.003), Setting("minmax", "std", True, 0.01)
    curve = torch.linspace(1, 5, 50)
    panel = layers_scan._panel({good: {"low": curve, "high": curve / 2}, bad: {"low": curve * torch.nan}}, {good})
    colours = {colour for _, colour in panel.getcolors(10_000) or []}
    assert (0, 128, 0) in colours
