import dataclasses
import inspect
import json
import math
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from dreamgan import cli, sampling
from dreamgan.backbones import load_extractor
from dreamgan.backbones.registry import build_network, get_spec
from dreamgan.commands.evaluate import evaluate
from dreamgan.data.pairs import load_pairs
from dreamgan.dream import DreamRecipe
from dreamgan.evaluation.grid import grid_rows
from dreamgan.images import load_image, to_unit
from dreamgan.metrics import Measuring, equivalent_steps, measure
from dreamgan.metrics.equivalent import equivalent_steps_of_several
from dreamgan.metrics.looks import Looker
from dreamgan.metrics.measuring import Direct
from dreamgan.networks.modulation import Modulation
from dreamgan.networks.translator import Translator, TranslatorConfig
from tests.finished_dataset import BACKBONE, LAYER, RANDOM_SHA256, recipe_of, rows_of, write_dataset, write_split

WITH_SPREAD = (
    *("dream_gain", "robust_gain", "wrong_photo_cosine", "floor_cosine", "feature_cosine", "ceiling_cosine"),
    *("agreement", "referee_agreement", "equivalent_steps", "kid"),
)
FACTS, SHARES = {"split", "recipe", "strength", "n"}, {"universal_share", "dream_universal_share"}
KEYS = FACTS | SHARES | set(WITH_SPREAD) | {f"{name}_std" for name in WITH_SPREAD}
NEED_SECOND = {
    *("robust_gain", "robust_gain_std", "ceiling_cosine", "ceiling_cosine_std"),
    *("agreement", "agreement_std"),
}
REFEREE = {"referee_agreement", "referee_agreement_std"}
KID = {"kid", "kid_std"}  # of too few pictures
Export = Callable[..., Path]


def facts_of(name: str, **changes: Any) -> dict[str, Any]:
    facts = {
        "recipe": name,
        "recipe_json": recipe_of(name).to_json(),
        "backbone": BACKBONE,
        "weights_sha256": RANDOM_SHA256,
        "guides": "{}",
        "strengths": [0.5, 1.0],
        "labels": ["cat", "dog"],
        **changes,
    }
    return {key: value for key, value in facts.items() if value is not None}


def longer(name: str) -> str:
    """Another recipe, as JSON."""
    return dataclasses.replace(recipe_of(name), steps=(3,)).to_json()


@pytest.fixture(autouse=True)
def no_weights_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the referee would depend on what somebody downloaded."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of each of three ways to dream 4 train and 4 test pairs, these with second dreams; labels cat and dog."""
    return write_dataset(tmp_path_factory.mktemp("dataset") / "pairs", train=12, test=12, seconds=12)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    def write(**changes: Any) -> Path:
        """Several styles by name, or one, bold, with some facts changed; None takes a fact away."""
        styles = changes.pop("styles", None) or {"bold": facts_of("bold", **changes)}
        torch.manual_seed(0)
        network = Translator(TranslatorConfig(widths=(4, 4, 8, 8, 8), styles=len(styles)), encoder_weights="random")
        torch.nn.init.normal_(network.head.weight, std=0.3)
        for module in network.modules():
            if isinstance(module, Modulation):
                torch.nn.init.normal_(module.table, std=0.5)
        folder = tmp_path_factory.mktemp("export") / "generator"
        sampling.save_generator(folder, network, styles, "card")
        return folder

    return write


@pytest.fixture(scope="module")
def generator(export: Export) -> Path:
    return export()


def run(generator: Path, dataset: Path, out: Path, *flags: str) -> int:
    command = ["evaluate", str(generator), str(dataset), "--out", str(out), "--json", str(out / "figures.json")]
    return cli.main([*command, "--device", "cpu", *flags])


def rows_in(out: Path) -> list[dict[str, Any]]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in the file")

    rows: list[dict[str, Any]] = json.loads((out / "figures.json").read_text(), parse_constant=refuse)
    return rows


