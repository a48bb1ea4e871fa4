"""YAML of unknown origin, at a bounded cost."""

from __future__ import annotations

import math
from typing import Any

from dreamgan.errors import UserError

MOST_VALUES = 10_000  # once every alias is replaced by what it stands for; our largest config has some dozen


def check_yaml(text: str) -> None:
    """Refuse a short text that stands for values without end: aliases of lists of aliases, or lists in lists.

    Args:
        text: As it was read.

    Raises:
        UserError: If it holds more than ``MOST_VALUES`` values, or is nested too deeply.
        yaml.YAMLError: If it is not YAML.
    """
    import yaml

    try:
        if _values(yaml.compose(text, yaml.SafeLoader), {}) > MOST_VALUES:
            raise UserError(f"the YAML stands for more than {MOST_VALUES} values; write fewer, without aliases (*)")
    except RecursionError:
        raise UserError("the YAML is nested too deeply; write it with fewer levels") from None


def _values(node: Any, known: dict[int, float]) -> float:
    """Count a node and all that it holds, as often as it is meant; infinite where it holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        children = node.value if node is not None and not isinstance(node.value, str) else []
        # Of a mapping they are pairs.
        flat = [each for child in children for each in (child if isinstance(child, tuple) else (child,))]
        known[id(node)] = 1 + sum(_values(each, known) for each in flat)
    return known[id(node)]


def bound_configs() -> None:
    """Let jsonargparse, which reads flags and the configs that they name, load no YAML that ``check_yaml`` refuses."""
    import yaml
    from jsonargparse import get_loader, set_loader

    load = get_loader("yaml")
    if load.__name__ == "bounded":
        return

    def bounded(text: str) -> Any:
        if "*" in text or len(text) > MOST_VALUES:
            check_yaml(text)
        return load(text)

    set_loader("yaml", bounded, exceptions=(yaml.YAMLError,))
