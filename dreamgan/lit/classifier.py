"""Fine-tuning of a classification network: a new linear head, and as much of the network as is unfrozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_lightning import LightningDataModule, LightningModule
from torch import Tensor, nn

from dreamgan.classifying.accuracy import confusion
from dreamgan.classifying.cache import cached_features
from dreamgan.classifying.network import Parts, load_parts
from dreamgan.errors import UserError
from dreamgan.lit.gan import NotFiniteError
from dreamgan.lit.labelled_photos import LabelledPhotos

_SAME = ("backbone", "layers", "unfreeze")
_LEAST_STD = 1e-3
_TOLD = {"weights": "weights of the backbone", "photos": "training photos", "size_px": "--data.size_px"}


class FineTuning(LightningModule):
    """A backbone of the registry, a linear head over its pooled layers, and gradual unfreezing.

    The part that is never trained runs once per photo and view; what it says is kept in files (`LabelledPhotos`).
    Batch norms keep their statistics, since batches are small and the frozen part could not follow.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: str = "mobilenet_v2",
        weights: str | None = None,
        layers: list[str] | None = None,
        unfreeze: list[str] | None = None,
        unfreeze_every: int = 2,
        lr_head: float = 1e-4,
        lr_backbone: float = 1e-4,
        weight_decay: float = 0.05,
        label_smoothing: float = 0.1,
    ) -> None:
        """Name the network; it is loaded by `prepare_for`, when the classes are known.

        Args:
            backbone: vgg16, vgg19, resnet50, inception_v3, googlenet, googlenet_bvlc, mobilenet_v2 or squeezenet1_1.
            weights: file to begin with (.safetensors or .pth); random: none. Default: torchvision's own.
            layers: the means of these layers' maps are the input of the head. Default: the end of the features.
            unfreeze: layers after which everything is trained, the deepest first, like [features.16, features.14].
                Default: only the head is trained.
            unfreeze_every: epochs until the first of them is unfrozen, and from each to the next.
            lr_head: learning rate of the head (AdamW; it falls along a cosine to 0).
            lr_backbone: the same of what is unfrozen.
            weight_decay: of AdamW.
            label_smoothing: share of a label that is spread over all classes, in [0, 1).

        Raises:
            UserError: a number out of range.
        """
        super().__init__()
        checks = {
            f"label_smoothing is {label_smoothing}; it must be at least 0 and below 1": 0 <= label_smoothing < 1,
            f"unfreeze_every is {unfreeze_every}; it must be at least 1": unfreeze_every >= 1,
            f"the learning rates are {lr_head} and {lr_backbone}; they must be above 0 and finite": (
                min(lr_head, lr_backbone) > 0 and max(lr_head, lr_backbone) < math.inf
            ),
            f"weight_decay is {weight_decay}; it must be at least 0": weight_decay >= 0,
        }
        for said, holds in checks.items():
            if not holds:
                raise UserError(said)
        self.save_hyperparameters()
        self.parts: Parts | None = None
        self.classes: tuple[str, ...] = ()
        self.learnt_from: dict[str, object] = {}
        self.confusion = torch.zeros(0, 0, dtype=torch.int64)
        self.seconds_features = 0.0
        self._guesses: list[tuple[Tensor, Tensor]] = []

    def check_data(self, data: LightningDataModule) -> None:
        """Refuse a data module that is not of this model.

        Raises:
            UserError: Saying which it needs.
        """
        if not isinstance(data, LabelledPhotos):
            raise UserError(
                f"FineTuning is trained on other data than {type(data).__name__}; use "
                "dreamgan.lit.labelled_photos.LabelledPhotos"
            )

    def prepare_for(self, data: LabelledPhotos, device: torch.device, *, bf16: bool = False) -> None:
        """Load the network, look at all photos through its frozen part, and make the head.

        Args:
            data: after its `setup`.
            device: where the frozen part runs.
            bf16: that it runs in mixed bfloat16, as the training does; its answers are kept apart from others.

        Raises:
            UserError: The network cannot be had as asked, photos are too small for it, or its answers are not finite.
        """
        if self.parts is not None:
            return
        given = self.hparams
        parts = load_parts(
            given["backbone"],
            weights=given["weights"],
            layers=given["layers"] or (),
            unfreeze=given["unfreeze"] or (),
            device=device,
            bf16=bf16,
        )
        sets = {"train": data.found.train, "val": data.found.val}

        def answers(split: str, view: int) -> Tensor:
            found, seconds = cached_features(
                parts.answer,
                parts.facts,
                sets[split],
                size_px=data.size_px,
                view=view,
                seed=data.seed,
                folder=data.folder,
            )
            self.seconds_features += seconds
            return found

        data.look(answers)
        self.parts, self.classes, self.tail = parts, data.found.classes, parts.tail
        with torch.no_grad():
            plain = torch.cat([parts.pooled(some) for some in torch.split(data.seen("train").answers[0], 32)])
        if not bool(plain.isfinite().all()):
            raise UserError(
                f"what {given['backbone']} with these weights says of the photos is not finite; give others"
            )
        self.learnt_from = {
            "weights": parts.found.sha256,
            "photos": data.found.train.photo_set.list_sha256(data.found.train.photos),
            "size_px": data.size_px,
        }
        # Standardised: maps differ in size a hundredfold, and one learning rate has to do for all. Exported, the head
        # takes the pooled layers as they are.
        self.register_buffer("mean", plain.mean(0))
        self.register_buffer("std", plain.std(0).clamp_min(_LEAST_STD))
        self.head = nn.Linear(plain.shape[1], len(self.classes))
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def misfit(self, checkpoint: Mapping[str, Any]) -> str | None:
        """Say why a checkpoint is not one of this model, as the end of a sentence; None where it is.

        Args:
            checkpoint: As Lightning writes it.
        """
        theirs = checkpoint.get("hyper_parameters", {})
        for name in _SAME:
            if name in theirs and theirs[name] != self.hparams[name]:
                return (
                    f"was trained with {name} {theirs[name]}, this model has {self.hparams[name]}; give the same "
                    f"--model.{name}"
                )
        learnt = tuple(checkpoint.get("classes", self.classes))
        if learnt != self.classes:
            return f"knows the classes {', '.join(learnt)}, the photos show {', '.join(self.classes)}"
        for name, value in self.learnt_from.items():
            if checkpoint.get("learnt_from", self.learnt_from).get(name) != value:
                return f"was trained with other {_TOLD[name]}; give the same, or train anew in another --run_dir"
        found, own = checkpoint["state_dict"], self.state_dict()
        if found.keys() != own.keys() or any(found[key].shape != own[key].shape for key in own):
            return "is not of this model"
        return None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the classes, and what they were learnt from, with the weights."""
        checkpoint["classes"] = list(self.classes)
        checkpoint["learnt_from"] = self.learnt_from

    def forward(self, answers: Tensor) -> Tensor:
        """From answers of the frozen part to logits, (B, classes)."""
        parts = self.loaded
        logits: Tensor = self.head((parts.pooled(answers) - self.mean) / self.std)
        return logits

    def exported_head(self) -> tuple[Tensor, Tensor]:
        """Weight (classes, D) and bias (classes,) of the head for pooled layers that are not standardised."""
        weight = self.head.weight.detach() / self.std
        return weight, self.head.bias.detach() - weight @ self.mean

    def export(self, path: Path) -> None:
        """Write backbone, head and names of the classes as a file for `--weights`.

        Args:
            path: A `.safetensors` file.
        """
        self.loaded.save(path, *self.exported_head(), self.classes)

    def unfrozen(self, epoch: int) -> int:
        """How many steps of unfreezing are done in an epoch (counted from 0)."""
        return min(epoch // int(self.hparams["unfreeze_every"]), len(self.loaded.stages))

    def on_train_epoch_start(self) -> None:
        """Unfreeze what is due."""
        if self.tail is not None:
            self.tail.eval()
            due = frozenset[str]().union(*self.loaded.stages[: self.unfrozen(self.current_epoch)])
            for name, parameter in self.tail.named_parameters():
                parameter.requires_grad_(name in due)

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Cross-entropy with smoothed labels."""
        answers, targets = batch
        logits = self(answers)
        loss = F.cross_entropy(logits, targets, label_smoothing=self.hparams["label_smoothing"])
        if not bool(loss.detach().isfinite()):
            raise NotFiniteError(f"the loss of epoch {self.current_epoch + 1} is not finite; lower --model.lr_head")
        right = (logits.argmax(1) == targets).float().mean()
        values = {"train/loss": loss.detach(), "train/accuracy": right}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(targets))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Plain cross-entropy, and what is taken for what."""
        answers, targets = batch
        logits = self(answers)
        if not bool(logits.isfinite().all()):
            raise NotFiniteError(
                f"the logits of epoch {self.current_epoch + 1} are not finite; lower the learning rates"
            )
        right = (logits.argmax(1) == targets).float().mean()
        values = {"val/loss": F.cross_entropy(logits, targets), "val/accuracy": right}
        self.log_dict(values, batch_size=len(targets), on_epoch=True)
        self._guesses.append((targets.cpu(), logits.argmax(1).cpu()))

    def on_validation_epoch_end(self) -> None:
        """Count the confusions."""
        targets, guesses = (torch.cat(each) for each in zip(*self._guesses, strict=True))
        self.confusion = confusion(targets, guesses, len(self.classes))
        self._guesses.clear()

    def configure_optimizers(self) -> Any:
        """AdamW on head and tail, both rates on one cosine to 0.

        What is still frozen has no gradient, and AdamW leaves it alone.
        """
        groups = [{"params": list(self.head.parameters()), "lr": self.hparams["lr_head"]}]
        if self.tail is not None:
            groups.append({"params": list(self.tail.parameters()), "lr": self.hparams["lr_backbone"]})
        optimizer = torch.optim.AdamW(groups, weight_decay=self.hparams["weight_decay"])
        epochs = max(1, self.trainer.max_epochs or 1)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda epoch: 0.5 * (1 + math.cos(math.pi * min(epoch, epochs) / epochs))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "epoch"}}

    @property
    def loaded(self) -> Parts:
        """The network, after `prepare_for`."""
        if self.parts is None:
            raise RuntimeError("call prepare_for() first")
        return self.parts
