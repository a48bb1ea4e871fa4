"""Where a training may start from: a generator that has learnt other dreams already."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dreamgan.errors import UserError
from dreamgan.generators import generator_folder
from dreamgan.networks.modulation import Modulation
from dreamgan.networks.translator import Translator
from dreamgan.sampling import load_generator

SHIPPED_NAME = "shipped"


def start_from(network: Translator, styles: Sequence[str], folder: str) -> None:
    """Take over the weights of an exported generator.

    A style of the same name goes on from what it was; a new one starts as the mean of those that the generator knows.

    Args:
        network: Gets the weights.
        styles: Names of its styles, in order.
        folder: Of the generator, or ``shipped`` for the one that comes with the package.

    Raises:
        UserError: If it holds no generator, or one of another shape.
    """
    known = load_generator(generator_folder(None if folder == SHIPPED_NAME else folder))
    ours, theirs = network.config, known.network.config
    for field in ("encoder", "widths", "residual_range"):
        if getattr(ours, field) != getattr(theirs, field):
            raise UserError(
                f"the generator {folder} has {field} {getattr(theirs, field)}, this model {getattr(ours, field)}; give "
                f"the same --model.{field}"
            )
    state = known.network.state_dict()
    names = list(known.styles)
    for path, module in network.named_modules():
        if isinstance(module, Modulation):
            table = state[f"{path}.table"]  # (2, styles, 2 C)
            rows = [table[:, names.index(name)] if name in names else table.mean(dim=1) for name in styles]
            state[f"{path}.table"] = torch.stack(rows, dim=1)
    network.load_state_dict(state)
