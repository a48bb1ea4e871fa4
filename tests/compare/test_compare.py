import csv
import json
import math
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from dreamgan import cli
from dreamgan.backbones.features import load_extractor
from dreamgan.commands.compare import _photos
from dreamgan.compare.gathering import gather
from dreamgan.compare.measuring import Row, measure_ways
from dreamgan.compare.memory import CLEAR, PeakMemory
from dreamgan.compare.plot import speed_picture, speed_plot
from dreamgan.compare.publish import log_comparison
from dreamgan.compare.report import write_report
from dreamgan.compare.way import Make, Way
from dreamgan.compare.ways import check_names, direct_dream, feed_forward, missing, one_pass, photo
from dreamgan.dream import get_recipe
from dreamgan.errors import UserError
from dreamgan.generators import SHIPPED

FEW = [
    "--recipe",
    "distillable",
    "--weights",
    "random",
    "--style_backbone",
    "squeezenet1_1",
    "--style_weights",
    "random",
]
FEW += ["--passes", "1", "--device", "cpu", "--max_side", "64"]


def written(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / "photos").mkdir(exist_ok=True)
        rng = np.random.default_rng(list(name.encode()))
        small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        small.resize((48, 40), Image.Resampling.BICUBIC).save(folder / "photos" / name)
    return folder / "photos"


def brighter(by: float, calls: list[str], steps: int = 1) -> Way:
    def load() -> Make:
        def make(image: Tensor, name: str) -> Tensor:
            calls.append(name)
            return (image + by).clamp(0, 1)

        return make

    return Way(f"brighter-{by:g}", f"brighter by {by:g}", "direct dream", "Adds.", load, {"by": by}, steps)


@pytest.fixture
def photos() -> dict[str, Tensor]:
    return {name: torch.full((1, 3, 40, 48), 0.2 + 0.2 * place) for place, name in enumerate(("a", "b"))}


def test_finished_pictures_are_kept_and_others_made(photos: dict[str, Tensor], tmp_path: Path) -> None:
    calls: list[str] = []
    way = brighter(0.2, calls)
    first = gather(photos, [photo(), way], tmp_path, lambda line: None)
    assert calls == ["a", "b"]
    assert [(made.photo, made.way) for made in first.made] == [(p, w) for p in "ab" for w in ("photo", way.name)]
    assert first.made[1].image().mean() == pytest.approx(0.4, abs=1e-2)
    assert gather(photos, [photo(), way], tmp_path, lambda line: None) == first
    assert calls == ["a", "b"]
    # Half a picture, another photo, other facts: made anew.
    (tmp_path / "a" / f"{way.name}.json").unlink()
    gather(photos, [photo(), way], tmp_path, lambda line: None)
    gather({**photos, "b": photos["a"]}, [photo(), way], tmp_path, lambda line: None)
    assert calls == ["a", "b", "a", "b"]
    gather(photos, [photo(), brighter(0.3, calls, steps=0)], tmp_path, lambda line: None)
    assert calls[4:] == ["a"] * 3 + ["b"] * 3  # a single pass is timed three times


def test_what_is_missing_is_said_and_the_rest_runs(photos: dict[str, Tensor], tmp_path: Path) -> None:
    told: list[str] = []
    ways = [photo(), missing("none", "a style", "pip install it"), brighter(0.1, [])]
    found = gather(photos, ways, tmp_path, told.append)
    assert found.missing == {"none": "pip install it"}
    assert {made.way for made in found.made} == {"photo", "brighter-0.1"}
    assert "a style: left out: pip install it" in told
    with pytest.raises(UserError, match="none of the ways can be run; first: pip install it"):
        gather(photos, ways[:2], tmp_path / "other", told.append)


def test_a_network_for_one_style_is_called_by_its_style(photos: dict[str, Tensor], tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    dreamer = one_pass(SHIPPED, cpu, "inception")
    with pytest.raises(UserError, match="dreams; give one that was trained by feedforward_style.yaml"):
        feed_forward(SHIPPED, cpu)
    shutil.copytree(SHIPPED, tmp_path / "painter")
    config = json.loads((tmp_path / "painter" / "config.json").read_text())
    config["styles"] = {name: {**facts, "recipe": "gatys"} for name, facts in config["styles"].items()}
    (tmp_path / "painter" / "config.json").write_text(json.dumps(config))
    painter = feed_forward(tmp_path / "painter", cpu)
    assert (painter.name, painter.label) == ("feed-forward-inception", "feed-forward style, inception")
    check_names([painter, dreamer])
    assert torch.equal(painter.load()(photos["a"], "a"), dreamer.load()(photos["a"], "a"))


def test_other_weights_of_the_same_name_are_other_facts(tmp_path: Path) -> None:
    recipe = get_recipe("distillable", "mobilenet_v2")
    facts = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "best.pth").write_bytes(folder.encode())
        weights = str(tmp_path / folder / "best.pth")
        facts.append(direct_dream(recipe, "mobilenet_v2", weights, torch.device("cpu")).facts)
    assert facts[0] != facts[1]


