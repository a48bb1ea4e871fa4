"""Callbacks of the trainings: pictures to look at, and the exported generator."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.trainer.states import TrainerFn

from dreamgan.images import save_png, sheet
from dreamgan.lit.gan import GeneratorTraining
from dreamgan.sampling import CONFIG_NAME

EVERY_S = 60  # between two lines of a log without a terminal


class PictureGrid(Callback):
    """Saves and logs a grid of pictures at every validation of a training: what the model has to show.

    Args:
        folder: Gets ``epoch-0007.png``.
        rows: Of the grid.
    """

    def __init__(self, folder: str, rows: int = 8) -> None:
        self.folder, self.rows = Path(folder), rows

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the grid, save it and log it; the module still has what it was validated on."""
        if not isinstance(pl_module, GeneratorTraining) or not _of_a_training(trainer) or not trainer.is_global_zero:
            return
        rows, heads = pl_module.shown(self.rows)
        if not rows:
            return
        picture = sheet(rows, heads)
        save_png(picture, self.folder / f"epoch-{trainer.current_epoch:04d}.png")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("val/grid", [picture])


class ValidationLine(Callback):
    """Prints some lines per validation, so that a log without a terminal shows how it goes; warns of a collapse."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print epoch and measures."""
        if not isinstance(pl_module, GeneratorTraining) or trainer.sanity_checking or not trainer.is_global_zero:
            return
        # The epoch of a checkpoint that is only validated is not known here.
        epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}" if _of_a_training(trainer) else "validation"
        for line in pl_module.said():
            print(f"{epoch}: {line}", flush=True)


class ProgressLine(Callback):
    """Prints a line every `EVERY_S` seconds, from the first process, where there is no terminal for Lightning's bar."""

    def __init__(self) -> None:
        self._last = math.inf

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._last = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Print epoch and batch, when it is time."""
        if not trainer.is_global_zero or sys.stdout.isatty() or time.monotonic() - self._last < EVERY_S:
            return
        self._last = time.monotonic()
        done = f"batch {batch_idx + 1} of {trainer.num_training_batches}"
        print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {done}", flush=True)


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
        if not isinstance(pl_module, GeneratorTraining) or not trainer.is_global_zero:
            return
        dataset = str(trainer.datamodule.dataset)  # type: ignore[attr-defined]
        pl_module.export(self.folder, epochs=trainer.current_epoch, dataset=dataset)
        print(f"generator exported to {self.folder}")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                log_generator(logger.experiment, self.folder)


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


def _of_a_training(trainer: Trainer) -> bool:
    """Whether this validation is one of a training: not its sanity check, and no validation on its own."""
    return trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