def row_in(out: Path, recipe: str = "bold", strength: float = 1.0, label: str | None = None) -> dict[str, Any]:
    found = [r for r in rows_in(out) if (r["recipe"], r["strength"], r.get("label")) == (recipe, strength, label)]
    assert len(found) == 1
    return found[0]


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err.splitlines()[-1]


def bold(rows: Any) -> Any:
    """The whole dreams of that recipe; the other recipe is another by name alone."""
    return rows.filter(lambda recipe, strength: (recipe, strength) == ("bold", 1), input_columns=["recipe", "strength"])


def assert_alike(rows: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    for row, other in zip(rows, others, strict=True):
        assert nulls(row) == nulls(other)
        assert [row[key] for key in FACTS] == [other[key] for key in FACTS]
        for key in KEYS - FACTS - nulls(row):
            assert row[key] == pytest.approx(other[key], rel=1e-3, abs=1e-5), key


def nulls(row: dict[str, Any]) -> set[str]:
    return {key for key, value in row.items() if value is None}


# --- what comes of it


def test_a_row_for_every_recipe_and_strength_with_exactly_these_keys(
    generator: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(generator, dataset, tmp_path, "--referee_weights", "vgg16=random") == 0
    rows = rows_in(tmp_path)
    assert [(row["split"], row["recipe"], row["strength"], row["n"]) for row in rows] == [
        ("test", "bold", 0.5, 4),
        ("test", "bold", 1.0, 4),
        ("test", "calm", 1.0, 4),
    ]
    for row in rows:
        assert set(row) == KEYS
        assert nulls(row) == KID
    captured = capsys.readouterr()
    assert "test, recipe bold, strength 1: 4 pairs" in captured.out
    assert f"| {rows[0]['agreement']:.2f} +- {rows[0]['agreement_std']:.2f} " in captured.out
    assert "referee agreement (vgg16 relu4_3, random)" in captured.out
    assert "test, recipe calm, style bold, strength 1: 4 pairs" in captured.out
    assert "mean of" not in captured.out  # a single style
    assert captured.err == ""


def test_the_figures_are_those_of_the_pictures(generator: Path, dataset: Path, tmp_path: Path) -> None:
    assert run(generator, dataset, tmp_path, "--equivalent_photos", "2") == 0
    pairs = bold(load_pairs(dataset, "test"))
    photos, dreams, second = (
        torch.stack([to_unit(picture) for picture in pairs[name]]) for name in ("photo", "dream", "second_dream")
    )
    recipe, extractor = recipe_of("bold"), load_extractor(BACKBONE, [LAYER], weights="random")
    generated = sampling.sample(sampling.load_generator(generator), photos)
    expected = vars(measure(photos, dreams, second, generated, extractor, recipe))
    steps = equivalent_steps(
        photos[[0, 2]], generated[[0, 2]], extractor, recipe, seed=7, photo_ids=pairs["photo_id"][::2]
    )
    row = row_in(tmp_path)
    for key in KEYS:
        if key in expected and not math.isnan(expected[key]) and "wrong" not in key:
            assert row[key] == pytest.approx(expected[key], rel=1e-3, abs=1e-6), key
    assert row["equivalent_steps"] == pytest.approx(float(steps.mean()), rel=1e-3, abs=1e-6)
    assert row["equivalent_steps_std"] == pytest.approx(float(steps.std()), rel=1e-3, abs=1e-6)


def test_equivalent_steps_are_of_the_dreams_of_the_dataset(
    generator: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, list[str]]] = []

    def spy(*args: Any, seed: int, photo_ids: list[str], **others: Any) -> list[torch.Tensor]:
        seen.append((seed, photo_ids))
        return equivalent_steps_of_several(*args, seed=seed, photo_ids=photo_ids, **others)

    monkeypatch.setattr("dreamgan.evaluation.measuring.equivalent_steps_of_several", spy)
    assert run(generator, dataset, tmp_path, "--equivalent_photos", "2", "--batch", "1") == 0
    names = bold(load_pairs(dataset, "test"))["photo_id"][::2]
    assert seen[2:4] == [(7, [name]) for name in names]  # 7: the seed of the dataset's dreams


def test_the_wrong_photo_is_of_another_photograph(generator: Path, dataset: Path, tmp_path: Path) -> None:
    assert run(generator, dataset, tmp_path) == 0
    pairs = bold(load_pairs(dataset, "test"))
    sources = pairs["source_id"][:]
    assert len(set(sources)) == 4
    photos, dreams = (torch.stack([to_unit(picture) for picture in pairs[name]]) for name in ("photo", "dream"))
    extractor, recipe = load_extractor(BACKBONE, [LAYER], weights="random"), recipe_of("bold")
    generated = sampling.sample(sampling.load_generator(generator), photos)
    expected = measure(photos, dreams, None, generated, extractor, recipe).wrong_photo_cosine
    assert row_in(tmp_path)["wrong_photo_cosine"] == pytest.approx(expected, rel=1e-4)


def test_batch_does_not_change_the_result(generator: Path, dataset: Path, tmp_path: Path) -> None:
    for batch in ("1", "3", "64"):
        assert run(generator, dataset, tmp_path / batch, "--batch", batch) == 0
    one, three, all_ = (rows_in(tmp_path / batch) for batch in ("1", "3", "64"))
    for other in (three, all_):
        assert_alike(one, other)


def test_batch_does_not_change_the_result_of_an_odd_number(generator: Path, dataset: Path, tmp_path: Path) -> None:
    """Then the photos of the wrong-photo control are no pairs that lie in one batch."""
    few = ("--limit", "3", "--rows", "0", "--equivalent_photos", "0")
    for batch in ("1", "2", "64"):
        assert run(generator, dataset, tmp_path / batch, "--batch", batch, *few) == 0
    one, two, all_ = (rows_in(tmp_path / batch) for batch in ("1", "2", "64"))
    for other in (two, all_):
        assert_alike(one, other)


def test_without_second_dreams_there_is_no_ceiling(
    generator: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(generator, dataset, tmp_path, "--split", "train") == 0
    row = rows_in(tmp_path)[0]
    assert row["split"] == "train"
    assert nulls(row) == NEED_SECOND | REFEREE | KID
    assert "These pairs have no second dream" in capsys.readouterr().out


def test_all_splits(generator: Path, dataset: Path, tmp_path: Path) -> None:
    assert run(generator, dataset, tmp_path, "--split", "all", "--rows", "1", "--equivalent_photos", "0") == 0
    rows = rows_in(tmp_path)
    assert [(row["split"], row["recipe"]) for row in rows] == [
        *(("test", "bold"), ("test", "bold"), ("test", "calm")),
        *(("train", "bold"), ("train", "bold"), ("train", "calm")),
    ]
    assert all({"equivalent_steps", "equivalent_steps_std"} < nulls(row) for row in rows)


def test_labels_on_their_own(generator: Path, dataset: Path, tmp_path: Path) -> None:
    assert run(generator, dataset, tmp_path, "--by_label") == 0
    rows = rows_in(tmp_path)
    assert [(row["recipe"], row["strength"], row["label"], row["n"]) for row in rows] == [
        *(("bold", 0.5, "cat", 2), ("bold", 0.5, "dog", 2), ("bold", 1, "cat", 2), ("bold", 1, "dog", 2)),
        *(("calm", 1, "cat", 2), ("calm", 1, "dog", 2)),
    ]
    assert set(rows[0]) == {*KEYS, "label"}


@pytest.fixture(scope="module")
def owls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on cats and dogs, tested on owls, too; and on photos without a class."""
    out, ways, labels = tmp_path_factory.mktemp("owls"), [("bold", 1.0)], ["cat", "dog", "owl"]
    write_split(out, "train", list(rows_of("train", 4, ways, ["cat", "dog"], first=0, seconds=0)), labels)
    rows = list(rows_of("test", 12, ways, [*labels, ""], first=4, seconds=12))
    write_split(out, "test", rows, labels)
    return out


@pytest.mark.parametrize(
    ("trained", "seen", "unseen"),
    [
        (["cat", "dog"], 6, 6),
        (["owl"], 3, 9),
        (["", "cat"], 6, 6),
        (["", "cat", "dog"], 9, 3),
        ([], 0, 12),
        (None, 6, 6),  # it does not say: then by the dataset's training split
    ],
)
def test_the_generator_knows_what_it_has_seen(
    trained: list[str] | None, seen: int, unseen: int, export: Export, owls: Path, tmp_path: Path
) -> None:
    assert run(export(labels=trained), owls, tmp_path, "--by_seen", "--equivalent_photos", "0", "--rows", "0") == 0
    wanted = {"seen categories": seen, "unseen categories": unseen}
    assert {row["label"]: row["n"] for row in rows_in(tmp_path)} == {name: n for name, n in wanted.items() if n}


def test_only_some_classes(generator: Path, owls: Path, tmp_path: Path) -> None:
    few = ("--equivalent_photos", "0", "--rows", "0")
    assert run(generator, owls, tmp_path / "a", "--labels", "dog, owl", *few) == 0
    assert [(row["n"], "label" in row) for row in rows_in(tmp_path / "a")] == [(6, False)]
    assert run(generator, owls, tmp_path / "b", "--labels", "dog,owl", "--by_seen", *few) == 0
    assert [(row["label"], row["n"]) for row in rows_in(tmp_path / "b")] == [
        ("seen categories", 3),
        ("unseen categories", 3),
    ]
    assert run(generator, owls, tmp_path / "c", "--labels", "owl", "--by_label", *few) == 0
    assert [(row["label"], row["n"]) for row in rows_in(tmp_path / "c")] == [("owl", 3)]


def test_a_limit(generator: Path, dataset: Path, tmp_path: Path) -> None:
    assert run(generator, dataset, tmp_path, "--limit", "3") == 0
    assert [row["n"] for row in rows_in(tmp_path)] == [3, 3, 3]


def test_a_single_pair_is_left_out(
    generator: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(generator, dataset, tmp_path, "--limit", "1") == 2
    assert "has a single pair, and a spread takes two" in last_line(capsys)


def test_the_grid(generator: Path, dataset: Path, tmp_path: Path) -> None:
    assert run(generator, dataset, tmp_path, "--rows", "2") == 0
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.info["dreamgan:generator"] == "generator"
        assert grid.height > 2 * 2 * 72  # two rows for each of two recipes, each as high as its label
        shown = grid.convert("RGB").tobytes()
    pairs = bold(load_pairs(dataset, "test"))
    photo = pairs[0]["photo"].convert("RGB")
    one_pass = sampling.sample(sampling.load_generator(generator), to_unit(photo)[None])[0]
    for image in (to_unit(photo), to_unit(pairs[2]["dream"]), to_unit(pairs[0]["second_dream"]), one_pass):
        line = (image[:, 0] * 255).round().to(torch.uint8).T.numpy().tobytes()
        assert line in shown
    line = ((0.5 + 4 * (one_pass - to_unit(photo))).clamp(0, 1)[:, 5] * 255).round().to(torch.uint8).T.numpy().tobytes()
    assert line in shown


def test_no_grid(generator: Path, dataset: Path, tmp_path: Path) -> None:
    assert run(generator, dataset, tmp_path, "--rows", "0") == 0
    assert not (tmp_path / "grid.png").exists()


def test_cheats_are_measured_on_the_same_photos(
    generator: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(generator, dataset, tmp_path, "--cheats", "--equivalent_photos", "1") == 0
    lines = {line.strip("| ").partition(" |")[0].strip(): line for line in capsys.readouterr().out.splitlines()}
    assert "| 0.00 +- 0.00" in lines["the photo itself"]
    assert "| 1.00 +- 0.00" in lines["a second dream"]
    for name in ("contrast x 1.6", "dot screen", "pasted pattern", "another photo's residual", "blurred dream"):
        assert name in lines
    assert len(rows_in(tmp_path)) == 3  # the file is of the generator


def test_the_rows_of_a_large_grid_are_shared_out(
    generator: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts: list[int] = []

    def spy(title: str, pictures: Any, make: Any, count: int) -> list[Any]:
        counts.append(count)
        return grid_rows(title, pictures, make, count)

    monkeypatch.setattr("dreamgan.evaluation.grid.grid_rows", spy)
    for most, wanted in ((6, [2, 2, 2]), (4, [1, 1, 1]), (2, [1, 1])):
        monkeypatch.setattr("dreamgan.commands.evaluate.MOST_GRID_ROWS", most)
        counts.clear()
        assert run(generator, dataset, tmp_path / str(most), "--rows", "2", "--equivalent_photos", "0") == 0
        assert counts == wanted
    assert capsys.readouterr().err == "the grid shows the first 2 of 3 kinds of pairs\n"


# --- several styles and several datasets


@pytest.fixture(scope="module")
def two_styles(export: Export) -> Path:
    slow = facts_of("slow", recipe_json=longer("slow"), strengths=[1.0], labels=["cat"])
    return export(styles={"bold": facts_of("bold"), "slow": slow})


def write_kind(out: Path, name: str, recipe_json: str, strength: float = 1.0, **changes: Any) -> Path:
    """A dataset of 4 test pairs of a recipe, whatever it is called."""
    rows = rows_of("test", 4, [(name, strength)], ["cat", "dog"], first=0, seconds=4)
    write_split(out, "test", [{**row, "recipe_json": recipe_json, **changes} for row in rows], ["cat", "dog"])
    return out


def test_pairs_are_held_against_the_style_that_dreams_the_same_at_their_strength(
    two_styles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Any, ...]] = []
    make = sampling.sample

    def spy(loaded: sampling.Generator, photos: torch.Tensor, *way: Any) -> torch.Tensor:
        asked.append(way)
        return make(loaded, photos, *way)

    pairs = write_kind(tmp_path / "pairs", "bold", longer("bold"), 0.5)  # has the name of the other style
    monkeypatch.setattr(sampling, "sample", spy)
    assert run(two_styles, pairs, tmp_path / "out", "--equivalent_photos", "1") == 0
    assert set(asked) == {("slow", 0.5)}
    assert "test, recipe bold, style slow, untrained strength 0.5: 4 pairs" in capsys.readouterr().out
    rows = load_pairs(pairs, "test")
    photos, dreams, second = (torch.stack([to_unit(p) for p in rows[k]]) for k in ("photo", "dream", "second_dream"))
    loaded, extractor = sampling.load_generator(two_styles), load_extractor(BACKBONE, [LAYER], weights="random")
    recipe = DreamRecipe.from_json(longer("bold"))
    found = {
        way: measure(photos, dreams, second, make(loaded, photos, *way), extractor, recipe).agreement
        for way in (("slow", 0.5), ("slow", 1.0), ("bold", 0.5))
    }
    agreement = row_in(tmp_path / "out", strength=0.5)["agreement"]
    assert agreement == pytest.approx(found.pop(("slow", 0.5)), rel=1e-3)
    assert not any(agreement == pytest.approx(other, rel=1e-2) for other in found.values())


def test_several_datasets(two_styles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write_kind(tmp_path / "one", "bold", recipe_of("bold").to_json())
    other = write_kind(tmp_path / "other", "slow", longer("slow"))
    both = f"{one}, {other}"
    few = ("--equivalent_photos", "0", "--rows", "0")
    assert run(two_styles, Path(both), tmp_path / "out", "--by_seen", *few) == 0
    rows = rows_in(tmp_path / "out")
    assert [(row["recipe"], row["label"], row["n"]) for row in rows] == [
        *(("bold", "seen categories", 4), ("slow", "seen categories", 2), ("slow", "unseen categories", 2))
    ]
    lines = {line.split("|")[1].strip(): line for line in capsys.readouterr().out.splitlines() if "mean of" in line}
    mean = (rows[0]["agreement"] + rows[1]["agreement"]) / 2
    assert f"| {mean:.2f} +- " in lines["test, strength 1, seen categories"]
    assert "mean of bold, slow (2 to 4 pairs)" in lines["test, strength 1, seen categories"]
    assert f"| {rows[2]['agreement']:.2f} +- " in lines["test, strength 1, unseen categories"]


def test_a_folder_may_have_a_comma_in_its_name(generator: Path, tmp_path: Path) -> None:
    pairs = write_kind(tmp_path / "a,b", "bold", recipe_of("bold").to_json())
    assert run(generator, pairs, tmp_path / "out", "--equivalent_photos", "0", "--rows", "0") == 0


def test_pairs_that_no_style_dreams_are_left_out_with_the_nearest_reason(
    two_styles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = list(rows_of("test", 8, [("bold", 1.0), ("far", 1.0)], ["cat"], first=0, seconds=8))
    far = dataclasses.replace(recipe_of("far"), steps=(3,), octaves=2).to_json()
    write_split(tmp_path, "test", [{**r, "recipe_json": far} if r["recipe"] == "far" else r for r in rows], ["cat"])
    assert run(two_styles, tmp_path, tmp_path / "out", "--equivalent_photos", "0", "--rows", "0", "--by_label") == 0
    assert [row["recipe"] for row in rows_in(tmp_path / "out")] == ["bold"]
    assert capsys.readouterr().err == (
        "left out: test, recipe far, strength 1 is another recipe (octaves); nearest style: slow\n"
    )


def test_datasets_that_make_no_sense_together(
    two_styles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = write_kind(tmp_path / "one", "bold", recipe_of("bold").to_json())
    copy = write_kind(tmp_path / "copy", "bold", recipe_of("bold").to_json())
    far = write_kind(tmp_path / "far", "bold", recipe_of("bold").to_json(), weights_sha256="ab" * 32)
    for both, said in (
        (f"{one},{one}", f"names '{one}' twice; leave one out"),
        (f"{one},{tmp_path}/copy/../one", "are the same folder; leave one out"),
        (f"{one},", "holds an empty name"),
        (f"{one},{tmp_path}/none", "there is no dream dataset"),
        (
            f"{one},{far}",
            f"{str(far)!r} has no such pairs (test, recipe bold, strength 1 was dreamed with other weights",
        ),
        (f"{one},{copy}", "both hold test, recipe bold, strength 1; evaluate them one after the other"),
    ):
        assert run(two_styles, Path(both), tmp_path / "out") == 2
        assert said in last_line(capsys)
    assert not (tmp_path / "out").exists()


def test_the_gallery(two_styles: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "all.png"
    flags = ("--gallery", str(target), "--equivalent_photos", "0", "--rows", "0", "--limit", "2")
    assert run(two_styles, dataset, tmp_path / "out", *flags) == 0
    assert f"look at {target}" in capsys.readouterr().out
    photo = to_unit(bold(load_pairs(dataset, "test"))[0]["photo"])[None]
    loaded = sampling.load_generator(two_styles)
    with Image.open(target) as picture:
        shown = picture.convert("RGB").tobytes()
    dreams = [sampling.sample(loaded, photo, s, t) for s in ("bold", "slow") for t in (0.5, 1.0, 1.5)]
    for image in (photo, *dreams):
        assert (image[0, :, 3] * 255).round().to(torch.uint8).T.numpy().tobytes() in shown


# --- the referee


def test_without_the_referees_weights_its_column_is_empty_and_the_way_out_is_said(
    generator: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(generator, dataset, tmp_path) == 0
    assert nulls(rows_in(tmp_path)[0]) == REFEREE | KID
    said = capsys.readouterr().out
    assert "No referee agreement: the weights of vgg16 are not at hand; give --referee_weights vgg16=FILE" in said


def test_a_referee_that_is_none(
    generator: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(generator, dataset, tmp_path, "--referee_weights", "none.pth") == 2
    assert "'none.pth' does not exist" in last_line(capsys)


# --- memory


def test_pictures_are_measured_in_batches_and_not_kept(
    generator: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []
    direct = Measuring.direct

    def spy(self: Measuring, *pictures: torch.Tensor) -> Direct:
        alive.append(sum(reference() is not None for reference in kept))
        kept.extend(weakref.ref(each) for each in pictures)
        assert all(len(each) == 1 for each in pictures)
        return direct(self, *pictures)

    monkeypatch.setattr(Measuring, "direct", spy)
    assert run(generator, dataset, tmp_path, "--batch", "1", "--rows", "0", "--equivalent_photos", "0") == 0
    assert alive == [0] * 12


def test_each_picture_is_made_and_looked_at_once(
    generator: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photo and dreams are the same for one pass and all cheats; the photo of the control is another of the batch."""
    made: list[int] = []
    looked: list[int] = []
    make, look = sampling.sample, Looker.look

    def spy_make(loaded: sampling.Generator, photos: torch.Tensor, *way: Any) -> torch.Tensor:
        made.append(len(photos))
        return make(loaded, photos, *way)

    def spy_look(self: Looker, images: torch.Tensor, **wanted: bool) -> Any:
        looked.append(len(images))
        return look(self, images, **wanted)

    monkeypatch.setattr(sampling, "sample", spy_make)
    monkeypatch.setattr(Looker, "look", spy_look)
    few = ("--rows", "0", "--equivalent_photos", "0", "--batch", "2")
    assert run(generator, dataset, tmp_path / "a", *few) == 0
    assert sum(made) == 12
    assert sum(looked) == 12 * 4  # photo, dream, second dream, one pass
    looked.clear()
    assert run(generator, dataset, tmp_path / "b", "--cheats", *few) == 0
    assert sum(looked) == 12 * (3 + 1 + 7)


def test_out_of_memory_halves_the_batch_and_counts_no_picture_twice(
    generator: Path,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = ("--equivalent_photos", "0", "--cheats")
    assert run(generator, dataset, tmp_path / "whole", *few) == 0
    table = capsys.readouterr().out
    compare = Measuring.compare

    def full(self: Measuring, direct: Direct, generated: torch.Tensor, wrong: torch.Tensor | None) -> Any:
        if len(generated) > 2 and torch.equal(generated, direct.photos):  # a cheat, after others were measured
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compare(self, direct, generated, wrong)

    monkeypatch.setattr(Measuring, "compare", full)
    assert run(generator, dataset, tmp_path / "halved", *few) == 0
    captured = capsys.readouterr()
    assert "out of memory: going on with 2 pictures at a time" in captured.err
    assert_alike(rows_in(tmp_path / "whole"), rows_in(tmp_path / "halved"))
    assert captured.out.replace("halved", "whole") == table


# --- mistakes


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--limit", "0"], "--limit is 0"),
        (["--batch", "0"], "--batch is 0"),
        (["--rows", "-1"], "--rows is -1"),
        (["--equivalent_photos", "-1"], "--equivalent_photos is -1"),
        (["--split", "val"], "--split: 'val' is not one of 'test', 'train', 'all'"),
        (["--by_label", "--by_seen"], "--by_label and --by_seen exclude each other"),
        (["--labels", "cat,"], "--labels 'cat,' holds an empty name"),
        (["--labels", "cat,dog,cat"], "--labels 'cat,dog,cat' names 'cat' twice"),
        (["--labels", "cow"], "--labels: no pair has the class 'cow'; nearest: 'dog' (known: cat, dog)"),
        (["--gallery", "."], "--gallery '.' cannot be written"),
        (["--device", "tpu"], "device 'tpu'"),
        (["--weights", "vgg16="], "--weights: 'vgg16=' is not NETWORK=FILE"),
        (["--weights", "none.pth"], "'none.pth' does not exist"),
        (["--json", "."], "--json '.' cannot be written"),
        (["--json", "scripts/evaluate.py/figures.json"], "cannot be written"),
    ],
)
def test_a_flag_that_makes_no_sense(
    flags: list[str], said: str, generator: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(generator, dataset, out, *flags) == 2
    line = last_line(capsys)
    assert line.startswith("dreamgan evaluate: ")
    assert said in line
    assert not out.exists()


def test_no_such_generator_and_no_such_dataset(
    generator: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "none", dataset, tmp_path / "out") == 2
    assert "none holds no config.json; give the folder that training exported" in last_line(capsys)
    assert run(generator, tmp_path / "nothing here", tmp_path / "out") == 2
    assert "there is no dream dataset" in last_line(capsys)
    (tmp_path / "empty").mkdir()
    assert run(generator, tmp_path / "empty", tmp_path / "out") == 2
    assert "is no dream dataset: it holds no data/train-*.parquet" in last_line(capsys)
    assert not (tmp_path / "out").exists()


def test_a_dataset_without_a_test_split(generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path, train=6, test=0)
    assert run(generator, tmp_path, tmp_path / "out") == 2
    assert "has no 'test' split, only 'train'" in last_line(capsys)
    assert run(generator, tmp_path, tmp_path / "out", "--split", "all", "--equivalent_photos", "0") == 0
    assert {row["split"] for row in rows_in(tmp_path / "out")} == {"train"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbone": "vgg16"}, "learnt bold of vgg16"),
        ({"weights_sha256": "ab" * 32}, "was dreamed with other weights"),
        ({"recipe_json": recipe_of("bold").to_json().replace("[2]", "[5]")}, "is another recipe (steps)"),
        ({"recipe_json": None}, "does not say what it learnt (recipe_json)"),
        ({"recipe_json": "{}"}, "is of another version: this is not a recipe that dreamgan wrote"),
        ({"guides": '{"guide": "abab"}'}, "was dreamed with another guide (none)"),
        ({"guides": "["}, "is of another version: "),
    ],
)
def test_a_generator_of_other_dreams(
    changes: dict[str, Any], said: str, export: Export, dataset: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(export(**changes), dataset, tmp_path / "out") == 2
    assert said in last_line(capsys)
    assert not (tmp_path / "out").exists()


def test_weights_that_are_not_those_of_the_dataset(
    generator: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "squeezenet.safetensors"
    shapes = build_network(get_spec(BACKBONE)).state_dict()
    save_file({name: torch.zeros(tensor.shape) for name, tensor in shapes.items()}, file)
    assert run(generator, dataset, tmp_path / "out", "--weights", str(file)) == 2
    line = last_line(capsys)
    assert "was dreamed with squeezenet1_1 weights of sha256" in line
    assert "give --weights squeezenet1_1=FILE" in line


def test_a_generator_that_gives_no_finite_values(
    generator: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(generator, copy)
    state = load_file(copy / "model.safetensors")
    state = {name: 1e30 * tensor for name, tensor in state.items()}  # finite, but their products are not
    save_file(state, copy / "model.safetensors")
    assert run(copy, dataset, tmp_path / "out") == 2
    assert "gives values that are not finite; train it again" in last_line(capsys)


def test_a_grid_of_somebody_elses_is_not_overwritten(
    generator: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (40, 40)).save(tmp_path / "grid.png")
    assert run(generator, dataset, tmp_path) == 2
    assert "grid.png' was not written by dreamgan" in last_line(capsys)
    assert load_image(tmp_path / "grid.png").picture.size == (40, 40)


def test_help_explains_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["evaluate", "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Example: dreamgan evaluate " in text
    for name, parameter in inspect.signature(evaluate).parameters.items():
        assert (f"--{name}" if parameter.default is not inspect.Parameter.empty else name.upper()) in text