def test_a_damaged_picture_is_made_again(photos: dict[str, Tensor], tmp_path: Path) -> None:
    calls: list[str] = []
    way = brighter(0.2, calls)
    gather(photos, [photo(), way], tmp_path, lambda line: None)
    (tmp_path / "a" / f"{way.name}.png").write_bytes(b"")
    found = gather(photos, [photo(), way], tmp_path, lambda line: None)
    assert calls == ["a", "b", "a"]
    assert found.made[1].image().mean() == pytest.approx(0.4, abs=1e-2)


def test_no_photo_is_lost_to_another_of_its_name(tmp_path: Path) -> None:
    for name in ("s/b.png", "s_b.png", os.fsdecode(b"latin\xe9.png"), "two  spaces.png"):
        target = tmp_path / "photos" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (len(name), 0, 0)).save(target)
    found = _photos(str(tmp_path / "photos"), tmp_path / "out", None, 64, [])
    assert len(found) == 4
    assert {"s_b", "s_b~2", "two  spaces"} < set(found)
    assert all(name.encode() for name in found)


@pytest.mark.skipif(not CLEAR.exists(), reason="the peak of memory is counted as Linux tells it")
def test_the_peak_of_one_way_is_not_that_of_the_way_before() -> None:
    def peak(count: int) -> float:
        memory = PeakMemory(torch.device("cpu"))
        memory.begin()
        torch.ones(count * 250_000)  # MB
        return memory.peak_mb()

    assert peak(300) == pytest.approx(300, abs=15)
    assert peak(40) == pytest.approx(40, abs=15)


