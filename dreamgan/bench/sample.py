"""The benchmark of dreams in one pass, as a command: flags, table and JSON."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from json import dumps
from pathlib import Path

import torch
from tqdm import tqdm

from dreamgan.backbones.files import named_files
from dreamgan.bench.contest import COLUMNS, Contest, compete, verdict
from dreamgan.bench.direct import load_anchor, load_direct
from dreamgan.bench.one_pass import ONNX_RUNTIME, PYTORCH, has_onnx, one_pass_macs, one_passes
from dreamgan.bench.table import Row, table_head, table_line
from dreamgan.commands.flags import at_least
from dreamgan.devices import pick_device
from dreamgan.dream.guide import named_pictures
from dreamgan.errors import UserError
from dreamgan.files import write_text
from dreamgan.generators import generator_folder
from dreamgan.images import MIN_SIDE_PX
from dreamgan.sampling import Generator, load_generator

ANCHOR, ANCHOR_PX = "gordic", 224
MOST_KMAC_PER_PIXEL = 25
_WHOLE_PX = 256  # whole strides: nothing is padded


def bench_sample(
    generator: str | None = None,
    styles: str = "all",
    sizes: str = "128,256,512",
    batches: str = "1,8",
    weights: str | None = None,
    guides: str | None = None,
    anchor: bool = False,
    repeats: int = 5,
    threads: int | None = None,
    device: str = "cpu",
    json: str | None = None,
) -> None:
    """Time dreams in one pass against direct ones, in turns, each style against its own recipe.

    Columns: "direct s" and "one pass s" are the medians of the turns, for the whole batch; "speed-up" is their ratio.
    "of MACs" is the ratio of the multiply-adds: two forward passes of the direct recipe's network for each step, at the
    size of its octave, over one pass of the generator. "quotient" is the one ratio over the other: 1 means that each
    multiply-add takes as long here as there. Of the batches, 1 is timed and the one at which one pass dreams the most
    photos per second. One pass in PyTorch is `dreamgan sample`; in ONNX Runtime (on the CPU, if the extra onnx is
    installed) it is what `dreamgan export_onnx --style NAME --strength 1` writes.

    Args:
        generator: Folder that training exported. Default: the generator that comes with the package.
        styles: Its styles with commas, or all.
        sizes: Sides of the photos in pixels, with commas.
        batches: Photos at a time, with commas; 1 is always among them.
        weights: Files of the networks that were dreamed with, NETWORK=FILE with commas between. Default: random
            weights, on which the time does not depend.
        guides: Pictures that guided styles dream of, STYLE=FILE with commas between.
        anchor: Time single photos of 224 px, too: each style, and VGG16 relu4_3 by the recipe gordic (4 octaves of 10
            steps).
        repeats: Timed turns.
        threads: CPU threads of both sides. Default: as many as PyTorch takes.
        device: auto, cpu, cuda, cuda:1 or mps.
        json: Write the rows into this file too; multiply-adds are those of one photo.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    at_least(1, repeats=repeats, threads=threads)
    sides, counts = _numbers("sizes", sizes, MIN_SIDE_PX), _numbers("batches", batches, 1)
    where = pick_device(device)
    files, pictures = named_files(weights, "weights"), named_pictures(guides, "guide", 0)
    loaded = load_generator(generator_folder(generator), where)
    names = list(loaded.styles) if styles.strip() == "all" else [name.strip() for name in styles.split(",")]
    for name in (*names, *pictures):
        loaded.weights(name)  # raises for a style that is not there
    runtimes = [PYTORCH, *([ONNX_RUNTIME] if where.type == "cpu" and has_onnx() else [])]
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    taken = torch.get_num_threads()
    about: Row = {"device": str(where), "device_name": _device_name(where), "threads": taken, "repeats": repeats}
    _announce(loaded, about, runtimes)
    rows: list[Row] = []
    places = [(side, counts) for side in sides] + [(ANCHOR_PX, [1])] * anchor
    try:
        with tqdm(total=len(names) * len(places) + anchor, disable=None) as bar:
            for name in names:
                facts = loaded.styles[name]
                direct = load_direct(facts, files, pictures.get(name), where)
                if direct is None:
                    bar.write(f"{name}: one pass alone, for its direct dreams give --guides {name}=FILE")
                ways = one_passes(loaded, name, taken, runtimes)
                backbone = str(facts["backbone"])
                contests = [Contest(name, backbone, direct, ways, side, some) for side, some in places]
                if anchor and name == names[0]:
                    contests.append(Contest(ANCHOR, "vgg16", load_anchor(files, where), ways, ANCHOR_PX, [1]))
                for contest in contests:
                    for row in compete(contest, loaded, repeats):
                        rows.append(row | about)
                        bar.write(table_line(row, COLUMNS))
                    if json:  # after each contest: what was finished is kept
                        write_text(Path(json).expanduser(), dumps(rows, indent=2) + "\n")
                    bar.update()
    finally:
        torch.set_num_threads(before)
    print("", *verdict(rows, ANCHOR), sep="\n")


def _numbers(flag: str, text: str, least: int) -> list[int]:
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in text.split(",")]
    if min(numbers) < least:
        raise UserError(f"--{flag} is {text!r}; give whole numbers of at least {least} with commas, such as 128,256")
    return list(dict.fromkeys(numbers))


def _announce(generator: Generator, about: Row, runtimes: Sequence[str]) -> None:
    print(
        f"{about['device_name']} ({about['device']}), {about['threads']} CPU threads, medians of {about['repeats']} "
        f"turns, one pass in {' and '.join(runtimes)}"
    )
    if ONNX_RUNTIME not in runtimes:
        print('ONNX Runtime is timed on the CPU, where it is installed: pip install "dreamgan[onnx]"')
    kmac = one_pass_macs(generator, _WHOLE_PX, _WHOLE_PX) / _WHOLE_PX**2 / 1e3
    print(f"one pass: {kmac:.1f} thousand multiply-adds per pixel (wanted: at most {MOST_KMAC_PER_PIXEL})\n")
    print(table_head(COLUMNS), flush=True)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()
