"""What a fine-tuning leaves behind: curves, confusion, results and the backbone as a file."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.loggers import WandbLogger

from dreamgan.classifying.accuracy import accuracy_facts
from dreamgan.classifying.charts import confusion_chart, curves, side_by_side
from dreamgan.files import write_text
from dreamgan.images import save_png
from dreamgan.lit.classifier import FineTuning

_MEASURES = ("accuracy", "loss")


class ClassifierReport(Callback):
    """Writes `curves.png`, `confusion.png`, `results.json` and `backbone.safetensors` of a fine-tuning.

    The last two are of the last epoch: the epoch is not chosen by the photos that it is measured on.

    Args:
        folder: Gets them.
        command: That was given, for the results.
    """

    def __init__(self, folder: str, command: str) -> None:
        self.folder, self.command = Path(folder), command
        self.history: list[dict[str, float]] = []
        self._began = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The curves so far, for the checkpoint."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the curves of a checkpoint."""
        self.history = list(state_dict["history"])

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the measures of the epoch, print them and draw the curves."""
        if not isinstance(pl_module, FineTuning):
            return
        values = {
            name: float(trainer.callback_metrics[name])
            for name in (f"{split}/{measure}" for split in ("train", "val") for measure in _MEASURES)
            if name in trainer.callback_metrics
        }
        seconds = time.perf_counter() - self._began
        self.history.append({"epoch": float(trainer.current_epoch + 1), "seconds": seconds, **values})
        said = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}: {said}  ({seconds:.1f} s)", flush=True)
        save_png(self._curves(), self.folder / "curves.png")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is known at the end."""
        if not isinstance(pl_module, FineTuning) or not self.history or not pl_module.confusion.numel():
            return
        facts = self.facts(pl_module, trainer.datamodule.size_px)  # type: ignore[attr-defined]
        chart = confusion_chart(facts["confusion"], pl_module.classes)
        save_png(chart, self.folder / "confusion.png")
        pl_module.export(self.folder / "backbone.safetensors")
        write_text(self.folder / "results.json", json.dumps(facts, indent=1) + "\n")
        print(_table(facts))
        print(f"curves, confusion, results and backbone.safetensors in {self.folder}")
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                logger.log_image("val/confusion", [chart])
                logger.log_image("curves", [self._curves()])

    def facts(self, model: FineTuning, size_px: int) -> dict[str, Any]:
        """What `results.json` holds."""
        parts = model.loaded
        trained = 0
        if parts.tail is not None:
            due = frozenset[str]().union(*parts.stages[: model.unfrozen(int(self.history[-1]["epoch"]) - 1)])
            trained = sum(value.numel() for name, value in parts.tail.named_parameters() if name in due)
        head = sum(value.numel() for value in model.head.parameters())
        data: Any = model.trainer.datamodule  # type: ignore[attr-defined]
        return {
            **accuracy_facts(model.confusion, model.classes),
            "classes": list(model.classes),
            "backbone": parts.spec.name,
            "weights": parts.found.name,
            "weights_sha256": parts.found.sha256,
            "random_weights": parts.found.state is None,
            "layers": list(parts.layers),
            "unfreeze": list(model.hparams["unfreeze"] or ()),
            "size_px": size_px,
            "views": data.views,
            "photos_sha256": data.found.sha256(),
            "train_photos": len(data.found.train),
            "val_photos_also_in_train": data.found.copies,
            "epochs": int(self.history[-1]["epoch"]),
            "seconds_per_epoch": statistics.median(row["seconds"] for row in self.history),
            "seconds_features": model.seconds_features,
            "parameters": parts.parameters() + head,
            "parameters_trained": trained + head,
            "multiply_adds": parts.multiply_adds(size_px) + model.head.weight.numel(),
            "command": self.command,
            "history": self.history,
        }

    def _curves(self) -> Image.Image:
        charts = []
        for measure in _MEASURES:
            series = {
                said: [(row["epoch"], row[f"{split}/{measure}"]) for row in self.history if f"{split}/{measure}" in row]
                for split, said in (("train", "training"), ("val", "validation"))
            }
            charts.append(curves(series, measure))
        return side_by_side(charts)


def _table(facts: dict[str, Any]) -> str:
    rows = [("all", facts), *facts["per_class"].items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        f"{name:<{width}}  {each['accuracy']:.4f}  [{each['interval_95'][0]:.4f}, {each['interval_95'][1]:.4f}]  "
        f"{each['errors']} errors of {each['n']}"
        for name, each in rows
    )
