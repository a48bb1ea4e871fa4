"""The half of `dreamgan sample` that dreams from noise: single pictures and their grid, or an animation."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from tqdm import tqdm

from dreamgan import __version__
from dreamgan.commands.animation import save_there_and_back
from dreamgan.commands.pictures import check_target, printable
from dreamgan.commands.variants import Order, style_facts
from dreamgan.devices import halving, joined, precision_context
from dreamgan.errors import UserError
from dreamgan.images import save_png, to_picture
from dreamgan.latents import MOST_SEED, Noise, between
from dreamgan.noise_sampling import NoiseDreams, check_truncation, dream_noise, load_noise_generator, noise_of

PICTURES, MOST_PICTURES = 64, 100_000
FRAMES, MOST_FRAMES = 48, 1000
MOST_IN_GRID = 256
GRID, GAP_PX = "grid.png", 2


def dream_from_noise(
    order: Order,
    *,
    n: int | None,
    seed: int | None,
    truncation: float,
    category: str | None,
    interpolate: str | None,
    frames: int | None,
) -> None:
    """Write pictures from noise and a grid of them; or an animation between two.

    Args:
        order: Whose generator dreams from noise.
        n: How many pictures; None: 64.
        seed: Of the first picture; None: 0.
        truncation: From 0 to 1.
        category: Name of one; None: each seed draws its own.
        interpolate: Two seeds, as ``3,17``: an animation is written in place of pictures.
        frames: Of the animation on its way there; None: 48.

    Raises:
        UserError: If something given is wrong.
    """
    if interpolate is not None and (n is not None or seed is not None):
        flag = "--seed" if n is None else "--n"
        raise UserError(f"--interpolate writes one animation between the two seeds that it names; leave {flag} out")
    if interpolate is None and frames is not None:
        raise UserError("--frames is of an animation; say between which seeds, as in --interpolate 3,17")
    if interpolate is None:
        first = seed or 0
        last = first + _counted("n", n, PICTURES, 1, MOST_PICTURES)
        _pictures(order, range(first, last), truncation, category)
    else:
        count = _counted("frames", frames, FRAMES, 2, MOST_FRAMES)
        _animation(order, parse_seeds(interpolate), count, truncation, category)


def parse_seeds(text: str) -> tuple[int, int]:
    """Read ``3,17``; whether there are such seeds is for the generator to say.

    Raises:
        UserError: If it is not of that form, or names one seed twice.
    """
    match = re.fullmatch(r"\s*(\d{1,20})\s*,\s*(\d{1,20})\s*", text)
    if not match:
        raise UserError(f"--interpolate is {printable(text)!r}; give two seeds, as in 3,17")
    first, last = int(match[1]), int(match[2])
    if first == last:
        raise UserError(f"--interpolate names the seed {first} twice, and nothing would move; give two different seeds")
    return first, last


def _counted(flag: str, given: int | None, default: int, least: int, most: int) -> int:
    count = default if given is None else given
    if not least <= count <= most:
        raise UserError(f"--{flag} is {count}; it must be from {least} to {most}")
    return count


def _pictures(order: Order, seeds: range, truncation: float, category: str | None) -> None:
    if seeds[0] < 0 or seeds[-1] > MOST_SEED:
        raise UserError(f"the seeds are {seeds[0]} to {seeds[-1]}; they must be from 0 to {MOST_SEED}")
    targets = [order.folder / f"sample-{seed:04d}.png" for seed in seeds]
    for target in (order.folder / GRID, *targets):
        check_target(target)
    generator = _loaded(order, truncation)
    noise = noise_of(generator, seeds, category)
    facts = _facts(order, generator, truncation)
    shown: list[Image.Image] = []
    clock = _Clock()
    for row, dream in enumerate(_dreams(order, generator, noise, truncation, clock)):
        picture = to_picture(dream)
        shown += [picture] if row < MOST_IN_GRID else []
        about = {"seed": str(seeds[row]), **_category(generator, noise, row)}
        save_png(picture, targets[row], metadata={**facts, **about})
    about = {"seed": f"{seeds[0]} to {seeds[len(shown) - 1]}", **({} if category is None else {"category": category})}
    save_png(grid_of(shown), order.folder / GRID, metadata={**facts, **about})
    print(order.told(len(seeds), clock.seconds))


def _animation(order: Order, seeds: tuple[int, int], frames: int, truncation: float, category: str | None) -> None:
    target = order.folder / f"interpolate-{seeds[0]}-{seeds[1]}.gif"
    check_target(target)
    generator = _loaded(order, truncation)
    ends = noise_of(generator, seeds, category)
    clock = _Clock()
    pictures = [to_picture(dream) for dream in _dreams(order, generator, between(ends, frames), truncation, clock)]
    about = {"seeds": f"{seeds[0]},{seeds[1]}"}
    names = [_category(generator, ends, row).get("category") for row in range(2)]
    if None not in names:
        about["categories"] = ",".join(map(str, names))
    save_there_and_back(pictures, target, {**_facts(order, generator, truncation), **about})
    print(order.told(frames, clock.seconds))


def _loaded(order: Order, truncation: float) -> NoiseDreams:
    """The generator, once it is sure that it can do what is asked."""
    generator = load_noise_generator(order.source, order.device)
    generator.weights(order.style)
    check_truncation(truncation)
    return generator


@dataclass
class _Clock:
    """Seconds spent in the network."""

    seconds: float = 0.0


def _dreams(
    order: Order, generator: NoiseDreams, noise: Noise, truncation: float, clock: _Clock
) -> Iterator[torch.Tensor]:
    """Pictures (3, size, size) on the CPU, one after another."""
    count = len(noise.latents)
    with tqdm(total=count, unit="picture", disable=None) as bar:
        for first in range(0, count, order.batch):
            batch = noise[first : first + order.batch]

            def run(part: slice, batch: Noise = batch) -> torch.Tensor:
                with precision_context(order.device, order.precision):
                    return dream_noise(generator, batch[part], truncation, order.style).cpu()

            start = time.perf_counter()
            dreams = joined(halving(run, len(batch.latents)))
            clock.seconds += time.perf_counter() - start
            order.check(dreams)
            yield from dreams
            bar.update(len(dreams))


def _facts(order: Order, generator: NoiseDreams, truncation: float) -> dict[str, str]:
    """What every picture says of itself; the seed of a style, which is that of its training data, is left out."""
    style = next(iter(generator.styles)) if order.style is None else order.style
    about = style_facts(generator.styles, style, ("recipe", "backbone", "layers"))
    return {"version": __version__, "generator": printable(order.name), **about, "truncation": f"{truncation:g}"}


def _category(generator: NoiseDreams, noise: Noise, row: int) -> dict[str, str]:
    if not generator.classes:
        return {}
    return {"category": generator.classes[int(noise.classes[row].argmax())]}


def grid_of(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size on white, in rows, about as many as columns."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    width, height = (side + GAP_PX for side in pictures[0].size)
    grid = Image.new("RGB", (columns * width + GAP_PX, rows * height + GAP_PX), "white")
    for place, picture in enumerate(pictures):
        grid.paste(picture, (GAP_PX + place % columns * width, GAP_PX + place // columns * height))
    return grid
