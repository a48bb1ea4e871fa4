"""The model card of a generator that paints in one style."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from dreamgan.lit.card import last_validation


def style_card(name: str, facts: Mapping[str, Any], dataset: str, network: nn.Module) -> str:
    """Write the card, Markdown.

    Args:
        name: Of the style.
        facts: As ``Style.facts``, with "epochs", "measured_epoch" and "measures".
        dataset: The photos that it was trained on, commas between.
        network: The generator.
    """
    parameters = sum(parameter.numel() for parameter in network.parameters())
    photos = ", ".join(f"`{Path(part.strip()).name}`" for part in dataset.split(","))
    return f"""---
library_name: dreamgan
pipeline_tag: image-to-image
tags:
- style-transfer
---

# One-pass style: {name}

An image-to-image generator ({parameters:,} parameters) that paints photos in the style of one picture, in one pass.
Trained for {facts["epochs"]} epochs on {photos} at {facts["size_px"]} px with the losses of Gatys et al. in
{facts["backbone"]} ({", ".join(facts["layers"])}), as in Johnson et al. 2016.

## Use

```sh
dreamgan sample PHOTO_OR_FOLDER --generator THIS_FOLDER --out painted
```

## Losses on held-out photos ({last_validation(facts["measured_epoch"], facts["epochs"])})

{_measures(facts["measures"])}

## Limits and licence

It knows this style only. The style picture, the photos it was trained on and the weights of the backbones have licences
of their own. Layers and weights of the losses are in `config.json`.
"""


def _measures(measures: Mapping[str, float]) -> str:
    if not measures:
        return "No validation was run in this training."
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in measures.items())
    return f"""| loss, with its weight | mean |
|---|---|
{rows}

`photo_style` is the style loss of the untouched photos; their content loss is 0."""
