"""The mean of two trained generators, which is often better than either."""

from __future__ import annotations

from pathlib import Path

import torch

from dreamgan.errors import UserError


def average_generators(generator: str, before: str, out: str) -> None:
    """Write a generator whose weights are half those of one, and half those of one that it began with.

    Source: Wortsman et al. 2022 (model soups).

    Example: scripts/average_generators.py runs/shipped/training/generator generator-of-before runs/shipped/averaged

    Args:
        generator: Folder that training exported (model.safetensors and config.json); its description is kept, but for
            its measures.
        before: Folder of the generator that its training began with (start_from).
        out: Folder to write.

    Raises:
        UserError: If one of them cannot be read, their networks or styles differ, or `out` cannot be written.
    """
    from dreamgan.sampling import load_generator, save_generator

    one, other = (load_generator(Path(folder).expanduser()) for folder in (generator, before))
    if one.network.config != other.network.config or list(one.styles) != list(other.styles):
        raise UserError(f"'{generator}' and '{before}' have other networks or styles, and cannot be averaged")
    with torch.no_grad():
        for mine, theirs in zip(one.network.parameters(), other.network.parameters(), strict=True):
            mine.lerp_(theirs, 0.5)
    # The measures of training are of the one generator, not of the mean.
    styles = {name: {**facts, "measures": {}, "averaged": True} for name, facts in one.styles.items()}
    try:
        card = (Path(generator).expanduser() / "README.md").read_text(encoding="utf-8")
        save_generator(Path(out).expanduser(), one.network, styles, card)
    except OSError as error:
        raise UserError(f"'{error.filename}': {error.strerror}") from None
    print(f"{', '.join(one.styles)}: the mean of both in {out}")
