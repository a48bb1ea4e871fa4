"""`dreamgan train`: Lightning's command line over the modules of dreamgan."""

from __future__ import annotations

import re
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jsonargparse
import torch
import yaml
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, WandbLogger

from dreamgan.commands.flags import out_folder
from dreamgan.commands.quiet import quiet_lightning
from dreamgan.devices import Precision, is_out_of_memory, most_processes, pick_device
from dreamgan.errors import UserError
from dreamgan.lit.callbacks import ExportGenerator, PictureGrid, ProgressLine, ValidationLine
from dreamgan.lit.classifier import FineTuning
from dreamgan.lit.classifier_report import ClassifierReport
from dreamgan.lit.gan import GeneratorTraining, NotFiniteError
from dreamgan.making.publish import prepare_wandb
from dreamgan.settings import bound_configs, check_yaml

# Packages whose classes may be named. A config from elsewhere must not choose what code is imported.
_TRUSTED = ("dreamgan", "pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning.fabric", "torch.optim")
_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed"}
# Their gradients are scaled so that float16 can hold them; here they are looked at and clipped as they come.
_TOO_SHORT = ("16", "16-mixed", "16-true")


class DreamganCLI(LightningCLI):
    """LightningCLI with one folder per run: checkpoints, logs, grids and the exported generator."""

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """What there is a use for: ``fit`` and ``validate``."""
        return {name: skip for name, skip in LightningCLI.subcommands().items() if name in ("fit", "validate")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what belongs to the run rather than to model, data or trainer."""
        parser.add_argument("--run_dir", type=str, default="runs/pix2pix", help="Folder of everything this run writes.")
        parser.add_argument(
            "--overwrite", type=bool, default=False, help="Train anew into a run_dir that holds an earlier training."
        )
        parser.add_argument("--wandb_project", type=str, default="dreamgan", help="Project in Weights & Biases.")
        parser.add_argument("--grid_rows", type=int, default=8, help="Rows in the picture grid of a validation.")
        parser.add_argument(
            "--device",
            type=str | None,
            default=None,
            help="auto, cpu, cuda, cuda:1 or mps; stands for trainer.accelerator and trainer.devices.",
        )
        parser.add_argument(
            "--precision",
            type=Precision | None,
            default=None,
            help="32, or bf16 for mixed bfloat16, which is faster on most GPUs; stands for trainer.precision.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse, check what concerns the run, and resolve device, precision and ``--ckpt_path last``.

        Raises:
            UserError: If a value makes no sense.
        """
        super().parse_arguments(parser, args)
        self.command = shlex.join(["dreamgan", "train", *(args if isinstance(args, list) else ())])
        config = self.config[self.config.subcommand]
        if config.grid_rows < 1:
            raise UserError(f"grid_rows is {config.grid_rows}; it must be at least 1")
        if Path(config.run_dir).exists() and not Path(config.run_dir).is_dir():
            raise UserError(f"run_dir '{config.run_dir}' is a file, not a folder; give another --run_dir")
        if "features" in config.data.init_args:
            out_folder(config.data.init_args.features, writable=False, flag="data.features")
        seed = config.seed_everything
        if not isinstance(seed, bool) and not 0 <= seed < 2**32:
            raise UserError(f"seed_everything is {seed}; it must be at least 0 and below 2**32")
        for part in (config.model, config.data):
            if not isinstance(seed, bool) and "seed" in part.init_args and part.init_args.seed is None:
                part.init_args.seed = seed
        if config.device is not None:
            device = pick_device(config.device)
            config.trainer.accelerator = device.type
            config.trainer.devices = 1 if device.index is None or device.type != "cuda" else [device.index]
        # A short training is looked at, too.
        every, epochs = config.trainer.check_val_every_n_epoch, config.trainer.max_epochs
        if epochs == 0 and self.config.subcommand == "fit":
            raise UserError("trainer.max_epochs is 0, and nothing would be trained; give 1 or more")
        if every and epochs and 0 < epochs < every:
            config.trainer.check_val_every_n_epoch = epochs
        if config.precision is not None:
            config.trainer.precision = _PRECISIONS[config.precision]
        if str(config.trainer.precision) in _TOO_SHORT:
            raise UserError(
                f"trainer.precision is {config.trainer.precision}, and float16 is not supported; use --precision bf16, "
                "or 32"
            )
        # Kept from Lightning until the run: it would read the file unchecked, and put the hyper-parameters and the
        # class that the file names in place of those given.
        self._checkpoint: Path | None = None
        if config.ckpt_path is not None:
            last = Path(config.run_dir) / "checkpoints" / "last.ckpt"
            self._checkpoint = last if config.ckpt_path == "last" else Path(config.ckpt_path)
            read_checkpoint(self._checkpoint)
            config.ckpt_path = None
        elif self.config.subcommand == "fit" and (Path(config.run_dir) / "checkpoints" / "last.ckpt").is_file():
            if not config.overwrite:
                raise UserError(
                    f"{config.run_dir} holds an earlier training; add --ckpt_path last to go on with it, "
                    "--overwrite true to replace it, or give another --run_dir"
                )
        elif self.config.subcommand == "validate":
            raise UserError("there is nothing to validate; give --ckpt_path last or --ckpt_path FILE")

    def before_instantiate_classes(self) -> None:
        """Let only ``fit`` write its config: a validation must not replace that of the training."""
        if self.subcommand != "fit":
            self.save_config_callback = None

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Give the trainer the run's folder, loggers and callbacks, unless the config brings loggers.

        Raises:
            UserError: If Lightning refuses the trainer's arguments.
        """
        run_dir = Path(self._get(self.config_init, "run_dir"))
        config = self._get(self.config_init, "trainer")
        kwargs.setdefault("default_root_dir", str(run_dir))
        if config.logger in (None, True):
            # CSV first: the second logger's config would stop a second run.
            project = self._get(self.config_init, "wandb_project")
            prepare_wandb("RUN_DIR")
            kwargs["logger"] = [CSVLogger(run_dir, name="csv"), wandb_logger(project, run_dir)]
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
            ProgressLine(),
            PictureGrid(str(run_dir / "grids"), rows=self._get(self.config_init, "grid_rows")),
            ExportGenerator(str(run_dir / "generator")),
            ClassifierReport(str(run_dir), self.command),
        ]
        kwargs["callbacks"] = callbacks
        # The pairs are dealt out to the processes by our own sampler, batch by batch of one style.
        kwargs["use_distributed_sampler"] = False
        if config.strategy in ("auto", "ddp") and _several_processes(config):
            # Each of the two optimisers' steps leaves the other's network out.
            kwargs["strategy"] = "ddp_find_unused_parameters_true"
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except (ValueError, TypeError, ImportError, MisconfigurationException) as error:
            # Nothing but the trainer is made here, so this is about its arguments.
            raise UserError(f"trainer: {' '.join(str(error).split())}") from None
        if trainer.strategy.root_device.type == "cpu" and trainer.num_devices > most_processes():
            raise UserError(
                f"trainer.devices is {trainer.num_devices}; on the CPUs of this machine it must be at most "
                f"{most_processes()}"
            )
        return trainer

    def before_fit(self) -> None:
        """Find what is wrong with dataset, weights and checkpoint before anything is written."""
        self._prepare()
        self._before = _written(self._last)
        self._last.parent.parent.mkdir(parents=True, exist_ok=True)

    def before_validate(self) -> None:
        """As ``before_fit``.

        Raises:
            UserError: If the dataset has nothing to validate on.
        """
        self._prepare()
        if isinstance(self.model, GeneratorTraining) and not self.datamodule.val_dataloader():
            raise UserError(
                f"{self.datamodule.dataset} has no test split, or none of it is asked for: nothing to validate on"
            )

    def fit(self, **kwargs: Any) -> None:
        """Train."""
        self._run(self.trainer.fit, kwargs)

    def validate(self, **kwargs: Any) -> None:
        """Measure a checkpoint on the held-out pairs."""
        self._run(self.trainer.validate, kwargs)

    def _prepare(self) -> None:
        if isinstance(self.model, GeneratorTraining):
            self.model.check_data(self.datamodule)
            self.datamodule.setup(self.subcommand)
            self.model.prepare_for(self.datamodule)
        if isinstance(self.model, FineTuning):
            self.model.check_data(self.datamodule)
            if self.trainer.world_size > 1:
                raise UserError("fine-tuning runs on one device; leave trainer.devices and num_nodes at 1")
            if not self.trainer.limit_val_batches:
                raise UserError(
                    "trainer.limit_val_batches is 0, and fine-tuning ends with its validation; leave it out"
                )
            self.datamodule.setup(self.subcommand)
            self.model.prepare_for(
                self.datamodule, self.trainer.strategy.root_device, bf16=str(self.trainer.precision).startswith("bf16")
            )
        if self._checkpoint is not None:
            if isinstance(self.model, GeneratorTraining | FineTuning):
                reason = self.model.misfit(read_checkpoint(self._checkpoint))
                if reason:
                    raise UserError(f"checkpoint {self._checkpoint} {reason}")
            self.config_init[self.subcommand]["ckpt_path"] = str(self._checkpoint)

    def _run(self, run: Callable[..., object], kwargs: dict[str, Any]) -> None:
        try:
            run(**kwargs)
        except BaseException as error:
            if self.trainer.strategy.launcher is not None:
                # The processes that this one has started would wait for it.
                self.trainer.strategy.launcher.kill(signal.SIGKILL)
            if isinstance(error, NotFiniteError) and not self.trainer.is_global_zero:
                # The first process says it for all. With another code Lightning would kill it before it can.
                raise SystemExit(0) from None
            text = self._explained(error)
            if text is None:
                raise
            raise UserError(text) from None

    def _explained(self, error: BaseException) -> str | None:
        """What a user can do about an error that ended a run; None where that is not known."""
        if isinstance(error, NotFiniteError):
            return f"{error}; {self._way_on()}"
        if isinstance(error, RuntimeError | MemoryError) and is_out_of_memory(error):
            text = "out of memory; lower --data.batch_size"
            if hasattr(self.datamodule, "batch_size"):
                text += f" (now {self.datamodule.batch_size})"
            return f"{text}; {self._way_on()}"
        # NCCL's errors are of this class, Gloo's can be told by their text only.
        if isinstance(error, torch.distributed.DistBackendError) or "by peer" in str(error):
            return f"another process has stopped, and has said why above; {self._way_on()}"
        return None

    @property
    def _last(self) -> Path:
        return Path(self.config_init[self.subcommand]["run_dir"]) / "checkpoints" / "last.ckpt"

    def _way_on(self) -> str:
        """Where a training that stopped goes on from, as the end of a sentence."""
        # One that was there before, and has not been replaced, is of another training or the one resumed from.
        if self.subcommand != "fit":
            return "nothing was written"
        good = self._last if _written(self._last) != self._before else self._checkpoint
        if good is None:
            return "there is no checkpoint yet, so start anew"
        return (
            f"the last good checkpoint is {good}, --ckpt_path {'last' if good == self._last else good} goes on from it"
        )


def wandb_logger(project: str, folder: Path) -> WandbLogger:
    """A logger that leaves out what Lightning sets though W&B no longer knows it, and would warn of in every run.

    Args:
        project: Its name in Weights & Biases.
        folder: Gets the ``wandb`` folder.
    """
    logger = WandbLogger(project=project, save_dir=folder)
    getattr(logger, "_wandb_init", {}).pop("anonymous", None)
    return logger


def _written(path: Path) -> int | None:
    """When a file was last written, in ns; None: there is none."""
    return path.stat().st_mtime_ns if path.is_file() else None


def _several_processes(trainer: Any) -> bool:
    """Whether the trainer is asked for more than one device or node."""
    devices = trainer.devices
    if isinstance(devices, str) and "," in devices:
        devices = [name for name in devices.split(",") if name.strip()]
    if devices in ("auto", -1, "-1"):
        return trainer.num_nodes > 1 or (
            trainer.accelerator in ("auto", "gpu", "cuda") and torch.cuda.device_count() > 1
        )
    count = len(devices) if isinstance(devices, list) else int(devices) if str(devices).isdigit() else 1
    return trainer.num_nodes > 1 or count > 1


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ours; its tensors stay on the disk until they are used.

    Raises:
        UserError: If the file is missing, cannot be read safely or lacks what a resume needs.
    """
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}; give the folder of an earlier training as --run_dir")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # noqa: BLE001 - torch raises many kinds for a file that is no checkpoint
        raise UserError(f"{path} is no checkpoint that can be read safely; give a .ckpt that training wrote") from None
    missing = {"state_dict", "optimizer_states", "epoch"} - set(content if isinstance(content, dict) else ())
    if missing:
        raise UserError(f"{path} is no training checkpoint: it lacks {', '.join(sorted(missing))}")
    return dict(content)


