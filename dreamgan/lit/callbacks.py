"""Callbacks of the trainings: pictures to look at, and the exported generator."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from dreamgan.images import save_png, sheet, to_picture
from dreamgan.lit.pix2pix import Pix2Pix
from dreamgan.networks.translator import Translator
from dreamgan.sampling import save_generator


class PictureGrid(Callback):
    """Saves and logs a grid photo | direct dream | one pass at every validation of a training.

    Args:
        folder: Gets ``epoch-0007.png``.
        rows: Pairs shown, spread over the validation set.
    """

    def __init__(self, folder: str, rows: int = 8) -> None:
        self.folder, self.rows = Path(folder), rows
        self._shown: list[dict[str, Tensor]] = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: dict[str, Tensor], *args: Any
    ) -> None:
        """Keep the pairs until the validation is over."""
        if _of_a_training(trainer):
            self._shown.append({name: batch[name] for name in ("photo", "dream")})

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the grid, save it and log it."""
        if not self._shown:
            return
        sets = {name: torch.cat([part[name] for part in self._shown]) for name in ("photo", "dream")}
        self._shown.clear()
        count = min(self.rows, len(sets["photo"]))
        spread = [row * len(sets["photo"]) // count for row in range(count)]
        sets = {name: pictures[spread] for name, pictures in sets.items()}
        columns = [sets["photo"], sets["dream"], pl_module(sets["photo"])]
        rows = [[to_picture(image) for image in row] for row in zip(*columns, strict=True)]
        picture = sheet(rows, ["photo", "direct dream", "one pass"])
        save_png(picture, self.folder / f"epoch-{trainer.current_epoch:04d}.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("val/grid", [picture])


class ValidationLine(Callback):
    """Prints one line per validation, so that a log without a terminal shows how it goes."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print epoch and measures."""
        measures = pl_module.measures if isinstance(pl_module, Pix2Pix) else None
        if measures is None or trainer.sanity_checking:
            return
        # The epoch of a checkpoint that is only validated is not known here.
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}" if _of_a_training(trainer) else "validation"
        print(
            f"{epoch}: agreement {measures.agreement:.3f}, "
            f"feature cosine {measures.feature_cosine:.3f} (photo {measures.floor_cosine:.3f}, second dream "
            f"{measures.ceiling_cosine:.3f}), dream gain {measures.dream_gain:.2f}",
            flush=True,
        )


class ExportGenerator(Callback):
    """Exports the EMA generator at the end of training: safetensors, JSON config and model card.

    Args:
        folder: Of the export.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the export."""
        if not isinstance(pl_module, Pix2Pix):
            return
        measures = {} if pl_module.measures is None else dataclasses.asdict(pl_module.measures)
        # JSON has no NaN and no infinity; a measure that could not be taken is left out.
        measures = {name: value for name, value in measures.items() if math.isfinite(value)}
        facts = {**pl_module.dream_facts, "epochs": trainer.current_epoch, "measures": measures}
        dataset = str(trainer.datamodule.dataset)  # type: ignore[attr-defined]
        network: Translator = pl_module.ema.module  # type: ignore[assignment]
        save_generator(self.folder, network, facts, _card(facts, measures, dataset, _count(network)))
        print(f"generator exported to {self.folder}")


def _of_a_training(trainer: Trainer) -> bool:
    """Whether this validation is one of a training: not its sanity check, and no validation on its own."""
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking


def _count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _card(facts: Mapping[str, Any], measures: Mapping[str, float], dataset: str, parameters: int) -> str:
    """Model card of an exported generator."""
    figures = "\n".join(f"| {name} | {value:.4g} |" for name, value in measures.items())
    measured = f"""| measure | value |
|---|---|
{figures}

`agreement` is 0 for the untouched photo and 1 for a second direct dream of the same photo; the cosines are of the
backbone's features against the direct dream: `floor_cosine` of the photo, `feature_cosine` of the generator,
`ceiling_cosine` of a second dream."""
    return f"""---
library_name: dreamgan
pipeline_tag: image-to-image
tags:
- deepdream
---

# One-pass dreams: {facts["recipe"]} of {facts["backbone"]}

An image-to-image generator ({parameters:,} parameters) that replicates the dreams of recipe `{facts["recipe"]}` with
{facts["backbone"]}, layers {", ".join(facts["layers"])}, in one pass. Trained for {facts["epochs"]} epochs on
`{Path(dataset).name}` at {facts["size_px"]} px.

## Use

```sh
dreamgan sample PHOTO_OR_FOLDER --generator THIS_FOLDER --out dreams
```

## Measures on held-out photos (last validation)

{measured if measures else "No validation was run in this training."}

## Limits and licence

It knows one recipe at one strength. The photos it was trained on and the weights of {facts["backbone"]} have licences
of their own. The exact recipe is in `config.json`.
"""
