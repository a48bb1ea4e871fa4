"""The half of `dreamgan evaluate` that is about generators of noise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from dreamgan import __version__
from dreamgan.backbones.files import Files
from dreamgan.data.styles import find_styles
from dreamgan.evaluation.choosing import datasets_in
from dreamgan.evaluation.noise_figures import noise_figures
from dreamgan.evaluation.noise_grid import HEADS, neighbour_rows
from dreamgan.evaluation.noise_sets import GENERATED, gather, learnt_by, made_by
from dreamgan.evaluation.noise_table import noise_text
from dreamgan.evaluation.yardstick import load_yardstick
from dreamgan.files import write_text
from dreamgan.images import save_png, sheet
from dreamgan.noise_sampling import load_noise_generator


@dataclass(frozen=True)
class NoiseWish:
    """What the user asked for.

    Attributes:
        generator: Folder of the generator.
        dataset: As it was named.
        weights: Files of networks that dreamed.
        referee_weights: Files of referees.
        figures: JSON file to be written; None: none.
        grid: PNG file.
        rows: In the grid; 0: none is written.
        batch: Pictures at a time.
        device: Where the networks shall live.
    """

    generator: Path
    dataset: str
    weights: Files
    referee_weights: Files
    figures: Path | None
    grid: Path
    rows: int
    batch: int
    device: torch.device


def evaluate_noise(wish: NoiseWish) -> None:
    """Print the figures of every style, and write them and the grid.

    Raises:
        UserError: If something given is wrong.
    """
    generator = load_noise_generator(wish.generator, wish.device)
    recorded = find_styles(datasets_in(wish.dataset))
    found, shown = [], []
    with tqdm(total=GENERATED * len(generator.styles), unit="picture", disable=None) as bar:
        for style in generator.styles:
            sets = gather(learnt_by(generator, style, wish.dataset))
            made = made_by(generator, style, wish.batch, bar.update)
            learnt = generator.styles[style].get("recipes", {style: None})
            pair = next(each.facts for each in recorded if each.name in learnt)
            yardstick = load_yardstick(
                pair, datasets_in(wish.dataset)[0], wish.weights, wish.referee_weights, {}, wish.device
            )
            found.append(noise_figures(style, made, sets, yardstick, wish.batch, wish.device))
            tqdm.write(f"{noise_text(found[-1])}\n")
            shown += neighbour_rows(made[: wish.rows], sets, yardstick, wish.device)
    if wish.figures:
        rows = [each.as_row() for each in found]
        write_text(wish.figures, f"{json.dumps(rows, indent=2, allow_nan=False)}\n")
    if shown:
        save_png(sheet(shown, HEADS), wish.grid, metadata={"version": __version__, "generator": wish.generator.name})
        print(f"look at {wish.grid}")
