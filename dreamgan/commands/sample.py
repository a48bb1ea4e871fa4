"""`dreamgan sample`: dream photos in one pass with a trained generator."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dreamgan.devices import Precision

if TYPE_CHECKING:
    from dreamgan.commands.pictures import Job
    from dreamgan.sampling import Generator

ALL = "all"
LEAST_TILE_PX = 256  # smaller ones are nearly all margin


def sample(
    photos: str,
    generator: str | None = None,
    style: str | None = None,
    strength: float | str = 1.0,
    blend: str | None = None,
    out: str = "samples",
    max_side: int = 2048,
    tile: int = 1024,
    batch: int | None = None,
    device: str = "auto",
    precision: Precision = "32",
) -> None:
    """Dream a photo, or every photo of a folder, in one pass of a trained generator.

    Example: dreamgan sample photo.jpg --style inception

    Example: dreamgan sample holiday/ --style all --strength 0.5,1,1.5 --out dreams

    Example: dreamgan sample photo.jpg --blend "inception=0.5,petals=0.5"

    To see the styles of a generator, ask for one that it does not have, as in --style help: the error lists them.

    Args:
        photos: A picture, or a folder of pictures (sub-folders included), of any size from 32 px.
        generator: Folder that training exported (model.safetensors and config.json). Default: the generator that
            comes with the package.
        style: Name of a style, or all: then every style is written, as <stem>-<style>.png. Default: the generator's
            first.
        strength: 0 gives the photo, 1 the whole dream, up to 1.5 a bolder one. Several with commas, as in 0.5,1,1.5,
            are written as <stem>-<strength>.png.
        blend: In place of a style, several with their weights, as in inception=0.5,petals=0.5; what counts is their
            proportion.
        out: Folder for the dreams, <stem>.png each.
        max_side: Photos with a longer side are shrunk to it, in pixels; 0 keeps their size.
        tile: Photos of more than this many pixels squared are dreamed in tiles of this side, which bounds the memory
            and leaves no seam; 0: never.
        batch: Photos of equal size at a time. Default: 4 on a CPU, 32 on a GPU.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: 32, or bf16 for GPUs that are fast at it.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    import time

    import torch
    from tqdm import tqdm

    from dreamgan import __version__
    from dreamgan.commands.flags import at_least, out_folder
    from dreamgan.commands.pictures import loaded_batches, plan, printable, save_dreams, write_rejects
    from dreamgan.devices import default_batch, halving, joined, pick_device, precision_context
    from dreamgan.errors import UserError
    from dreamgan.generators import generator_folder
    from dreamgan.images import MIN_SIDE_PX, to_unit
    from dreamgan.sampling import load_generator
    from dreamgan.sampling import sample as one_pass

    at_least(1, batch=batch)
    at_least(MIN_SIDE_PX, max_side=max_side or None)
    at_least(LEAST_TILE_PX, tile=tile or None)
    strengths = parse_strengths(str(strength))
    if style is not None and blend is not None:
        raise UserError("--style and --blend exclude each other; give one of them")
    where = pick_device(device)
    folder = out_folder(out)
    jobs = plan(photos, folder)
    source = generator_folder(generator)
    loaded_generator = load_generator(source, where)
    variants = _variants(loaded_generator, style, None if blend is None else parse_blend(blend), strengths)
    _check_targets(jobs, variants)
    facts = {"version": __version__, "generator": printable(source.resolve().name)}
    rejects: list[tuple[str, str]] = []
    seconds = 0.0
    with tqdm(total=len(jobs) * len(variants), unit="picture", disable=None) as bar:
        size = batch or default_batch(where)
        for group in loaded_batches(jobs, batch=size, max_side=max_side, rejects=rejects):
            images = torch.stack([to_unit(loaded.picture) for _, loaded in group])
            for variant in variants:

                def run(part: slice, images: torch.Tensor = images, variant: Variant = variant) -> torch.Tensor:
                    with precision_context(where, precision):
                        return one_pass(loaded_generator, images[part], variant.style, variant.strength, tile).cpu()

                start = time.perf_counter()
                dreams = joined(halving(run, len(group)))
                seconds += time.perf_counter() - start
                if not bool(dreams.isfinite().all()):
                    raise UserError(f"the generator '{source}' gives values that are not finite; train it again")
                about = {**facts, **variant.facts(loaded_generator)}
                save_dreams(
                    [(variant.of(job), loaded) for job, loaded in group],
                    dreams,
                    lambda job, about=about: {**about, "photo": printable(job.source.name)},  # type: ignore[misc]
                )
                bar.update(len(group))
    write_rejects(rejects, folder)
    done = (len(jobs) - len(rejects)) * len(variants)
    print(f"{done} dreams in {folder}; {done / seconds:.3g} pictures per second in the network, on {where}")


