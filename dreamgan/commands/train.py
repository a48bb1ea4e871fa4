"""`dreamgan train`: Lightning's command line over the modules of dreamgan."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, WandbLogger

from dreamgan.commands.quiet import quiet_lightning
from dreamgan.data.datamodule import DreamPairs
from dreamgan.errors import UserError
from dreamgan.lit.callbacks import ExportGenerator, PictureGrid, ValidationLine

# Classes that a config may name. A config from elsewhere must not choose what code is imported.
_TRUSTED = ("dreamgan.", "pytorch_lightning.", "lightning.pytorch.", "torch.optim.")
_CLASS_KEYS = {"class_path", "model", "data", "callbacks", "logger", "strategy", "profiler", "plugins"}


class DreamganCLI(LightningCLI):
    """LightningCLI with one folder per run: checkpoints, logs, grids and the exported generator."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what belongs to the run rather than to model, data or trainer."""
        parser.add_argument("--run_dir", type=str, default="runs/pix2pix", help="Folder of everything this run writes.")
        parser.add_argument("--wandb_project", type=str, default="dreamgan", help="Project in Weights & Biases.")
        parser.add_argument("--grid_rows", type=int, default=8, help="Pairs in the picture grid of a validation.")

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Give the trainer the run's folder, loggers and callbacks, unless the config brings loggers."""
        run_dir = Path(self._get(self.config_init, "run_dir"))
        kwargs.setdefault("default_root_dir", str(run_dir))
        if self._get(self.config_init, "trainer").logger in (None, True):
            # CSV first: the second logger's config would stop a second run.
            project = self._get(self.config_init, "wandb_project")
            prepare_wandb()
            kwargs["logger"] = [CSVLogger(run_dir, name="csv"), WandbLogger(project=project, save_dir=run_dir)]
        config = self._get(self.config_init, "trainer")
        callbacks = config.callbacks or []
        callbacks = list(callbacks) if isinstance(callbacks, list) else [callbacks]
        if not any(isinstance(callback, ModelCheckpoint) for callback in callbacks):
            # Lightning's own default would put checkpoints into the logger's versioned folder, where
            # `--ckpt_path last` does not find them, and save at validations only.
            callbacks.append(
                ModelCheckpoint(
                    run_dir / "checkpoints", "last", save_on_train_epoch_end=True, enable_version_counter=False
                )
            )
        callbacks += [
            ValidationLine(),
            PictureGrid(str(run_dir / "grids"), rows=self._get(self.config_init, "grid_rows")),
            ExportGenerator(str(run_dir / "generator")),
        ]
        kwargs["callbacks"] = callbacks
        return super().instantiate_trainer(**kwargs)

    def before_fit(self) -> None:
        """Check the dataset, and resolve ``--ckpt_path last``: without a checkpoint it is an error."""
        config = self.config_init["fit"]
        run_dir = Path(config["run_dir"])
        # What can be wrong with the dataset shows before anything is written.
        if isinstance(self.datamodule, DreamPairs):
            self.datamodule.setup("fit")
        run_dir.mkdir(parents=True, exist_ok=True)
        if config.get("ckpt_path") == "last":
            path = run_dir / "checkpoints" / "last.ckpt"
            check_checkpoint(path)
            config["ckpt_path"] = str(path)


def check_checkpoint(path: Path) -> None:
    """Refuse a file that is not a checkpoint of ours.

    Raises:
        UserError: If the file is missing, cannot be read safely or lacks what a resume needs.
    """
    import torch

    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}; leave --ckpt_path out to start afresh")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # noqa: BLE001 - torch raises many kinds for a file that is no checkpoint
        raise UserError(f"{path} is no checkpoint that can be read safely ({type(error).__name__})") from None
    missing = {"state_dict", "optimizer_states", "epoch"} - set(content if isinstance(content, dict) else ())
    if missing:
        raise UserError(f"{path} is no training checkpoint: it lacks {', '.join(sorted(missing))}")


def check_configs(args: Sequence[str]) -> None:
    """Refuse config files that are missing, are not YAML or name classes outside dreamgan, Lightning and torch.

    Raises:
        UserError: In one line, naming the file.
    """
    import yaml

    for option, value in _configs(args):
        path = Path(value)
        if not path.is_file():
            raise UserError(f"there is no config file {value!r} ({option})")
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{value} is not YAML: {' '.join(str(error).split())[:160]}") from None
        if not isinstance(content, dict):
            raise UserError(f"{value} holds no settings; see configs/pix2pix.yaml for an example")
        for name in _class_paths(content):
            if not name.startswith(_TRUSTED):
                raise UserError(f"{value} names the class {name!r}; configs may name {', '.join(_TRUSTED)} only")


def check_ckpt_path(args: Sequence[str]) -> None:
    """Refuse a ``--ckpt_path FILE`` that is no checkpoint, before Lightning looks into it.

    Raises:
        UserError: As ``check_checkpoint``.
    """
    for i, arg in enumerate(args):
        option, equals, value = arg.partition("=")
        if option == "--ckpt_path":
            value = value if equals else args[i + 1] if i + 1 < len(args) else ""
            if value not in ("last", "best", "null", ""):
                check_checkpoint(Path(value))


def _configs(args: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for i, arg in enumerate(args):
        option, equals, value = arg.partition("=")
        if option in ("--config", "-c", "--data", "--model", "--trainer"):
            value = value if equals else args[i + 1] if i + 1 < len(args) else ""
            if option in ("--config", "-c") or value.endswith((".yaml", ".yml", ".json")):
                found.append((option, value))
    return found


def _class_paths(content: Any, key: str = "") -> list[str]:
    """Dotted names wherever jsonargparse would import one; a name without a dot is one that Lightning registers."""
    if isinstance(content, dict):
        return [name for inner, value in content.items() for name in _class_paths(value, str(inner))]
    if isinstance(content, list):
        return [name for value in content for name in _class_paths(value, key)]
    return [content] if key in _CLASS_KEYS and isinstance(content, str) and "." in content else []


def prepare_wandb() -> None:
    """Without a key, log offline and say how to log in, rather than stop or ask."""
    import wandb

    if os.environ.get("WANDB_MODE"):
        return
    if not wandb.login(prompt=False):
        os.environ["WANDB_MODE"] = "offline"
        wandb.teardown()  # it has read the environment already; let it read again
        print(
            "no W&B key found: logging offline; `wandb login` once to see runs in the browser, "
            "or `wandb sync RUN_DIR/wandb/offline-run-*` later",
            file=sys.stderr,
        )


def train(args: Sequence[str]) -> None:
    """Run Lightning's command line.

    Args:
        args: As after ``dreamgan train``: ``fit --config configs/pix2pix.yaml …``.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    check_configs(args)
    check_ckpt_path(args)
    command: ArgsType = list(args)
    try:
        with quiet_lightning():
            DreamganCLI(
                LightningModule,
                LightningDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                auto_configure_optimizers=False,
                seed_everything_default=0,
                save_config_kwargs={"overwrite": True},
                parser_kwargs={"exit_on_error": False},
                args=command,
            )
    except ValueError as error:
        # jsonargparse wraps what our classes say of their arguments.
        if isinstance(error.__cause__, UserError):
            raise error.__cause__ from None
        raise
    except MisconfigurationException as error:
        raise UserError(" ".join(str(error).split())) from None
    finally:
        # A second run in this process shall not go into the W&B run of the first.
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None:
            wandb.finish()
