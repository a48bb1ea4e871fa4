"""The quickstart: dataset, training and one-pass dreams on the embedded defaults, and what came out of it."""

from __future__ import annotations

import json
import os
import shutil
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dreamgan.metrics import Measures

BATCH = 8
REPEATS = 5
SHEET_ROWS = 8
# A cat's face and a cup: neither is like anything in the other photographs.
PARTS = ("dataset", "checkpoints", "generator", "grids", "csv", "wandb", "held_out", "one_pass")
HELD_OUT = ("chelsea", "coffee")


def quickstart(
    out: str = "runs/quickstart",
    config: str = "configs/quickstart.yaml",
    size: int = 128,
    crops: int = 100,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Do the main job on the embedded defaults: sample photos, MobileNetV2, some minutes of training.

    Run it in a checkout, where the configs are. It ends with `sheet.png` (photo | direct dream | one pass, of photos
    held out of training) and `results.json`. What an earlier call finished is kept. W&B logs offline, unless
    WANDB_MODE says otherwise.

    Args:
        out: Folder of everything it writes.
        config: Training config.
        size: Side of the pictures, in pixels.
        crops: Crops per sample photograph.
        seed: Of dataset and training.
        overwrite: Start anew: removes what an earlier quickstart left in `out`.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    from dreamgan.commands.dataset import make_dataset
    from dreamgan.commands.sample import sample
    from dreamgan.commands.train import train
    from dreamgan.data.pairs import load_pairs
    from dreamgan.files import write_text
    from dreamgan.images import load_image, save_png, sheet

    folder = Path(out)
    dataset, generator = folder / "dataset", folder / "generator"
    if overwrite:
        for name in PARTS:
            shutil.rmtree(folder / name, ignore_errors=True)
    os.environ.setdefault("WANDB_MODE", "offline")  # a first look shall not write into anybody's account
    print("1/3 dreaming a dataset of the sample photographs")
    make_dataset(
        photos="samples",
        size=size,
        crops=crops,
        seed=seed,
        out=str(dataset),
        test_fraction=0.0,
        hold_out_categories=",".join(HELD_OUT),
        device="cpu",
    )

    print("2/3 training the image-to-image GAN on it")
    if (generator / "config.json").is_file():
        print(f"{generator} is trained already; nothing to do")
    else:
        command = ["fit", "--config", config, "--run_dir", out, "--data.dataset", str(dataset)]
        command += ["--seed_everything", str(seed)]
        if (folder / "checkpoints" / "last.ckpt").is_file():
            command += ["--ckpt_path", "last"]
        train(command)

    print("3/3 dreaming the held-out photos in one pass")
    pairs = load_pairs(dataset, "test")
    names = [f"{photo_id}.png" for photo_id in pairs["photo_id"]]
    for name, photo in zip(names, pairs["photo"], strict=True):
        save_png(photo, folder / "held_out" / name)
    sample(str(folder / "held_out"), generator=str(generator), out=str(folder / "one_pass"), device="cpu")

    chosen = range(0, len(pairs), max(1, len(pairs) // SHEET_ROWS))[:SHEET_ROWS]
    rows = [
        [pairs[row]["photo"], pairs[row]["dream"], load_image(folder / "one_pass" / names[row]).picture]
        for row in chosen
    ]
    save_png(sheet(rows, ["photo", "direct dream", "one pass"]), folder / "sheet.png")
    results = _results(pairs, names, folder, generator)
    write_text(folder / "results.json", json.dumps(results, indent=2) + "\n")
    print(_table(results))
    print(f"look at {folder / 'sheet.png'}; the figures are in {folder / 'results.json'}")


def _results(pairs: Any, names: list[str], folder: Path, generator: Path) -> dict[str, Any]:
    """Measure the pictures that were written, and time both ways."""
    import torch

    from dreamgan.backbones.features import load_extractor
    from dreamgan.bench.measure import alternate
    from dreamgan.dream import DreamRecipe, dream
    from dreamgan.images import load_image, to_unit
    from dreamgan.metrics import measure
    from dreamgan.sampling import load_generator
    from dreamgan.sampling import sample as one_pass

    recipe = DreamRecipe.from_json(pairs[0]["recipe_json"])
    extractor = load_extractor(pairs[0]["backbone"], recipe.layer_names)
    photos, dreams, second_dreams = (
        torch.stack([to_unit(picture) for picture in pairs[column]]) for column in ("photo", "dream", "second_dream")
    )
    generated = torch.stack([to_unit(load_image(folder / "one_pass" / name).picture) for name in names])
    measures: Measures = measure(photos, dreams, second_dreams, generated, extractor, recipe)
    loaded = load_generator(generator)
    some = photos[:BATCH]
    seconds = alternate(
        {"direct": lambda: dream(some, extractor, recipe), "one_pass": lambda: one_pass(loaded, some)}, REPEATS
    )
    direct, single = (statistics.median(seconds[way]) for way in ("direct", "one_pass"))
    return {
        **asdict(measures),
        "seconds_direct": direct / len(some),
        "seconds_one_pass": single / len(some),
        "recipe": recipe.name,
        "backbone": extractor.backbone,
        "layers": ",".join(recipe.layer_names),
        "size": photos.shape[-1],
        "batch": len(some),
        "device": "cpu",
        "threads": torch.get_num_threads(),
    }


def _table(results: dict[str, Any]) -> str:
    """The results for people, with floor and ceiling beside each figure."""
    rows = [
        ("measure", "photo (floor)", "one pass", "second dream (ceiling)"),
        ("dream gain (1 = the direct dream)", "0", f"{results['dream_gain']:.2f}", "-"),
        ("robust gain (of a second dream's)", "0", f"{results['robust_gain']:.2f}", "1"),
        (
            "feature cosine to the direct dream",
            *(f"{results[name]:.3f}" for name in ("floor_cosine", "feature_cosine", "ceiling_cosine")),
        ),
        ("agreement", "0", f"{results['agreement']:.2f} +- {results['agreement_se']:.2f}", "1"),
        ("wrong-photo cosine (must be lower)", "", f"{results['wrong_photo_cosine']:.3f}", ""),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    speedup = results["seconds_direct"] / results["seconds_one_pass"]
    lines += [
        "",
        f"{results['n']} held-out pictures, crops of {' and '.join(HELD_OUT)}",
        f"recipe {results['recipe']}, {results['backbone']} {results['layers']}, {results['size']} px, "
        f"batch {results['batch']}, {results['device']}, {results['threads']} threads",
        f"seconds per picture: direct {results['seconds_direct']:.4f}, one pass {results['seconds_one_pass']:.4f} "
        f"({speedup:.1f} times faster; medians of {REPEATS} alternated runs)",
    ]
    return "\n" + "\n".join(lines) + "\n"
