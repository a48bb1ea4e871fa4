"""The benchmark: its sums by hand, the same dream on both sides of each comparison, its table and its JSON."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dreamgan.backbones import Extractor
from dreamgan.backbones.features import fold_batch_norm, load_extractor
from dreamgan.bench import dream as bench
from dreamgan.bench.dream import measure_hd, time_works, timed_cases
from dreamgan.bench.measure import Usage, alternate, dream_flops, forward_flops, measure, products
from dreamgan.bench.plain import plain_gordic, plain_network
from dreamgan.bench.table import KEYS, table_head, table_line
from dreamgan.bench.work import Work, dreamer, needed_flops, photos, unfolded_extractor
from dreamgan.cli import main
from dreamgan.dream import dream, get_recipe
from dreamgan.dream.shifts import jitter_sequence
from dreamgan.errors import UserError

CPU = torch.device("cpu")
MIB = 1024**2

# (inputs, outputs, stride of the maps) of VGG16's convolutions up to relu4_3.
VGG16: tuple[tuple[int, int, int], ...] = (
    (3, 64, 1),
    (64, 64, 1),
    (64, 128, 2),
    (128, 128, 2),
    (128, 256, 4),
    (256, 256, 4),
    (256, 256, 4),
)
VGG16 += ((256, 512, 8), (512, 512, 8), (512, 512, 8))


def by_hand(side: int) -> int:
    return sum(2 * 9 * inputs * outputs * (side // stride) ** 2 for inputs, outputs, stride in VGG16)


def test_forward_flops_of_vgg16() -> None:
    extractor = load_extractor("vgg16", ["relu4_3"], weights="random")
    assert forward_flops(extractor, torch.zeros(1, 3, 64, 64)) == by_hand(64)


def test_dream_flops_are_two_passes_per_step() -> None:
    extractor = load_extractor("vgg16", ["relu4_3"], weights="random")
    recipe = get_recipe("gordic", "vgg16", octaves=2, octave_scale=2.0, steps=(3, 5))
    assert dream_flops(extractor, recipe, 64, 64) == 2 * (3 * by_hand(32) + 5 * by_hand(64))
    assert dream_flops(extractor, recipe, 64, 64, dropped_octaves=1) == 2 * 5 * by_hand(64)


def test_octaves_that_the_engine_leaves_out_need_nothing() -> None:
    # 11 px are too few for a dream.
    assert needed_flops(Work("engine", "vgg16", (64, 64))) == 2 * 10 * (by_hand(20) + by_hand(36) + by_hand(64))


def test_products_do_the_operations_they_say() -> None:
    for product in products(CPU).values():
        with FlopCounterMode(display=False) as counter:
            product.run()
        assert counter.get_total_flops() == product.flops


def test_functions_take_turns() -> None:
    calls: list[str] = []
    seconds = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=3)
    assert calls == ["a", "b"] * 4  # one warm-up each
    assert [len(times) for times in seconds.values()] == [3, 3]


def noise(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def both_dreams(extractor: Extractor, network: nn.Module, module: str) -> tuple[Tensor, Tensor]:
    """The engine's dream and the plain loop's, one level, float64, the same jitter."""
    recipe = get_recipe("gordic", extractor.backbone, octaves=1, steps=(4,))
    photo = noise(48, 64)
    rolls = [(dy, dx) for dy, dx in jitter_sequence(recipe, 7, "a photo", 0, 4).tolist()]
    plain = plain_gordic(photo, network, module, [((48, 64), 4)], rolls)
    engine = dream(photo, extractor, recipe, seed=7, photo_ids=["a photo"]).images
    assert (engine - photo).abs().max() > 0.1
    return engine, plain


@pytest.mark.parametrize("trainable", [False, True])
def test_the_plain_loop_dreams_what_the_engine_dreams(trainable: bool) -> None:
    extractor = load_extractor("squeezenet1_1", ["features.9"], weights="random").double()
    network = plain_network("squeezenet1_1", trainable=trainable).double()
    own = {key.removeprefix("network."): value for key, value in extractor.state_dict().items()}
    assert not network.load_state_dict(own, strict=False).unexpected_keys
    engine, plain = both_dreams(extractor, network, "features.9")
    torch.testing.assert_close(engine, plain, rtol=0, atol=1e-9)
    # The work of which the comparison speaks: gradients for all parameters up to the layer, or for none.
    reached = [parameter.grad is not None for parameter in network.get_submodule("features.3").parameters()]
    assert reached == [trainable] * len(reached)


def network_with_batch_norm() -> nn.Module:
    network = plain_network("resnet50", trainable=False).double()
    stream = torch.Generator().manual_seed(2)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.normal_(0, 0.1, generator=stream)
            module.running_var.uniform_(0.5, 2.0, generator=stream)
            module.weight.data.uniform_(0.5, 1.0, generator=stream)
    return network


def test_batch_norm_unfolded_and_folded_dream_what_the_plain_loop_dreams() -> None:
    network = network_with_batch_norm()
    extractor = unfolded_extractor(network, "resnet50", "layer3")
    assert any(isinstance(module, nn.BatchNorm2d) for module in extractor.modules())
    engine, plain = both_dreams(extractor, network, "layer3")
    torch.testing.assert_close(engine, plain, rtol=0, atol=1e-9)

    fold_batch_norm(extractor.network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in extractor.modules())
    folded, _ = both_dreams(extractor, network, "layer3")
    torch.testing.assert_close(folded, plain, rtol=0, atol=1e-9)


def test_the_plain_loop_runs_the_whole_network_on_every_octave_and_takes_its_hook_away() -> None:
    network = plain_network("squeezenet1_1", trainable=False)
    seen: list[tuple[int, ...]] = []
    hook = network.get_submodule("classifier").register_forward_hook(lambda _, images, __: seen.append(images[0].shape))
    octaves = [((32, 48), 2), ((64, 96), 1)]
    dreamed = plain_gordic(noise(64, 96).float(), network, "features.9", octaves, [(3, -5), (0, 0), (9, 9)])
    assert dreamed.shape == (1, 3, 64, 96)
    assert [shape[-2:] for shape in seen] == [(1, 2), (1, 2), (3, 5)]
    hook.remove()
    assert not network.get_submodule("features.9")._forward_hooks


def test_the_plain_loop_wants_a_roll_for_every_step() -> None:
    network = plain_network("squeezenet1_1", trainable=False)
    with pytest.raises(ValueError, match="2 rolls for 3 steps"):
        plain_gordic(noise(64, 64).float(), network, "features.9", [((64, 64), 3)], [(0, 0), (0, 0)])


# Memory is measured in fresh processes, which import what they run.


def loads_300_mib_and_takes_100() -> Callable[[], object]:
    kept = torch.ones(50 * MIB, dtype=torch.uint8)
    torch.ones(250 * MIB, dtype=torch.uint8)  # only while loading
    return lambda: (kept, torch.ones(100 * MIB, dtype=torch.uint8))


def dies() -> Callable[[], object]:
    return lambda: os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux can forget the peak of loading")
def test_memory_is_what_the_run_takes() -> None:
    usage = measure(loads_300_mib_and_takes_100, CPU)
    assert usage.bytes / MIB == pytest.approx(100, abs=15)
    assert usage.peak_bytes - usage.bytes == usage.base_bytes > 50 * MIB


def test_a_process_that_is_killed_is_told_in_one_line() -> None:
    with pytest.raises(UserError, match="memory ran out") as told:
        measure(dies, CPU)
    assert "\n" not in str(told.value)


def test_rows_agree_with_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "measure", lambda prepare, device: Usage(1.0, 10 * MIB, 25 * MIB))
    short = {"octaves": 1, "steps": (1,)}
    works = [Work("engine", "squeezenet1_1", (32, 48), batch, short) for batch in (1, 2)]
    one, two = time_works("tiny", works, CPU, repeats=1)
    assert one.keys() == two.keys() == set(KEYS)
    extractor = load_extractor("squeezenet1_1", ["features.9"], weights="random")
    flops = dream_flops(extractor, works[0].recipe, 32, 48)
    for row, batch in ((one, 1), (two, 2)):
        assert (row["batch"], row["size"], row["way"]) == (batch, "32x48", "engine")
        assert row["pictures_per_second"] == pytest.approx(batch / row["seconds"])
        assert row["times_the_first"] == pytest.approx(row["pictures_per_second"] / one["pictures_per_second"])
        at_peak = batch * flops / (row["matrix_gflops"] * 1e9)
        assert row["fraction_of_floor"] == pytest.approx(at_peak / row["seconds"])
        at_peak = batch * flops / (row["convolution_gflops"] * 1e9)
        assert row["fraction_of_convolution_peak"] == pytest.approx(at_peak / row["seconds"])
        assert (row["peak_mib"], row["dream_mib"]) == (25, 15)


def test_hd_gives_bytes_per_pixel_and_their_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    usages = iter([Usage(1.0, 1000, 1000 + 100 * 70), Usage(2.0, 1200, 1200 + 400 * 40)])
    monkeypatch.setattr(bench, "measure", lambda prepare, device: next(usages))
    small, large, growth = measure_hd([(10, 10), (20, 20)], CPU)
    assert (small["bytes_per_pixel"], large["bytes_per_pixel"]) == (70, 40)
    assert growth["bytes_per_pixel"] == (16000 - 7000) / 300
    assert small.keys() == large.keys() == growth.keys() == set(KEYS)


def test_the_table_is_markdown_and_leaves_empty_what_is_not_there() -> None:
    headings, rule = table_head().splitlines()
    line = table_line(dict.fromkeys(KEYS) | {"case": "a case", "seconds": 1.23456, "batch": 8})
    assert headings.count("|") == rule.count("|") == line.count("|") == len(KEYS) + 1
    assert len(headings) == len(rule) == len(line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert {key: cell for key, cell in zip(KEYS, cells, strict=True) if cell} == {
        "case": "a case",
        "seconds": "1.235",
        "batch": "8",
    }


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_rows_of_a_case_can_be_told_apart_and_the_loop_comes_first(device: str) -> None:
    found = list(timed_cases(bench.CASES, [(224, 224), (332, 500)], torch.device(device)))
    for title, works in found:
        assert len({(title, work.label, work.size, work.batch) for work in works}) == len(works)
    ways = [(works[0].backbone, [work.way for work in works]) for _, works in found]
    loops = ["plain loop", "plain loop, trainable", "engine"]
    assert ways[:4] == [
        ("vgg16", loops),
        ("vgg16", ["engine"]),
        ("resnet50", loops),
        ("resnet50", ["batch norm unfolded", "engine"]),
    ]


def test_bf16_is_the_same_work_in_less_precision() -> None:
    work = Work("engine", "squeezenet1_1", (32, 32), overrides={"octaves": 1, "steps": (1,)})
    photo = photos(work, CPU)
    full, half = (dreamer(replace(work, precision=precision), CPU)(photo) for precision in ("32", "bf16"))
    assert full.dtype == half.dtype == torch.float32
    assert 0 < (full - half).abs().mean() < 0.5 * (full - photo).abs().mean()


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_its_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "rows.json"
    flags = ["--cases", "folding,hd", "--sizes", "32x48", "--repeats", "1", "--json", str(target)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "HD_SIZES", ((64, 64), (640, 700)))
        assert main(["bench_dream", *flags]) == 0
    rows = json.loads(target.read_text())
    assert [row["way"] for row in rows] == ["batch norm unfolded", "engine", "engine", "engine", "growth"]
    for row in rows:
        assert row.keys() == {*KEYS, "device", "threads", "repeats"}
    assert [row["size"] for row in rows] == ["32x48", "32x48", "64x64", "640x700", None]
    assert rows[1]["times_the_first"] == pytest.approx(rows[0]["seconds"] / rows[1]["seconds"])
    assert rows[1]["peak_mib"] > rows[1]["dream_mib"] > 0
    printed = capsys.readouterr().out.splitlines()
    assert printed == [*table_head().splitlines(), *(table_line(row) for row in rows)]


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--sizes", "224"], "'224' is not HEIGHTxWIDTH"),
        (["--cases", "vgg"], "'vgg' is not a case; choose among all, vgg16"),
        (["--cases", "gpu"], "gpu needs a CUDA device"),
        (["--repeats", "0"], "--repeats is 0"),
        (["--threads", "0"], "--threads is 0"),
        (["--sizes", "64x64", "--cases", "resnet50"], "coarsest octave of 64x64 is 11x11"),
    ],
)
def test_mistakes_are_told_in_one_line(flags: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench_dream", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line