def test_the_kernel_distance_is_of_many_photos(
    photos: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = get_recipe("distillable", "mobilenet_v2")
    extractor = load_extractor("mobilenet_v2", recipe.layer_names, weights="random")
    many = {str(place): photos["a"] * place / 60 for place in range(60)}
    ways = [photo(), brighter(0.3, []), brighter(0.35, [])]
    found = gather(many, ways, tmp_path, lambda line: None)
    for least, given in ((61, [False] * 3), (60, [True, False, True])):
        monkeypatch.setattr("dreamgan.compare.measuring.KID_PHOTOS", least)
        rows = measure_ways(found, ways, recipe, extractor, dream=ways[1].name, second=ways[2].name, style=None)
        assert [math.isfinite(row.kid) for row in rows] == given
    assert rows[0].kid > rows[2].kid


def test_the_tables_of_weights_and_biases(
    photos: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    for name in ("DATA", "CACHE", "CONFIG", "ARTIFACT"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / f"wandb-{name.lower()}"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_DIR", raising=False)
    way = brighter(0.2, [])
    found = gather(photos, [photo(), way], tmp_path / "out" / "pictures", lambda line: None)
    rows = [row("photo", 0.1, 0.0), row(way.name, 1.0, float("nan"))]
    wandb.teardown()  # what an earlier test has set may have been read
    log_comparison(tmp_path / "out", rows, found, "dreams")
    wandb.teardown()
    (run,) = (tmp_path / "out" / "wandb").glob("offline-run-*")
    tables = {path.name.split("_")[0]: json.loads(path.read_text()) for path in run.glob("files/media/table/*")}
    assert tables["pictures"]["columns"] == ["name", "photo", way.name]
    assert [line[0] for line in tables["pictures"]["data"]] == ["a", "b"]
    assert [line[0] for line in tables["ways"]["data"]] == ["photo", way.name]


def test_two_ways_of_one_name() -> None:
    with pytest.raises(UserError, match="two ways are called 'photo'"):
        check_names([photo(), photo()])


def row(label: str, seconds: float, agreement: float, kind: str = "one pass", steps: int = 0, series: str = "") -> Row:
    values = {"photos": 2, "role": "", "peak_mb": 90.0, "referee_agreement": 0.4, "dream_gain": 0.5}
    values |= {"content_kept": 0.8, "kid": float("nan"), "style_distance": float("nan")}
    measured = {"seconds": seconds, "agreement": agreement, **values}
    return Row(way=label, label=label, kind=kind, steps=steps, series=series, **measured)  # type: ignore[arg-type]


def test_points_of_the_plot() -> None:
    rows = [
        row("a<b", 0.01, 0.5),
        row("d", 1.0, 0.9, "direct dream", 4, "s"),
        row("e", 0.5, 0.4, "direct dream", 2, "s"),
    ]
    rows += [row("none", 1.0, float("nan")), row("other", 0.7, 0.3, "direct dream", 3, "t")]
    svg = speed_plot(rows)
    assert svg.count("<circle") == svg.count("</li>") == 4
    assert "a&lt;b" in svg
    assert "a<b" not in svg
    across = {label: float(x) for x, label in re.findall(r'<circle cx="([\d.]+)".*?<title>([^:]+):', svg)}
    assert across["a&lt;b"] < across["e"] < across["d"]
    (line,) = re.findall(r'<polyline points="([^"]+)"', svg)  # of another series there is one point only
    assert [float(point.split(",")[0]) for point in line.split()] == [across["e"], across["d"]]
    assert speed_plot(rows[:1]) == ""

    picture = ElementTree.fromstring(speed_picture(rows))
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "1. a<b: 0.01 s, agreement 0.50" in texts
    assert len([text for text in texts if text and ", agreement" in text]) == 4
    assert speed_picture(rows[:1]) == ""


def test_names_in_the_page_are_escaped(photos: dict[str, Tensor], tmp_path: Path) -> None:
    evil = '"><script>alert(1)</script>'
    way = Way("evil", evil, "direct dream", evil, lambda: lambda image, name: image, {}, 1)
    ways = [photo(), way, missing("gone", "gone style", evil)]
    found = gather(photos, ways, tmp_path, lambda line: None)
    rows = [row("photo", 0.1, 0.0), replace(row("evil", 1.0, 0.5), label=evil)]
    write_report(tmp_path / "r.html", rows, found, ways, reference=evil, about=evil)
    page = (tmp_path / "r.html").read_text()
    assert "<script>alert" not in page
    assert page.count("data:image/jpeg;base64,") == 4
    assert not re.findall(r"(?:src|href)=[\"'](?!data:)", page)  # nothing from elsewhere
    assert all(re.search(r'alt="[^"]+"', tag) for tag in re.findall(r"<figure.*?</figure>", page, re.DOTALL))


def test_the_command_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    source, out = written(tmp_path, "a.png", "b c.png"), tmp_path / "out"
    (source / "bad.png").write_text("no picture")
    few = [*FEW, "--referee_weights", "random"]
    assert cli.main(["compare", "--photos", str(source), "--out", str(out), *few]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == f"open {out / 'report.html'}"
    assert "1 pictures could not be used" in said.err
    rows = {row["way"]: row for row in csv.DictReader((out / "compare.csv").read_text().splitlines())}
    assert float(rows["photo"]["agreement"]) == 0
    assert float(rows["direct-distillable-1-seed1"]["agreement"]) == pytest.approx(1)
    assert [float(rows[name]["referee_agreement"]) for name in ("photo", "direct-distillable-1-seed1")] == [0, 1]
    assert rows["direct-distillable-1"]["agreement"] == ""
    roles = {name: row["role"] for name, row in rows.items() if row["role"]}
    assert roles == {
        "photo": "floor",
        "direct-distillable-1-seed1": "ceiling",
        "direct-distillable-1": "reference",
    }
    assert not any(row["kid"] for row in rows.values())  # of two photos
    assert float(rows["direct-distillable-1"]["dream_gain"]) == pytest.approx(1)
    assert float(rows["photo"]["content_kept"]) == pytest.approx(1)
    gain = [float(rows[f"direct-distillable-{share}"]["dream_gain"]) for share in ("0.25-seed1", "0.5-seed1", "1")]
    assert 0 < gain[0] < gain[1] < gain[2]
    assert float(rows["gatys-lbfgs"]["style_distance"]) < float(rows["photo"]["style_distance"])
    content = json.loads((out / "compare.json").read_text())
    assert "magenta" in {*rows, *content["missing"]}
    assert "dcgan-noise" in rows
    assert (out / "speed.svg").read_text().startswith("<svg ")
    page = (out / "report.html").read_text()
    assert page.count("<figure data-photo") == 2 * len(rows)
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*/*.png")}
    assert cli.main(["compare", "--photos", str(source), "--out", str(out), *few]) == 0
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*/*.png")} == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--photos", "none"], "'none' does not exist"),
        (["--passes", "0"], "--passes is 0; it must be at least 1"),
        (["--style", "none.png"], "'none.png' does not exist"),
        (["--generator", "none"], "none holds no config.json"),
        (["--recipe", "distil"], "nearest: 'distillable'"),
    ],
)
def test_bad_values_are_one_line(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    source = written(tmp_path, "a.png")
    assert cli.main(["compare", "--photos", str(source), "--out", str(tmp_path / "out"), *FEW, *flags]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("dreamgan compare: ")
    assert said in line
    assert not (tmp_path / "out").exists()
