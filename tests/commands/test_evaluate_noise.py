"""`dreamgan evaluate` of generators that dream from noise: what is measured, what is written, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from dreamgan import cli
from dreamgan.data.styles import find_styles
from dreamgan.evaluation.noise_figures import NetworkFigures, NoiseFigures
from dreamgan.evaluation.noise_sets import gather, learnt_by
from dreamgan.evaluation.noise_table import answer, noise_text
from dreamgan.metrics.spread import Spread
from dreamgan.noise_sampling import load_noise_generator, save_noise_generator
from tests.lit.runs import dreamed, write_photos
from tests.noisy import noise_generator


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty photos of each of two classes, dreamed; half of all are for the test. Treat as read-only."""
    folder = tmp_path_factory.mktemp("pairs")
    photos = write_photos(folder / "photos", 60)
    for name, numbers in (("bee", range(30)), ("cow", range(30, 60))):
        (photos / name).mkdir()
        for number in numbers:
            (photos / f"{number:02d}.png").rename(photos / name / f"{number:02d}.png")
    flags = ["--backbone", "squeezenet1_1", "--test_fraction", "0.5", "--second_dreams", "0"]
    return dreamed(photos, folder / "dataset", *flags)


@pytest.fixture(scope="module")
def generator(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that knows whose dreams it learnt. Treat as read-only."""
    folder = tmp_path_factory.mktemp("export") / "nightmares"
    (style,) = find_styles([str(dataset)])
    facts = {**style.facts, "labels": ["bee", "cow"], "limit": 20}
    save_noise_generator(folder, noise_generator(styles=1, classes=0), {style.name: facts}, [], "card")
    return folder


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamgan.evaluation.noise_sets.GENERATED", 40)
    monkeypatch.setattr("dreamgan.commands.evaluate_noise.GENERATED", 40)


def run(generator: Path, dataset: Path, out: Path, *flags: str) -> int:
    usual = ["--weights", "random", "--referee_weights", "random", "--device", "cpu", "--out", str(out)]
    return cli.main(["evaluate", str(generator), str(dataset), *usual, *flags])


def test_table_figures_and_grid(
    generator: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(generator, dataset, tmp_path, "--json", str(tmp_path / "x.json"), "--rows", "3") == 0
    text = capsys.readouterr().out
    for part in ("style distillable: 15 pictures", "KID to held-out photos", "coverage", "| category", "By KID"):
        assert part in text
    (row,) = json.loads((tmp_path / "x.json").read_text())
    assert (row["style"], row["n"]) == ("distillable", 15)
    assert row["objective_photos"] < row["objective_dreams"]
    assert row["categories_trained"] == {"bee": 0.5, "cow": 0.5}
    assert [each["network"] for each in row["networks"]] == ["squeezenet1_1 features.9", "vgg16 relu4_3"]
    for each in row["networks"]:
        assert sum(each["categories"].values()) == pytest.approx(1)
        # Random weights make pictures that lie far from all dreams, and other dreams lie near.
        assert each["kid_halves"] < each["kid_dreams"]
        assert each["coverage"] < each["coverage_halves"]
        assert 0.5 < each["nearest"] < 2
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.width > 3 * 64
        assert grid.height > 3 * 64


def test_the_sets_are_what_the_generator_learnt(generator: Path, dataset: Path) -> None:
    loaded = load_noise_generator(generator)
    sets = gather(learnt_by(loaded, "distillable", str(dataset)))
    assert (sets.count, len(sets.trained), sets.names) == (15, 20, ["bee", "cow"])
    assert sorted(sets.labels) == [0] * 10 + [1] * 10
    first, second = sets.dreams
    assert not any(torch.equal(one, other) for one in first for other in second)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--by_seen"], "--by_seen is for pairs"),
        (["--labels", "bee"], "--labels is for pairs"),
        (["--split", "train"], "--split is for pairs"),
        (["--limit", "5"], "--limit is for pairs"),
        (["--gallery", "g.png"], "--gallery is for pairs"),
    ],
)
def test_flags_about_pairs_are_refused(
    generator: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    assert run(generator, dataset, tmp_path, *flags) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_dreams_of_another_network_are_refused(
    generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = write_photos(tmp_path / "photos", 8)
    other = dreamed(photos, tmp_path / "other", "--backbone", "mobilenet_v2")
    assert run(generator, other, tmp_path / "out") == 2
    assert "another backbone; give the dataset that it was trained on" in capsys.readouterr().err.splitlines()[-1]


def test_too_few_held_out_dreams(generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = write_photos(tmp_path / "photos" / "bee", 30)
    small = dreamed(photos.parent, tmp_path / "small", "--backbone", "squeezenet1_1")
    loaded = json.loads((generator / "config.json").read_text())
    loaded["styles"]["distillable"] |= {"labels": ["bee"], "limit": None}
    copy = tmp_path / "generator"
    copy.mkdir()
    (copy / "config.json").write_text(json.dumps(loaded))
    (copy / "model.safetensors").write_bytes((generator / "model.safetensors").read_bytes())
    assert run(copy, small, tmp_path / "out") == 2
    assert "too few dreams in its test split" in capsys.readouterr().err.splitlines()[-1]


def figures(dreams: float, photos: float) -> NoiseFigures:
    near = Spread(1.0, 0.1)
    network = NetworkFigures(
        "net", Spread(dreams, 0.1), Spread(photos, 0.1), near, near, near, near, 1, 1, 1, 1, 1, 1.0, {"a": 1.0}
    )
    heights = dict.fromkeys(("photos", "dreams", "generated"), near)
    return NoiseFigures("s", 50, heights, 0.5, {"a": 1.0}, [network])


def test_the_answer_needs_spreads_that_do_not_overlap() -> None:
    assert "nearer to dreams" in answer(figures(0.5, 1.0))
    assert "nearer to photos" in answer(figures(1.0, 0.5))
    assert "neither" in answer(figures(1.0, 1.1))
    assert "nearer to dreams" in noise_text(figures(0.5, 1.0))
