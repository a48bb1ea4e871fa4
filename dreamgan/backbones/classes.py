"""The classes of a network by name: ImageNet's 1000, or those that a file of weights brings."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Sequence

from dreamgan.errors import UserError


def class_index(name_or_index: str | int, classes: int = 1000, own_names: Sequence[str] = ()) -> int:
    """Find the index of a class, which is its place among the logits of a head.

    Args:
        name_or_index: name of a class (ImageNet's as torchvision spells them), or a part of it that no other class
            has (`goldfish`, `siberian husky`, `German_shepherd`; upper and lower case, spaces, underscores and
            hyphens are the same); or an index, as a number or in digits. A whole name of `own_names` goes before an
            index.
        classes: number of classes of the head.
        own_names: the names of its classes, in order; none: ImageNet's, where there are 1000.

    Returns:
        Index from 0 to `classes` - 1.

    Raises:
        UserError: no such name (the nearest are shown), a part of several names (they are shown), an index out of
            range, or a name where the head has not 1000 classes and brings no names.
    """
    text = str(name_or_index).strip()
    whole = [index for index, name in enumerate(own_names) if _plain(name) == _plain(text)]
    if len(whole) == 1:  # before the number: classes may be called 1, 2 and 10
        return whole[0]
    if re.fullmatch(r"[+-]?[0-9]+", text):
        if not 0 <= int(text) < classes:
            raise UserError(f"class {text} is out of range; give an index from 0 to {classes - 1}")
        return int(text)
    if classes != 1000 and not own_names:
        raise UserError(
            f"class {text!r} is a name, but names are known for ImageNet's 1000 classes only and this network has "
            f"{classes}; give only an index from 0 to {classes - 1}"
        )
    wanted = _plain(text)
    shown = own_names or _imagenet_classes()
    names = [_plain(name) for name in shown]
    matching = [index for index, name in enumerate(names) if name == wanted]
    if not matching and wanted:
        matching = [index for index, name in enumerate(names) if wanted in name]
    if not matching:
        nearest = sorted(range(len(names)), key=lambda index: -_likeness(wanted, names[index]))[:3]
        whose = "this network's" if own_names else "ImageNet's"
        raise UserError(f"class {text!r} is not one of {whose}; nearest: {_shown(nearest, shown)}")
    if len(matching) > 1:
        more = f" and {len(matching) - 6} more" if len(matching) > 6 else ""
        raise UserError(f"class {text!r} may mean {_shown(matching[:6], shown)}{more}; give the index")
    return matching[0]


def class_name(index: int) -> str:
    """Name of an ImageNet class.

    Args:
        index: from 0 to 999.

    Returns:
        The name as torchvision spells it. Index 264 and 474 are both "Cardigan" and "cardigan" (dog and garment).

    Raises:
        UserError: an index out of range.
    """
    return _imagenet_classes()[class_index(index)]


def _shown(indices: Iterable[int], names: Sequence[str]) -> str:
    return ", ".join(f"{names[index]!r} ({index})" for index in indices)


def _likeness(wanted: str, name: str) -> float:
    """Ratio in [0, 1] to the whole name or to one of its words, whichever is more like it."""
    return max(difflib.SequenceMatcher(None, wanted, part).ratio() for part in (name, *name.split()))


def _plain(name: str) -> str:
    return " ".join(re.sub(r"[-_]", " ", name.lower()).split())


@functools.cache
def _imagenet_classes() -> tuple[str, ...]:
    from torchvision.models import get_model_weights

    # Any of torchvision's ImageNet weights will do: they share one list, and it needs no download.
    return tuple(get_model_weights("resnet50")["IMAGENET1K_V1"].meta["categories"])
