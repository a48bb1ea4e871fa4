import csv
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dreamgan.backbones.features import load_extractor
from dreamgan.dream import dream, get_recipe, score
from dreamgan.dream.noise import noise_images
from dreamgan.dream.octaves import octave_sizes, resize
from dreamgan.errors import UserError
from dreamgan.images import load_image, to_picture, to_unit
from dreamgan.reproduce import styleconv
from dreamgan.reproduce.report import Experiment

MakeJob = Callable[..., Experiment]


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def waves(cycles_per_px: float, height: int = 64, width: int = 96) -> Tensor:
    """A wave along the rows, the same in all colours."""
    return torch.sin(2 * math.pi * cycles_per_px * torch.arange(width)).expand(3, height, width)


def test_all_variants_of_photos_and_noise(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    job = make_job(steps=2, photos=make_job().photos[:1])
    styleconv.run(job)
    rows = rows_of(job.out / "styleconv.csv")
    assert tuple(rows[0]) == styleconv.COLUMNS
    (own,) = get_recipe("styleconv_single", "squeezenet1_1").objective.terms[0].maps
    settings = {(row["start"], row["objective"], row["map"], row["scales"]) for row in rows}
    expected = {("single", str(own), scales) for scales in styleconv.SCALES}
    expected |= {("multi", "", scales) for scales in styleconv.SCALES}
    further = [(own + step * 96) % 384 for step in (1, 2, 3)]  # features.9 has 384 maps
    expected |= {("single", str(index), scales) for index in further for scales in ("one", "several")}
    assert settings == {(start, *setting) for start in ("one", "(noise)") for setting in expected}
    assert len(rows) == len(settings)
    assert all(0 <= float(row["high_frequency_share"]) <= 1 for row in rows)
    assert load_image(job.out / "styleconv.png").picture.width > 7 * 40
    captured = capsys.readouterr()
    assert captured.err == ""
    assert len(captured.out.splitlines()) == 6


def test_all_variants_make_the_same_number_of_steps(make_job: MakeJob) -> None:
    usual = get_recipe("styleconv_single", "squeezenet1_1", steps=7)
    variants = [styleconv.Variant("single", 5, scales) for scales in styleconv.SCALES]
    recipes = [styleconv._recipe(usual, variant) for variant in variants]
    assert [sum(recipe.steps_per_octave) for recipe in recipes] == [21, 21, 21]
    assert [recipe.octaves for recipe in recipes] == [1, 1, 3]
    assert {str(recipe.objective) for recipe in recipes} == {"channel(features.9, 5)"}


def test_the_small_scale_is_dreamed_small_and_then_enlarged(make_job: MakeJob) -> None:
    job = make_job(steps=2)
    styleconv.run(job)
    recipe = get_recipe("styleconv_multi", "squeezenet1_1", steps=2)
    extractor = load_extractor("squeezenet1_1", recipe.layer_names, weights="random")
    one_scale = replace(recipe, octaves=1, steps=(6,))
    noise = noise_images(40, 40, seed=0, names=["noise"])
    small = resize(noise, octave_sizes(40, 40, recipe)[0])
    dreamed = resize(dream(small, extractor, one_scale).images, (40, 40))
    kept = load_image(job.out / "parts" / "styleconv__noise__multi_one_small__dream.png").picture
    assert kept.tobytes() == to_picture(dreamed[0]).tobytes()
    (row,) = (
        row
        for row in rows_of(job.out / "styleconv.csv")
        if (row["start"], row["objective"], row["scales"]) == ("(noise)", "multi", "one small")
    )
    assert float(row["score_before"]) == pytest.approx(float(score(noise, extractor, recipe)), rel=1e-4)
    assert float(row["score_after"]) == pytest.approx(float(score(dreamed, extractor, recipe)), rel=1e-4)
    # What noise gains is measured against grey, what a photo gains against the photo.
    expected = styleconv.high_frequency_share(dreamed[0] - 0.5)
    assert float(row["high_frequency_share"]) == pytest.approx(expected, rel=1e-4)


def test_what_resizing_loses_is_not_put_down_to_the_dream(two_photos: tuple[Path, Path]) -> None:
    recipe = get_recipe("styleconv_single", "squeezenet1_1", steps=1, step_size=1e-12)
    extractor = load_extractor("squeezenet1_1", recipe.layer_names, weights="random")
    photo = to_unit(load_image(two_photos[0]).picture)
    photo = torch.cat([photo, photo.flip(1)], dim=1)
    photo = torch.cat([photo, photo.flip(2)], dim=2)  # 80 px: all scales fit
    dreamed = dream(photo[None], extractor, recipe).images[0]
    assert (dreamed - photo).abs().max() > 0.01
    resized = styleconv._resized(photo, [(height, width) for height, width in octave_sizes(80, 80, recipe)])
    torch.testing.assert_close(dreamed, resized, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("scales", "octaves", "steps"), [("one", 1, 6), ("several", 3, 2)])
def test_the_measures_are_of_what_the_steps_added(make_job: MakeJob, scales: str, octaves: int, steps: int) -> None:
    job = make_job(steps=2, photos=make_job().photos[:1])
    styleconv.run(job)
    recipe = get_recipe("styleconv_multi", "squeezenet1_1", octaves=octaves, steps=steps)
    extractor = load_extractor("squeezenet1_1", recipe.layer_names, weights="random")
    photo = to_unit(load_image(job.photos[0]).picture)
    base = photo[None]
    for height, width in octave_sizes(40, 40, recipe):
        base = resize(base, (height, width))
    added = (dream(photo[None], extractor, recipe).images - base)[0]
    (row,) = (
        row
        for row in rows_of(job.out / "styleconv.csv")
        if (row["start"], row["objective"], row["scales"]) == ("one", "multi", scales)
    )
    assert float(row["high_frequency_share"]) == pytest.approx(styleconv.high_frequency_share(added), rel=1e-4)
    assert float(row["repetition"]) == pytest.approx(styleconv.repetition(added), rel=1e-4)


def test_a_second_call_dreams_nothing(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job(steps=1, photos=make_job().photos[:1])
    styleconv.run(job)
    table, figure = ((job.out / name).read_bytes() for name in ("styleconv.csv", "styleconv.png"))

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a dream that is there was made again")

    monkeypatch.setattr(styleconv, "dream_one", refuse)
    styleconv.run(job)
    assert (job.out / "styleconv.csv").read_bytes() == table
    assert (job.out / "styleconv.png").read_bytes() == figure


def test_scales_that_are_left_out_are_told(make_job: MakeJob, capsys: pytest.CaptureFixture[str]) -> None:
    # 32 px shrink to 16 px at the third scale, less than the engine's least.
    job = make_job(steps=1, photos=make_job().photos[:1], max_side=32)
    styleconv.run(job)
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1] for line in told] == [" one", " (noise)"]
    assert told[0].endswith(
        "the 1 coarsest of its scales were left out, too small for squeezenet1_1, so several scales make fewer steps "
        "than one; raise --max_side"
    )
    steps = {(row["scales"], row["steps"]) for row in rows_of(job.out / "styleconv.csv")}
    assert steps == {("one small", "3"), ("one", "3"), ("several", "2")}


