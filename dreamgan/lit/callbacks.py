"""Callbacks of the trainings: pictures to look at, and the exported generator."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor

from dreamgan.images import save_png, sheet, to_picture
from dreamgan.lit.card import model_card
from dreamgan.lit.pix2pix import Pix2Pix
from dreamgan.networks.translator import Translator
from dreamgan.sampling import CONFIG_NAME, save_generator


class PictureGrid(Callback):
    """Saves and logs a grid photo | direct dream | one pass, style beside style, at every validation of a training.

    Args:
        folder: Gets ``epoch-0007.png``.
        rows: Pairs shown of each style, spread over its validation pairs.
    """

    def __init__(self, folder: str, rows: int = 8) -> None:
        self.folder, self.rows = Path(folder), rows
        self._shown: dict[int, list[dict[str, Tensor]]] = {}

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: dict[str, Tensor], *args: Any
    ) -> None:
        """Keep the pairs until the validation is over."""
        if _of_a_training(trainer) and trainer.is_global_zero:
            kept = {name: batch[name] for name in ("photo", "dream", "style", "strength")}
            self._shown.setdefault(int(batch["style"][0]), []).append(kept)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the grid, save it and log it."""
        shown, self._shown = self._shown, {}
        blocks = [self._block(pl_module, parts) for parts in shown.values()]
        rows = [[picture for part in parts for picture in part] for parts in zip(*blocks, strict=False)]
        if not rows:
            return
        names = [pl_module.styles[number].name for number in shown] if isinstance(pl_module, Pix2Pix) else []
        heads = [head for name in names for head in ("photo", f"direct dream: {name}", "one pass")]
        picture = sheet(rows, heads)
        save_png(picture, self.folder / f"epoch-{trainer.current_epoch:04d}.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("val/grid", [picture])

    def _block(self, module: LightningModule, parts: list[dict[str, Tensor]]) -> list[list[Image.Image]]:
        """Rows of three pictures, of one style."""
        sets = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        count = min(self.rows, len(sets["photo"]))
        spread = [row * len(sets["photo"]) // count for row in range(count)]
        sets = {name: values[spread] for name, values in sets.items()}
        columns = [sets["photo"], sets["dream"], _one_pass(module, sets)]
        return [[to_picture(image) for image in row] for row in zip(*columns, strict=True)]


class ValidationLine(Callback):
    """Prints some lines per validation, so that a log without a terminal shows how it goes; warns of a collapse."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print epoch and measures."""
        if not isinstance(pl_module, Pix2Pix) or trainer.sanity_checking or not trainer.is_global_zero:
            return
        # The epoch of a checkpoint that is only validated is not known here.
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}" if _of_a_training(trainer) else "validation"
        for style, measures in pl_module.measures.items():
            print(
                f"{epoch}: {style}: agreement {measures.agreement:.3f}, "
                f"feature cosine {measures.feature_cosine:.3f} (photo {measures.floor_cosine:.3f}, second dream "
                f"{measures.ceiling_cosine:.3f}), dream gain {measures.dream_gain:.2f}",
                flush=True,
            )
        for style, share in pl_module.collapsed().items():
            print(
                f"{epoch}: {style}: COLLAPSE? universal share {pl_module.measures[style].universal_share:.3f}, "
                f"{share:.1f} times the dreams' own: much the same is painted on every picture; look at the grid",
                flush=True,
            )


class ExportGenerator(Callback):
    """Exports the EMA generator at the end of training: safetensors, JSON config and model card.

    With W&B it becomes an artifact of the run too.

    Args:
        folder: Of the export.
    """

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the export."""
        if not isinstance(pl_module, Pix2Pix) or not trainer.is_global_zero:
            return
        dataset = str(trainer.datamodule.dataset)  # type: ignore[attr-defined]
        export(pl_module, self.folder, epochs=trainer.current_epoch, dataset=dataset)
        print(f"generator exported to {self.folder}")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                log_generator(logger.experiment, self.folder)


def export(module: Pix2Pix, folder: Path, *, epochs: int, dataset: str) -> None:
    """Export the EMA generator of a training.

    Args:
        module: Prepared.
        folder: Of the export.
        epochs: That it was trained for.
        dataset: On what, for the card.
    """
    styles = {}
    for style in module.styles:
        measures = dataclasses.asdict(module.measures[style.name]) if style.name in module.measures else {}
        # JSON has no NaN and no infinity; a measure that could not be taken is left out.
        measures = {name: value for name, value in measures.items() if math.isfinite(value)}
        styles[style.name] = {**style.facts, "epochs": epochs, "measures": measures}
    network: Translator = module.ema.module  # type: ignore[assignment]
    save_generator(folder, network, styles, model_card(styles, dataset, network))


def log_generator(run: Any, folder: Path) -> None:
    """Log an exported generator to a W&B run as an artifact of the type ``model``.

    Args:
        run: The run, or what a disabled W&B gives for one.
        folder: Of the export.
    """
    import wandb

    try:
        artifact = wandb.Artifact("generator", type="model", metadata=json.loads((folder / CONFIG_NAME).read_text()))
        artifact.add_dir(str(folder))
        run.log_artifact(artifact)
    except Exception as error:  # noqa: BLE001 - its own errors and network errors share no class; the export is there
        said = " ".join(str(error).split()) or type(error).__name__
        print(f"W&B did not take the generator ({said}); it is in {folder} all the same", file=sys.stderr)


def _one_pass(module: LightningModule, sets: Mapping[str, Tensor]) -> Tensor:
    styles, strength = module.known(sets, sets["photo"])  # type: ignore[operator]
    dreams: Tensor = module(sets["photo"], styles, strength)
    return dreams.float()


def _of_a_training(trainer: Trainer) -> bool:
    """Whether this validation is one of a training: not its sanity check, and no validation on its own."""
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
