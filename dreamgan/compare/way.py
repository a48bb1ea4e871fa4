"""A way to change a photo, as the comparison sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

Kind = Literal["photo", "direct dream", "one pass", "from noise", "style"]
Make = Callable[[Tensor, str], Tensor]


@dataclass(frozen=True)
class Way:
    """A way to change a photo.

    Attributes:
        name: Of its files: letters, digits, dots and hyphens.
        label: What people call it.
        kind: What it is one of.
        note: How it works, and its source, in a sentence.
        load: Gets ready what it needs, once; gives a function of a photo, (1, 3, H, W) in [0, 1], and its name, that
            returns the picture, of the same size but for ``from noise``. It raises ``UserError`` where something is
            missing, saying what to install or to give.
        facts: All that decides its pictures besides the photo, as JSON holds it.
        steps: Gradient steps of a picture; 0: none, it is a single pass.
        series: Ways of one series differ in their steps only; the plot joins them.
    """

    name: str
    label: str
    kind: Kind
    note: str
    load: Callable[[], Make]
    facts: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 0
    series: str = ""


def sha256_of(image: Tensor) -> str:
    """What tells one picture from another among the facts of a way: the hash of its numbers, hexadecimal."""
    return hashlib.sha256(image.cpu().contiguous().numpy().tobytes()).hexdigest()
