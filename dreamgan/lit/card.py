"""The model card of a generator that a training exports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

_SHOWN = (
    "n",
    "agreement",
    "floor_cosine",
    "feature_cosine",
    "ceiling_cosine",
    "wrong_photo_cosine",
    "robust_gain",
    "dream_gain",
    "universal_share",
    "dream_universal_share",
)


def model_card(styles: Mapping[str, Mapping[str, Any]], dataset: str, network: nn.Module) -> str:
    """Write the card, Markdown.

    Args:
        styles: Name to facts with "epochs", "measured_epoch" and "measures"; at least one.
        dataset: What it was trained on, commas between.
        network: The generator.
    """
    first = next(iter(styles.values()))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    datasets = ", ".join(f"`{Path(name.strip()).name}`" for name in dataset.split(","))
    table = "\n".join(
        f"| {name} | {facts['backbone']} | {', '.join(facts['layers'])} | "
        f"{', '.join(f'{strength:g}' for strength in facts['strengths'])} |"
        for name, facts in styles.items()
    )
    return f"""---
library_name: dreamgan
pipeline_tag: image-to-image
tags:
- deepdream
---

# One-pass dreams: {", ".join(styles)}

An image-to-image generator ({parameters:,} parameters) that replicates dreams in one pass. Trained for
{first["epochs"]} epochs on {datasets} at {first["size_px"]} px.

| style | backbone | layers | strengths |
|---|---|---|---|
{table}

## Use

```sh
dreamgan sample PHOTO_OR_FOLDER --generator THIS_FOLDER --style {next(iter(styles))} --out dreams
```

## Measures on held-out photos ({last_validation(first["measured_epoch"], first["epochs"])})

{_measures(styles)}

## Limits and licence

It knows these styles only. The photos it was trained on and the weights of the backbones have licences of their own.
The exact recipes are in `config.json`.
"""


def last_validation(epoch: int, epochs: int) -> str:
    """Say when the last measures were taken.

    Args:
        epoch: In which, from 1; 0 where that is not known.
        epochs: Of the whole training.
    """
    return f"last validation, in epoch {epoch} of {epochs}" if epoch else "last validation"


def _measures(styles: Mapping[str, Mapping[str, Any]]) -> str:
    measured = {name: facts["measures"] for name, facts in styles.items() if facts["measures"]}
    if not measured:
        return "No validation was run in this training."
    rows = "\n".join(
        f"| {key} | " + " | ".join(f"{each[key]:.4g}" if key in each else "-" for each in measured.values()) + " |"
        for key in _SHOWN
    )
    return f"""| measure | {" | ".join(measured)} |
|---|{"---|" * len(measured)}
{rows}

`agreement` is 0 for the untouched photo and 1 for a second direct dream of the same photo; the cosines are of the
backbone's features against the direct dream: `floor_cosine` of the photo, `feature_cosine` of the generator,
`ceiling_cosine` of a second dream."""