def test_files_that_are_not_there_are_named(make_job: MakeJob, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.png' does not exist"):
        styleconv.run(make_job(photos=(tmp_path / "none.png",)))
    with pytest.raises(UserError, match="none.safetensors"):
        styleconv.run(make_job(weights=str(tmp_path / "none.safetensors")))


def test_total_variation_of_a_picture_done_by_hand() -> None:
    image = torch.tensor([[0.0, 0.5], [0.0, 1.0]]).expand(3, 2, 2)
    # To the right 0.5 and 1, downwards 0 and 0.5.
    assert styleconv.total_variation(image) == pytest.approx(0.75 + 0.25)


def test_high_frequencies_are_those_above_a_quarter_cycle_per_pixel() -> None:
    low, high = waves(0.125), waves(0.375)
    assert styleconv.high_frequency_share(low) < 1e-4
    assert styleconv.high_frequency_share(high) > 1 - 1e-4
    assert styleconv.high_frequency_share(low + high) == pytest.approx(0.5, abs=0.01)
    assert styleconv.high_frequency_share(low + math.sqrt(3) * high) == pytest.approx(0.75, abs=0.01)
    # No wave at all, but a jump from the last column to the first.
    assert styleconv.high_frequency_share(torch.linspace(0, 1, 96).expand(3, 64, 96)) < 1e-3
    assert styleconv.high_frequency_share(torch.full((3, 64, 96), 0.3)) == 0


def test_repetition_is_one_for_tiles_and_next_to_nothing_for_noise() -> None:
    stream = torch.Generator().manual_seed(0)
    tile = torch.rand(3, 16, 16, generator=stream)
    noise = torch.rand(3, 96, 80, generator=stream)
    assert styleconv.repetition(tile.repeat(1, 6, 5)) == pytest.approx(1, abs=0.02)
    assert styleconv.repetition(noise) < 0.1
    # Half of the energy repeats.
    assert styleconv.repetition(tile.repeat(1, 6, 5) + noise) == pytest.approx(0.5, abs=0.07)
    # One smooth blob has no peak but its own.
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    blob = torch.exp(-((x - 48) ** 2 + (y - 48) ** 2) / 200).expand(3, 96, 96)
    assert styleconv.repetition(blob) < 0.1
    # Two of them 40 px apart, each of which is half of the energy.
    assert styleconv.repetition(blob.roll(-20, dims=2) + blob.roll(20, dims=2)) > 0.4
    assert styleconv.repetition(torch.full((3, 64, 64), 0.3)) == 0


def test_parts_that_show_the_same_are_the_same(photo: Any) -> None:
    judge = load_extractor("squeezenet1_1", ["features.7"], weights="random")
    stream = torch.Generator().manual_seed(0)
    wave = (waves(0.1, 48, 64) + 1) / 2
    unlike = [to_unit(photo), torch.rand(3, 48, 64, generator=stream), wave, torch.zeros(3, 48, 64)]

    def quarters(parts: list[Tensor]) -> Tensor:
        return torch.cat([torch.cat(parts[:2], dim=2), torch.cat(parts[2:], dim=2)], dim=1)

    mixed = styleconv.sameness(quarters(unlike), judge, parts=2)
    for part in unlike[:3]:
        assert mixed < styleconv.sameness(quarters([part] * 4), judge, parts=2) <= 1


def row(objective: str, scales: str, value: float, **fields: Any) -> dict[str, Any]:
    measures = dict.fromkeys(("high_frequency_share", "repetition", "sameness"), value)
    usual = {"start": "cat", "map": 1 if objective == "single" else "", "steps": 9, "skipped_steps": 0}
    return {**usual, "objective": objective, "scales": scales, **measures, **fields}


def test_the_verdict_compares_pairs() -> None:
    table = [
        row("single", "one small", 0.1),
        row("single", "one", 0.5),
        row("single", "several", 0.3),
        row("multi", "one", 0.2),
        row("multi", "several", 0.4),
        # A map that made no step says nothing.
        row("single", "one", 0.9, map=2, skipped_steps=9),
        row("single", "several", 0.0, map=2),
    ]
    said = styleconv.verdict(table)
    assert said[0] == "noise (high_frequency_share): one scale 0.350, several 0.350; the first is higher in 1 of 2"
    assert said[1] == (
        "resolution (high_frequency_share): several scales 0.300, one small one 0.100; the first is higher in 1 of 1"
    )
    # Maps 1 and 2 each against the layers at the same scales.
    assert said[4] == (
        "texture repeats (repetition): one map 0.267, several layers 0.333; the first is higher in 1 of 3"
    )


def test_the_verdict_of_nothing() -> None:
    table = [row("single", "one", 0.9, skipped_steps=9)]
    assert styleconv.verdict(table)[0] == "noise (high_frequency_share): one scale -, several -; nothing to compare"