def check_configs(args: Sequence[str]) -> None:
    """Refuse config files that are missing or hold no settings; jsonargparse would say so over many lines.

    Raises:
        UserError: In one line, naming the file.
    """
    for option, value in _configs(args):
        path = Path(value)
        if not path.is_file():
            raise UserError(f"there is no config file {value!r} ({option})")
        try:
            text = path.read_text(encoding="utf-8")
            check_yaml(text)
            content = yaml.safe_load(text)
        except UserError as error:
            raise UserError(f"{value}: {error}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{value} is not YAML: {' '.join(str(error).split())[:160]}") from None
        if not isinstance(content, dict):
            raise UserError(f"{value} holds no settings; see configs/pix2pix.yaml for an example")


def _configs(args: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for i, arg in enumerate(args):
        option, equals, value = arg.partition("=")
        if option in ("--config", "-c", "--data", "--model", "--trainer"):
            value = value if equals else args[i + 1] if i + 1 < len(args) else ""
            if option in ("--config", "-c") or value.endswith((".yaml", ".yml", ".json")):
                found.append((option, value))
    return found


def trust_only_our_classes() -> None:
    """Let jsonargparse import from ``_TRUSTED`` only, and read configs from this machine only.

    It holds wherever a value stands: in a config, in a file that a config names, in a flag.
    """
    jsonargparse.set_parsing_settings(
        import_path_denylist=["*"],
        import_path_allowlist=list(_TRUSTED),
        # Lightning switches it on: a config could then be an address.
        config_read_mode_fsspec_enabled=False,
    )


def train(args: Sequence[str]) -> None:
    """Run Lightning's command line.

    Args:
        args: As after ``dreamgan train``: ``fit --config configs/pix2pix.yaml …``.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    check_configs(args)
    trust_only_our_classes()
    bound_configs()
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
                args=list(args),
            )
    except jsonargparse.ArgumentError as error:
        denied = re.search(r"Importing '([^']*)' is not allowed", str(error))
        if denied:
            raise UserError(f"{denied[1]!r} is not trusted; name classes of {', '.join(_TRUSTED)} only") from None
        raise
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
