"""The model card of a generator that dreams from noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from dreamgan.lit.card import last_validation
from dreamgan.networks.noise import NoiseGenerator


def noise_card(
    styles: Sequence[str],
    classes: Sequence[str],
    dataset: str,
    network: NoiseGenerator,
    epochs: int,
    measured_epoch: int,
    measures: Mapping[str, Any],
) -> str:
    """Write the card, Markdown.

    Args:
        styles: Names; at least one.
        classes: Names of those that it can be asked for.
        dataset: What it was trained on, commas between.
        network: The generator.
        epochs: That it was trained for.
        measured_epoch: As ``last_validation`` takes it.
        measures: Of the last validation, as ``NoiseMeasures`` with the name of the "features"; none: there was none.
    """
    config = network.config
    datasets = ", ".join(f"`{Path(name.strip()).name}`" for name in dataset.split(","))
    asked = f"\nIt can be asked for: {', '.join(name or '(no class)' for name in classes)}.\n" if classes else ""
    return f"""---
library_name: dreamgan
pipeline_tag: unconditional-image-generation
tags:
- deepdream
---

# Dreams from noise: {", ".join(styles)}

A {config.kind} generator ({_parameters(network):,} parameters) that makes pictures of {config.size_px} px like dreams
out of {config.latent} random numbers. Trained for {epochs} epochs on {datasets}.
{asked}
## Use

```sh
dreamgan sample --generator THIS_FOLDER --n 64 --seed 0 --out pictures
```

## Measures ({last_validation(measured_epoch, epochs)})

{_measured(measures)}

## Limits and licence

It makes pictures of this size only. The photos it was trained on have licences of their own. The exact recipes are in
`config.json`.
"""


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _measured(measures: Mapping[str, Any]) -> str:
    if not measures:
        return "No validation was run in this training."
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in measures.items() if name != "features")
    return f"""| measure | value |
|---|---|
{rows}

Kernel distances (KID) in features of {measures["features"]}, averaged over places: of the generated pictures to
held-out dreams (`kid_dreams`) and to held-out photos (`kid_photos`); beside them that between two halves of the dreams
(`kid_halves`) and that between photos and dreams (`kid_between`). `diversity` is the mean distance of two generated
pictures over that of two dreams."""
