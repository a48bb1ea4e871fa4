"""Work units through Lightning: one process, several devices, torchrun or SLURM."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from dreamgan.devices import most_processes
from dreamgan.errors import UserError

if TYPE_CHECKING:
    import torch
    from pytorch_lightning import Callback

    from dreamgan.lit.dream_job import DreamJob

# Processes wait for each other at the end, and for the first one at the start while it reads the photos.
PATIENCE = timedelta(days=1)
_STARTED_BY = "DREAMGAN_STARTED_BY"  # in the environment of those that Lightning starts for the first process


def layout(devices: int, nodes: int, device: torch.device) -> tuple[int, int]:
    """How many processes there are, by the flags, or by torchrun, which has started them already.

    Args:
        devices: Per node.
        nodes: Machines.
        device: Where the work is done.

    Returns:
        Devices per node and nodes.

    Raises:
        UserError: If the flags cannot be followed.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        devices, nodes = local, int(os.environ["WORLD_SIZE"]) // local
    if devices * nodes == 1:
        return 1, 1
    if device.type == "mps":
        raise UserError("an MPS device is alone in its machine; use --devices 1 --nodes 1")
    if device.index is not None:
        raise UserError(f"--device {device} names one of several; use --device {device.type} with --devices {devices}")
    if device.type == "cuda":
        import torch

        if devices > torch.cuda.device_count():
            raise UserError(f"--devices is {devices}; this machine has {torch.cuda.device_count()} of {device.type}")
    elif devices > most_processes():
        raise UserError(f"--devices is {devices}; on the CPUs of this machine it must be at most {most_processes()}")
    return devices, nodes


def run_job(
    job: DreamJob,
    device: torch.device,
    *,
    devices: int,
    nodes: int,
    precision: Literal["32", "bf16"],
    callbacks: Sequence[Callback],
) -> None:
    """Dream the units of a job.

    Args:
        job: Of which the first process's counts.
        device: cpu, cuda, cuda:1 or mps.
        devices: Processes per node; above one Lightning starts them, unless torchrun or SLURM has.
        nodes: Machines.
        precision: 32, or bf16 for autocast.
        callbacks: Writer and bar.

    Raises:
        UserError: If another process has ended before its share was dreamed.
    """
    import torch
    from pytorch_lightning import Trainer
    from pytorch_lightning.strategies import DDPStrategy, Strategy

    several = devices * nodes > 1
    strategy: Strategy | str = DDPStrategy(timeout=PATIENCE) if several else "auto"
    threads = torch.get_num_threads()
    chosen: Any = [device.index or 0] if device.type == "cuda" and not several else devices
    trainer = Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=chosen,
        num_nodes=nodes,
        strategy=strategy,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
        inference_mode=False,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        callbacks=list(callbacks),
    )
    os.environ.setdefault(_STARTED_BY, str(os.getpid()))
    try:
        trainer.predict(job, return_predictions=False)
    except RuntimeError as error:
        # Of a lost connection some of torch's backends have an error of their own, and gloo has not.
        if not several or not (isinstance(error, torch.distributed.DistError) or "gloo" in str(error)):
            raise
        raise UserError(
            "another process of this run has ended, and says why where it ran; what was finished is kept, and the "
            "same command goes on with it"
        ) from error
    finally:
        torch.set_num_threads(threads)
        if os.environ[_STARTED_BY] == str(os.getpid()):
            del os.environ[_STARTED_BY]


def end_with_first_process() -> None:
    """Have this process end when the first one has been killed, if that one has started it.

    A killed process takes nobody along: this one would dream on, keep its device busy, and wait for the other for
    ever.
    """
    first = os.environ.get(_STARTED_BY)
    if first is None:
        return

    def watch() -> None:
        while str(os.getppid()) == first:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def is_first_process() -> bool:
    """Whether this process is the one that prepares, finishes and speaks."""
    from pytorch_lightning.utilities import rank_zero_only

    return getattr(rank_zero_only, "rank", 0) == 0
