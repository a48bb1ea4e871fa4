"""The benchmark of one pass: its sums by hand, what is timed, its table and its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from dreamgan.backbones.features import load_extractor
from dreamgan.bench import contest as contests
from dreamgan.bench import one_pass
from dreamgan.bench import sample as bench
from dreamgan.bench.contest import COLUMNS, Contest, compete, verdict
from dreamgan.bench.direct import Direct, load_anchor, load_direct
from dreamgan.bench.measure import forward_flops
from dreamgan.bench.one_pass import CALLS, best_batch, one_pass_macs, one_passes, several
from dreamgan.bench.table import table_head, table_line
from dreamgan.cli import main
from dreamgan.dream import DreamRecipe, get_recipe
from dreamgan.errors import UserError
from dreamgan.networks.translator import Translator, TranslatorConfig
from dreamgan.sampling import Generator, load_generator, sample, save_generator

CPU = torch.device("cpu")
# What the JSON promises.
KEYS = {
    "recipe",
    "backbone",
    "size",
    "batch",
    "device",
    "runtime",
    "seconds_direct",
    "seconds_one_pass",
    "speedup",
}


def no_files(network: str) -> str | None:
    return None


def facts_of(recipe: DreamRecipe, backbone: str) -> dict[str, Any]:
    return {"recipe": recipe.name, "recipe_json": recipe.to_json(), "backbone": backbone, "size_px": 32}


EYES = get_recipe("distillable", "squeezenet1_1", name="eyes", octaves=2, steps=(1,))
PETALS = get_recipe(
    "distillable", "squeezenet1_1", name="petals", octaves=1, steps=(1,), objective="guided(features.4, guide)"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator of two styles, one of them guided."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Translator(TranslatorConfig(widths=(4, 5, 6, 7, 8), styles=2))
    folder = tmp_path_factory.mktemp("run") / "generator"
    styles = {recipe.name: facts_of(recipe, "squeezenet1_1") for recipe in (EYES, PETALS)}
    save_generator(folder, network, styles, "# A card\n")
    return folder


@pytest.fixture(scope="module")
def generator(folder: Path) -> Generator:
    return load_generator(folder)


def forward_macs(extractor: nn.Module, side: int) -> int:
    return forward_flops(extractor, torch.zeros(1, 3, side, side)) // 2


def test_a_direct_dream_takes_two_passes_for_each_step_and_shift() -> None:
    extractor = load_extractor("squeezenet1_1", ["features.9"], weights="random")
    recipe = get_recipe("distillable", "squeezenet1_1", octaves=2, octave_scale=2.0, steps=(3, 5))
    once = 2 * (3 * forward_macs(extractor, 32) + 5 * forward_macs(extractor, 64))
    assert Direct(recipe, extractor, {}).macs(64, 64) == once
    averaged = replace(recipe, shifts_per_step=4)
    assert Direct(averaged, extractor, {}).macs(64, 64) == 4 * once
    # An octave too small for a dream is left out and costs nothing.
    assert Direct(recipe, extractor, {}).macs(24, 24) == 2 * 5 * forward_macs(extractor, 24)


def test_one_pass_takes_its_convolutions_and_tables(generator: Generator) -> None:
    counted = []

    def count(module: nn.Conv2d, _: object, out: Tensor) -> None:
        counted.append(out.numel() * module.weight[0].numel())

    convolutions = [module for module in generator.network.modules() if isinstance(module, nn.Conv2d)]
    hooks = [module.register_forward_hook(count) for module in convolutions]
    try:
        sample(generator, torch.zeros(1, 3, 48, 64))
    finally:
        for hook in hooks:
            hook.remove()
    tables = 2 * 2 * 2 * (8 + 8 + 7 + 6 + 5 + 4)  # two tables of two styles; scale and shift
    assert one_pass_macs(generator, 48, 64) == sum(counted) + tables
    assert one_pass_macs(generator, 33, 64) == one_pass_macs(generator, 48, 64)  # the padding is paid for


def test_the_anchor_is_vgg16_by_gordics_recipe() -> None:
    direct = load_anchor(no_files, CPU)
    assert (direct.recipe.name, direct.extractor.backbone, direct.extractor.layers) == ("gordic", "vgg16", ("relu4_3",))
    assert (direct.recipe.octaves, direct.recipe.steps_per_octave) == (4, (10,) * 4)


def test_a_guided_style_needs_its_guide(photo: Image.Image) -> None:
    assert load_direct(facts_of(PETALS, "squeezenet1_1"), no_files, None, CPU) is None
    direct = load_direct(facts_of(PETALS, "squeezenet1_1"), no_files, photo.resize((640, 480)), CPU)
    assert direct is not None
    assert {name: tuple(guide.shape) for name, guide in direct.guides.items()} == {"guide": (1, 3, 48, 64)}
    photos = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert (direct(photos) - photos).abs().mean() > 0.001


def test_weights_are_those_of_the_training_or_random(tmp_path: Path) -> None:
    facts = facts_of(EYES, "squeezenet1_1") | {"weights_sha256": "0" * 64}
    direct = load_direct(facts, no_files, None, CPU)
    assert direct is not None
    assert direct.extractor.weights_name == "random"
    file = tmp_path / "other.pt"
    state = load_extractor("squeezenet1_1", ["features.12"], weights="random").network.state_dict()
    torch.save(state, file)
    with pytest.raises(UserError, match=r"'eyes' was dreamed with squeezenet1_1 weights of sha256 000000000000…"):
        load_direct(facts, lambda _: str(file), None, CPU)
    right = load_extractor("squeezenet1_1", EYES.layer_names, weights=file).weights_sha256
    direct = load_direct(facts | {"weights_sha256": right}, lambda _: str(file), None, CPU)
    assert direct is not None
    assert direct.extractor.weights_name == "other.pt"


def test_a_style_without_recipe_is_refused() -> None:
    with pytest.raises(UserError, match="does not say 'recipe_json'"):
        load_direct({"recipe": "eyes"}, no_files, None, CPU)


def test_pytorch_dreams_in_one_pass_what_sample_dreams(generator: Generator) -> None:
    ways = one_passes(generator, "petals", 1, ["pytorch"])
    photos = torch.rand(2, 3, 32, 40)
    assert torch.equal(ways["pytorch"](photos), sample(generator, photos, "petals"))


def test_one_pass_is_run_several_times_in_a_row() -> None:
    seen: list[Tensor] = []
    photos = torch.zeros(1)
    several(lambda given: seen.append(given) or given, photos)()  # type: ignore[func-returns-value]
    assert seen == [photos] * CALLS


def test_the_best_batch_is_that_of_most_photos_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"pytorch 1": [1.0], "pytorch 4": [2.0], "pytorch 8": [8.0]}
    seconds |= {"onnxruntime 1": [0.9], "onnxruntime 4": [9.0, 2.4], "onnxruntime 8": [4.4]}
    monkeypatch.setattr(one_pass, "alternate", lambda functions, repeats: {name: seconds[name] for name in functions})
    batches = {size: torch.zeros(size) for size in (1, 4, 8)}
    assert best_batch({"pytorch": torch.clone}, batches) == 4
    assert best_batch({"pytorch": torch.clone, "onnxruntime": torch.clone}, batches) == 4
    seconds["onnxruntime 8"] = [3.9]
    assert best_batch({"pytorch": torch.clone, "onnxruntime": torch.clone}, batches) == 8


def let_the_clock_say(seconds: Mapping[str, list[float]], monkeypatch: pytest.MonkeyPatch) -> None:

    def alternate(functions: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
        for function in functions.values():
            function()
        return {name: list(seconds[name]) for name in functions}

    monkeypatch.setattr(contests, "alternate", alternate)
    monkeypatch.setattr(contests, "best_batch", lambda ways, photos: max(photos))


def test_rows_agree_with_themselves(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"direct": [9.0, 6.0, 1.0], "pytorch": [0.5, 1.0, 7.0], "onnxruntime": [0.1, 0.5, 3.0]}
    let_the_clock_say(seconds, monkeypatch)
    dreamed: list[tuple[int, ...]] = []

    def way(photos: Tensor) -> Tensor:
        dreamed.append(tuple(photos.shape))
        return photos

    direct = load_direct(facts_of(EYES, "squeezenet1_1"), no_files, None, CPU)
    assert direct is not None
    contest = Contest("eyes", "squeezenet1_1", direct, {"pytorch": way, "onnxruntime": way}, 32, (3, 2))
    rows = list(compete(contest, generator, 1))
    assert [(row["batch"], row["runtime"]) for row in rows] == [
        (batch, runtime) for batch in (1, 3) for runtime in ("pytorch", "onnxruntime")
    ]
    assert dreamed == [(1, 3, 32, 32)] * 2 * CALLS + [(3, 3, 32, 32)] * 2 * CALLS
    for row in rows:
        assert {*KEYS, *(key for key, *_ in COLUMNS)} <= row.keys() | {"device"}
        assert row["seconds_direct"] == 6.0
        assert row["seconds_one_pass"] == {"pytorch": 1.0, "onnxruntime": 0.5}[row["runtime"]] / CALLS
        assert row["speedup"] == row["seconds_direct"] / row["seconds_one_pass"]
        assert row["macs_direct"] == direct.macs(32, 32)
        assert row["macs_one_pass"] == one_pass_macs(generator, 32, 32)
        assert row["mac_ratio"] == row["macs_direct"] / row["macs_one_pass"]
        assert row["speedup_of_mac_ratio"] == row["speedup"] / row["mac_ratio"]


def test_without_a_direct_dream_one_pass_is_timed_alone(generator: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    let_the_clock_say({"pytorch": [1.0]}, monkeypatch)
    (row,) = compete(Contest("petals", "vgg16", None, {"pytorch": torch.clone}, 32, (1,)), generator, 1)
    assert row["seconds_one_pass"] == 1 / CALLS
    without = ("seconds_direct", "speedup", "macs_direct", "mac_ratio", "speedup_of_mac_ratio")
    assert [row[key] for key in without] == [None] * 5
    assert verdict([row], "gordic") == []


def test_the_verdict_takes_the_faster_runtime_and_the_worst_case() -> None:
    def row(recipe: str, size: int, runtime: str, speedup: float, quotient: float) -> dict[str, Any]:
        about = {"recipe": recipe, "backbone": "vgg16", "size": size, "batch": 1, "runtime": runtime}
        return about | {"speedup": speedup, "speedup_of_mac_ratio": quotient}

    rows = [
        row("vgg", 128, "pytorch", 10, 0.5),
        row("vgg", 128, "onnxruntime", 20, 1.0),
        row("vgg", 256, "pytorch", 18, 0.9),
        row("vgg", 256, "onnxruntime", 12, 0.6),
        row("gordic", 224, "pytorch", 190, 0.4),
        row("gordic", 224, "onnxruntime", 260.4, 0.7),
    ]
    assert verdict(rows, "gordic") == [
        "against gordic on vgg16, 224 px, batch 1, onnxruntime: 260 x (wanted: at least 200)",
        "against its own recipes: quotient 0.90 or more (wanted: at least 0.8); the least is vgg on vgg16, 256 px, "
        "batch 1, pytorch",
    ]


def run(folder: Path, target: Path, *flags: str) -> list[dict[str, Any]]:
    small = ["--generator", str(folder), "--sizes", "32,48", "--batches", "2", "--repeats", "1", "--threads", "1"]
    assert main(["bench_sample", *small, *flags, "--json", str(target)]) == 0
    rows: list[dict[str, Any]] = json.loads(target.read_text())
    return rows


def test_the_command_prints_a_table_and_writes_its_rows(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "has_onnx", lambda: False)
    monkeypatch.setattr(bench, "ANCHOR_PX", 40)
    short = Direct(replace(EYES, name="gordic"), load_extractor("squeezenet1_1", ["features.9"], weights="random"), {})
    monkeypatch.setattr(bench, "load_anchor", lambda *_: short)
    threads = torch.get_num_threads()
    rows = run(folder, tmp_path / "rows.json", "--anchor", "true")
    assert torch.get_num_threads() == threads
    assert list(dict.fromkeys((row["recipe"], row["size"]) for row in rows)) == [
        *(("eyes", size) for size in (32, 48, 40)),
        ("gordic", 40),
        *(("petals", size) for size in (32, 48, 40)),
    ]
    for row in rows:
        assert row.keys() >= KEYS
        assert (row["device"], row["threads"], row["runtime"]) == ("cpu", 1, "pytorch")
        assert row["batch"] in ((1, 2) if row["size"] != 40 else (1,))
        assert (row["seconds_direct"] is None) == (row["recipe"] == "petals")
    told = capsys.readouterr()
    assert told.err == ""
    lines = told.out.splitlines()
    assert [line for line in lines if line.startswith("|")] == [
        *table_head(COLUMNS).splitlines(),
        *(table_line(row, COLUMNS) for row in rows),
    ]
    assert "1 CPU threads, medians of 1 turns, one pass in pytorch" in lines[0]
    assert "ONNX Runtime is timed on the CPU, where it is installed" in lines[1]
    kmac = one_pass_macs(load_generator(folder), 256, 256) / 256**2 / 1000
    assert f"one pass: {kmac:.1f} thousand multiply-adds per pixel" in lines[2]
    assert "petals: one pass alone, for its direct dreams give --guides petals=FILE" in lines
    assert lines[-2].startswith("against gordic on vgg16, 40 px, batch 1, pytorch: ")
    assert lines[-1].startswith("against its own recipes: quotient ")


def test_guided_styles_get_their_guides_and_onnx_runtime_takes_part_where_it_is(
    folder: Path, tmp_path: Path, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int, list[str]]] = []

    def fake(generator: Generator, style: str, threads: int, runtimes: list[str]) -> dict[str, one_pass.Dreamer]:
        asked.append((style, threads, runtimes))
        return {runtime: torch.clone for runtime in runtimes}

    monkeypatch.setattr(bench, "has_onnx", lambda: True)
    monkeypatch.setattr(bench, "one_passes", fake)
    guide = tmp_path / "guide.png"
    photo.save(guide)
    rows = run(folder, tmp_path / "rows.json", "--styles", "petals", "--guides", f"petals={guide}")
    assert asked == [("petals", 1, ["pytorch", "onnxruntime"])]
    assert {row["runtime"] for row in rows} == {"pytorch", "onnxruntime"}
    assert all(row["speedup"] > 0 for row in rows)


@pytest.mark.slow
def test_onnx_runtime_dreams_what_pytorch_dreams(generator: Generator) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package, reason='needs pip install "dreamgan[onnx]"')
    ways, photos = one_passes(generator, "petals", 1, ["pytorch", "onnxruntime"]), torch.rand(2, 3, 32, 40)
    assert list(ways) == ["pytorch", "onnxruntime"]
    torch.testing.assert_close(ways["onnxruntime"](photos), ways["pytorch"](photos), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--sizes", "16"], "--sizes is '16'; give whole numbers of at least 32"),
        (["--sizes", "128,big"], "--sizes is '128,big'"),
        (["--batches", "0"], "--batches is '0'; give whole numbers of at least 1"),
        (["--repeats", "0"], "--repeats is 0"),
        (["--threads", "0"], "--threads is 0"),
        (["--styles", "eye"], "knows no style 'eye'"),
        (["--weights", "vgg16=a,b"], "--weights: 'b' is not NETWORK=FILE"),
        (["--guides", "petals=nowhere.jpg"], "nowhere.jpg"),
    ],
)
def test_mistakes_are_told_in_one_line(
    flags: list[str], problem: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench_sample", "--generator", str(folder), *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line
