"""What the trainings of generators have in common: rates, random state, averages, checkpoints, how a step is taken."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from PIL import Image
from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from dreamgan.data.styles import Style
from dreamgan.dream.shifts import stream
from dreamgan.errors import UserError
from dreamgan.lit.fitting import dreams_of, misfit

# What a learning rate falls to, and begins with, as a share of itself.
_LEAST_RATE = 0.02


class NotFiniteError(UserError):
    """A gradient is not finite, in all processes at once."""


def ema_average(decay: float) -> Any:
    """In-place exponential averaging for ``AveragedModel``, with a short memory at the start.

    The decay after n updates is min(decay, (1 + n) / (10 + n)), so that the random beginning is soon forgotten.
    """

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        n = int(count)
        if not current[0].is_floating_point():  # counters
            torch._foreach_copy_(averaged, current)
            return
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update


class GeneratorTraining(LightningModule):
    """A generator and its average, trained step by step.

    The networks are made by ``prepare_for``, when it is known what is to be learnt. A subclass keeps its
    hyper-parameters with ``save_hyperparameters`` and has ``generator`` and ``ema``.

    Attributes:
        DATA: Data modules that it can be trained on.
        SHAPE: Hyper-parameters that decide the shapes of the networks: a checkpoint fits where these are the same.
        FROZEN: Names of the parts that are no part of a checkpoint.
        styles: The kinds of dream, known once the networks are made.
        measured_epoch: In which the last measures were taken, from 1; 0: there are none, or a checkpoint did not say.
    """

    DATA: ClassVar[tuple[type[LightningDataModule], ...]] = ()
    SHAPE: ClassVar[tuple[str, ...]] = ()
    FROZEN: ClassVar[tuple[str, ...]] = ()

    generator: nn.Module
    ema: AveragedModel

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        # The frozen backbones are not part of a checkpoint, so a checkpoint lacks their keys; on_load_checkpoint sees
        # to the others.
        self.strict_loading = False
        self.styles: tuple[Style, ...] = ()
        self.measured_epoch = 0

    @abstractmethod
    def prepare_for(self, data: Any) -> None:
        """Make the networks for what a data module holds.

        Args:
            data: One of ``DATA``.

        Raises:
            UserError: If the two do not go together.
        """

    @abstractmethod
    def shown(self, rows: int) -> tuple[list[list[Image.Image]], list[str]]:
        """What is to be looked at after a validation.

        Args:
            rows: How many rows of pictures.

        Returns:
            The rows, none where there is nothing to show, and the head of each column.
        """

    @abstractmethod
    def said(self) -> list[str]:
        """What is to be read after a validation, in lines; a collapse among it."""

    @abstractmethod
    def export(self, folder: Path, *, epochs: int, dataset: str) -> None:
        """Export the averaged generator.

        Args:
            folder: Gets ``config.json``, ``model.safetensors`` and ``README.md``.
            epochs: That it was trained for.
            dataset: On what, for the card.
        """

    def check_data(self, data: LightningDataModule) -> None:
        """Refuse a data module that is not of this model.

        Raises:
            UserError: Saying which it needs.
        """
        if not isinstance(data, self.DATA):
            needed = " or ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in self.DATA)
            raise UserError(f"{type(self).__name__} is trained on other data than {type(data).__name__}; use {needed}")

    def setup(self, stage: str) -> None:
        """Read from the dataset what was dreamed, and make the networks."""
        if not self.styles:
            self.prepare_for(self.trainer.datamodule)  # type: ignore[attr-defined]

    def average(self, decay: float) -> None:
        """Begin the average of the generator, which is never trained itself.

        Args:
            decay: Per step, at least 0 and below 1; 0: it is the generator as it stands.
        """
        # With the buffers: the statistics of a batch norm must be those of the averaged weights.
        self.ema = AveragedModel(self.generator, multi_avg_fn=ema_average(decay), use_buffers=True)
        self.ema.requires_grad_(False).eval()

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Everything that was trained; not the frozen backbones."""
        state: dict[str, Any] = super().state_dict(*args, **kwargs)
        return {name: value for name, value in state.items() if name.partition(".")[0] not in self.FROZEN}

    def misfit(self, checkpoint: Mapping[str, Any]) -> str | None:
        """Say why a checkpoint is not one of this model, as the end of a sentence; None where it is.

        Args:
            checkpoint: As Lightning writes it.
        """
        return misfit(checkpoint, self.hparams, self.SHAPE, self.styles, self.state_dict())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the model was trained on, and when it was measured."""
        checkpoint["styles"] = [style.name for style in self.styles]
        checkpoint["dreams"] = dreams_of(self.styles)
        checkpoint["measured_epoch"] = self.measured_epoch

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not fit, and take up when it was measured.

        Raises:
            UserError: Saying why.
        """
        try:
            reason = self.misfit(checkpoint)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            # No run of dreamgan writes such a file.
            reason = f"is damaged ({type(error).__name__}: {error}); give one that dreamgan wrote"
        if reason:
            raise UserError(f"the checkpoint {reason}")
        self.measured_epoch = int(checkpoint.get("measured_epoch") or 0)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Give every step a random state of its own: a resumed run then equals an uninterrupted one.

        A state per epoch would not do: Lightning makes the loader's iterator, which draws from the same stream,
        before or after the epoch's hook, depending on whether the run was resumed. All processes get the same, so
        that they look at their parts of a batch in the same way.
        """
        torch.manual_seed(stream(self.hparams["seed"] or 0, self.current_epoch, batch_idx).initial_seed())

    @property
    def progress(self) -> float:
        """Share of the training that is done, by epochs, 0 to 1."""
        epochs = self.trainer.max_epochs
        return min(1.0, self.current_epoch / epochs) if epochs and epochs > 0 else 0.0

    def rate(self, batch_idx: int) -> float:
        """Share of the learning rates at this step: linear warm-up, then a cosine to 2 %.

        A function of epoch and batch, so that it survives a resume.
        """
        epochs = self.trainer.max_epochs or 1
        done = self.progress + batch_idx / max(1, self.trainer.num_training_batches) / max(1, epochs)
        warmup = self.hparams["warmup"]
        if done < warmup:
            return max(_LEAST_RATE, float(done / warmup))
        falling = 0.5 * (1 + math.cos(math.pi * min(1.0, (done - warmup) / (1 - warmup))))
        return float(_LEAST_RATE + (1 - _LEAST_RATE) * falling)

    def descend(
        self,
        optimizer: LightningOptimizer,
        loss: Tensor,
        network: nn.Module,
        batch_idx: int,
        *,
        clip: float | None = None,
        of: str = "",
    ) -> Tensor:
        """Take one step of one network.

        The gradients are those of all processes together, so that all of them stop at the same step.

        Args:
            optimizer: Of the network.
            loss: ().
            network: Whose gradients are looked at.
            batch_idx: Number of the batch, for the message.
            clip: The gradient is shortened to this norm; None: never.
            of: What the batch is of, for the message.

        Returns:
            The norm of the gradient before that, ().

        Raises:
            NotFiniteError: If the gradient is not finite; the step, which would spoil the weights, is not taken.
        """
        optimizer.zero_grad()
        self.manual_backward(loss)
        if clip is None:
            norm = nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
        else:
            norm = nn.utils.clip_grad_norm_(network.parameters(), clip)
        if not bool(norm.isfinite()):
            raise NotFiniteError(
                f"the gradient is not finite in epoch {self.current_epoch + 1}, batch {batch_idx + 1}{of}; a lower "
                "--model.lr_g may help"
            )
        optimizer.step()
        return norm

    def log_step(self, terms: Mapping[str, Tensor], loss: Tensor, pictures: int) -> None:
        """Log the terms of a step under their names, and the generator's loss.

        Args:
            terms: Name to (), with or without a graph.
            loss: Of the generator, ().
            pictures: In the batch.
        """
        options: dict[str, Any] = {"on_step": False, "on_epoch": True, "sync_dist": True, "batch_size": pictures}
        self.log_dict({name: value.detach() for name, value in terms.items()}, **options)
        self.log("train/loss_g", loss.detach(), prog_bar=True, **options)


class Gan(GeneratorTraining):
    """A generator, its average and a discriminator, trained on a dream dataset, which says what was dreamed."""

    discriminator: nn.Module

    def both_optimizers(self) -> list[LightningOptimizer]:
        """The generator's optimiser and the discriminator's."""
        both = self.optimizers()
        if not isinstance(both, list):
            raise RuntimeError("there must be two optimisers")
        return both
