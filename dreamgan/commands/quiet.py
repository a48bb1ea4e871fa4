"""Keep libraries from talking about themselves where dreamgan has something to say."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_NOT_FOR_USERS = (
    # Pictures are decoded once and kept, or a unit of work takes long: workers would only take cores away.
    ".*does not have many workers.*",
    # Lightning's own use of torch.
    ".*isinstance.treespec, LeafSpec.*",
    # The frozen backbone and the EMA are in eval mode on purpose.
    ".*module.s. in eval mode at the start of training.*",
    # A work unit is no batch of tensors.
    ".*Couldn't infer the batch indices.*",
    # Our scripts hand their arguments to LightningCLI themselves.
    ".*LightningCLI's args parameter.*",
    # Small datasets; the CSV is written at every epoch end all the same.
    ".*smaller than the logging interval.*",
    # A resumed run goes on in the folder of the first.
    ".*Checkpoint directory .* exists and is not empty.*",
    # A checkpoint of another run; our checkpoints have no best among them.
    ".*The dirpath has changed from .*",
    # A dataset without a test split is trained on without validation.
    ".*Total length of .* across ranks is zero.*",
)


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's tips, device list and the warnings that do not concern the user of our commands."""
    names = (
        "pytorch_lightning.utilities.rank_zero",
        "pytorch_lightning.accelerators.cuda",
        "lightning_fabric.utilities.distributed",
    )
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        with warnings.catch_warnings():
            for message in _NOT_FOR_USERS:
                warnings.filterwarnings("ignore", message=message)
            yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            # Lightning exits on its own when interrupted, and ignores the key from then on; our commands say what
            # was kept.
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from None
        raise
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
