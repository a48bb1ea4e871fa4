"""What is asked of a generator: styles, blends and strengths."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from dreamgan.commands.pictures import Job
    from dreamgan.devices import Precision
    from dreamgan.sampling import Generator

ALL = "all"


@dataclass(frozen=True)
class Order:
    """What is asked of a generator, whatever it takes.

    Attributes:
        source: Folder of the generator.
        style: Name of a style, names and weights of a blend, or None: the generator's first.
        folder: For the dreams.
        device: Where the network runs.
        batch: Pictures at a time.
        precision: In which it runs.
    """

    source: Path
    style: str | Mapping[str, float] | None
    folder: Path
    device: torch.device
    batch: int
    precision: Precision

    @property
    def name(self) -> str:
        """What the generator is called: its folder."""
        return self.source.resolve().name

    def check(self, dreams: Tensor) -> None:
        """Refuse dreams that are not finite.

        Raises:
            UserError: Naming the generator.
        """
        from dreamgan.errors import UserError

        if not bool(dreams.isfinite().all()):
            raise UserError(f"the generator '{self.source}' gives values that are not finite; train it again")

    def told(self, done: int, seconds: float) -> str:
        """The line at the end: how many dreams there are, and how fast the network was."""
        speed = done / seconds
        return f"{done} dreams in {self.folder}; {speed:.3g} pictures per second in the network, on {self.device}"


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
        facts = style_facts(generator.styles, self.style, ("recipe", "backbone", "layers", "seed"))
        return {**facts, "strength": f"{self.strength:g}"}


def style_facts(
    styles: Mapping[str, Mapping[str, Any]], style: str | Mapping[str, float], keys: Sequence[str]
) -> dict[str, str]:
    """What a picture says of its style.

    Args:
        styles: What the generator knows.
        style: Name of one, or names and weights of a blend.
        keys: What is told of a style, where the training wrote it down; of a blend, its weights are.

    Returns:
        By key of the picture's metadata.
    """
    if not isinstance(style, str):
        total = sum(style.values())
        return {"blend": ",".join(f"{name}={weight / total:g}" for name, weight in style.items())}
    facts = {"style": style, **{key: styles[style][key] for key in keys if key in styles[style]}}
    return {key: ",".join(map(str, value)) if isinstance(value, list) else str(value) for key, value in facts.items()}


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


def all_variants(
    generator: Generator, style: str | Mapping[str, float] | None, strengths: Sequence[float]
) -> list[Variant]:
    """Every style and strength that is asked for.

    Args:
        generator: That shall dream them.
        style: Name of one, all, or names and weights of a blend; None: the generator's first.
        strengths: Each from 0 to 1.5.

    Raises:
        UserError: If the generator does not know a style, or the weights make no sense.
    """
    every = style == ALL and ALL not in generator.styles
    first = next(iter(generator.styles))
    styles: list[str | Mapping[str, float]] = list(generator.styles) if every else [first if style is None else style]
    variants = []
    for one in styles:
        generator.weights(one)
        # A style's name may hold what a file's may not.
        name = "-" + re.sub(r"[^\w.+-]", "_", str(one)) if every else ""
        for strength in strengths:
            variants.append(Variant(one, strength, f"{name}-{strength:g}" if len(strengths) > 1 else name))
    return variants


def check_targets(jobs: Sequence[Job], variants: Sequence[Variant]) -> None:
    """Refuse to write over what dreamgan did not write, or one dream over another.

    Raises:
        UserError: Naming the file.
    """
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