@dataclass(frozen=True)
class Variant:
    """One of the dreams that every photo gets.

    Attributes:
        style: Name of a style, or names and weights of a blend.
        strength: From 0 to 1.5.
        suffix: What its files have after the photo's name.
    """

    style: str | Mapping[str, float]
    strength: float
    suffix: str

    def of(self, job: Job) -> Job:
        """The job whose target is this variant's."""
        return replace(job, target=job.target.with_name(f"{job.target.stem}{self.suffix}.png"))

    def facts(self, generator: Generator) -> dict[str, str]:
        """What the PNG says of it: style, recipe, backbone, layers and seed, or the blend; and the strength."""
        strength = {"strength": f"{self.strength:g}"}
        if not isinstance(self.style, str):
            total = sum(self.style.values())
            return {"blend": ",".join(f"{name}={weight / total:g}" for name, weight in self.style.items()), **strength}
        learnt = generator.styles[self.style]
        facts = {key: learnt[key] for key in ("recipe", "backbone", "layers", "seed") if key in learnt}
        return {
            "style": self.style,
            **strength,
            **{
                key: ",".join(map(str, value)) if isinstance(value, list) else str(value)
                for key, value in facts.items()
            },
        }


def parse_strengths(text: str) -> list[float]:
    """Read ``1`` or ``0.5,1,1.5``; one that is given twice counts once.

    Raises:
        UserError: If a strength is no number from 0 to 1.5.
    """
    from dreamgan.errors import UserError
    from dreamgan.sampling import check_strength

    strengths = []
    for part in text.split(","):
        try:
            strengths.append(float(part))
        except ValueError:
            raise UserError(
                f"--strength: {part.strip()!r} is not a number; give 1, or several as in 0.5,1,1.5"
            ) from None
        check_strength(strengths[-1])
    return list(dict.fromkeys(strengths))


def parse_blend(text: str) -> dict[str, float]:
    """Read ``inception=0.5,petals=0.5``; whether there are such styles, and such weights, is for the generator to say.

    Raises:
        UserError: If it is not of that form, or a style comes twice.
    """
    from dreamgan.errors import UserError

    blend: dict[str, float] = {}
    for part in text.split(","):
        name, _, weight = (piece.strip() for piece in part.rpartition("="))
        try:
            number = float(weight)
        except ValueError:
            name = ""
        if not name:
            raise UserError(f"--blend: {part.strip()!r} is not STYLE=WEIGHT, as in inception=0.5")
        if name in blend:
            raise UserError(f"--blend: style {name!r} is given twice; give each once")
        blend[name] = number
    return blend


def _variants(
    generator: Generator, style: str | None, blend: Mapping[str, float] | None, strengths: Sequence[float]
) -> list[Variant]:
    """Every style and strength that is asked for; raises for what the generator does not know."""
    every = style == ALL and ALL not in generator.styles
    styles: list[str | Mapping[str, float]] = [next(iter(generator.styles)) if style is None else style]
    if blend is not None:
        styles = [blend]
    elif every:
        styles = list(generator.styles)
    variants = []
    for one in styles:
        generator.weights(one)
        # A style's name may hold what a file's may not.
        name = "-" + re.sub(r"[^\w.+-]", "_", str(one)) if every else ""
        for strength in strengths:
            variants.append(Variant(one, strength, f"{name}-{strength:g}" if len(strengths) > 1 else name))
    return variants


def _check_targets(jobs: Sequence[Job], variants: Sequence[Variant]) -> None:
    """Refuse to write over what dreamgan did not write, or one dream over another."""
    from dreamgan.commands.pictures import check_target, printable
    from dreamgan.errors import UserError

    targets = [variant.of(job).target for job in jobs for variant in variants]
    # Case is ignored since some file systems do.
    for name, count in Counter(str(target).casefold() for target in targets).items():
        if count > 1:
            raise UserError(
                f"two dreams would be written to {printable(name)!r}; give fewer photos, styles or strengths"
            )
    for target in targets:
        check_target(target)
