"""Which dreams a dataset is made of: one recipe on one network, or several that share the photos."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dreamgan.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

    from dreamgan.lit.dream_job import Teacher

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class DreamEntry:
    """One kind of dream in a dataset.

    Attributes:
        recipe: A named recipe, or a YAML file with fields of one.
        backbone: Registry name of the network.
        layers: Its layers, with weights if wanted; None: the recipe's choice.
        objective: What to maximise in place of the recipe's; None: the recipe's.
        weights: File with the network's weights; None: torchvision's own.
        guide: The picture that a guided recipe dreams of, FILE or NAME=FILE with commas between.
        name: What the column `recipe` calls it; None: the recipe's name.
        share: How many photos it gets, in relation to the other entries.
        strengths: Shares of the recipe's steps to run, in (0, 1]; its photos are dealt out evenly over them.
    """

    recipe: str = "distillable"
    backbone: str = "mobilenet_v2"
    layers: str | None = None
    objective: str | None = None
    weights: str | None = None
    guide: str | None = None
    name: str | None = None
    share: float = 1.0
    strengths: list[float] = field(default_factory=lambda: [1.0])


@dataclass(frozen=True)
class Kind:
    """A ``DreamEntry`` made ready: its teacher, and how much of it the dataset wants.

    Attributes:
        teacher: Recipe, network and guides.
        share: In relation to the others.
        strengths: In (0, 1].
        guides: The guide pictures, by name, to be kept with the dataset.
    """

    teacher: Teacher
    share: float
    strengths: tuple[float, ...]
    guides: Mapping[str, Image.Image]

    @property
    def depends_on_seed(self) -> bool:
        """Whether another seed gives another dream: without shifts and tiles nothing is left to chance."""
        return self.teacher.recipe.shifts != "none" or self.teacher.recipe.tile_px > 0

    def as_dict(self) -> dict[str, Any]:
        """What ``config.json`` says of it."""
        extractor, recipe = self.teacher.extractor, self.teacher.recipe
        return {
            "name": recipe.name,
            "share": self.share,
            "strengths": list(self.strengths),
            "recipe": recipe.as_dict(),
            "backbone": extractor.backbone,
            "weights": extractor.weights_name,
            "weights_sha256": extractor.weights_sha256,
            "guides": dict(self.teacher.guide_sha256),
        }


def make_ready(entries: Sequence[DreamEntry], *, dream_px: int) -> list[Kind]:
    """Read the recipes, load the networks and guides of the entries, and check that they go together.

    Args:
        entries: At least one.
        dream_px: Side of the pictures to come; guides are shrunk to twice of it.

    Returns:
        One per entry; the networks are on the CPU.

    Raises:
        UserError: If something in an entry is wrong, or two of them have one name.
    """
    kinds: list[Kind] = []
    for entry in entries:
        kind = _make_ready(entry, dream_px)
        name = kind.teacher.recipe.name
        if not NAME.fullmatch(name):
            raise UserError(
                f"the dream's name {name!r} must be letters, digits, '_', '-' and '.', at most 64; give name"
            )
        if name in (other.teacher.recipe.name for other in kinds):
            raise UserError(f"two dreams are called {name!r}; give each a name of its own, like name: {name}-2")
        kinds.append(kind)
    return kinds


def _make_ready(entry: DreamEntry, dream_px: int) -> Kind:
    from dreamgan.backbones.features import load_extractor
    from dreamgan.backbones.registry import get_spec
    from dreamgan.dream import get_recipe
    from dreamgan.dream.guide import named_pictures
    from dreamgan.dream.scoring import check_objective
    from dreamgan.images import to_unit
    from dreamgan.lit.dream_job import Teacher

    if not (math.isfinite(entry.share) and entry.share > 0):
        raise UserError(f"share is {entry.share}; it must be a number above 0")
    network = get_spec(entry.backbone).name
    recipe = get_recipe(entry.recipe, network, layers=entry.layers, objective=entry.objective)
    if entry.name is not None:
        recipe = replace(recipe, name=entry.name)
    if not entry.strengths or len(set(entry.strengths)) < len(entry.strengths):
        raise UserError(f"strengths are {entry.strengths}; give one or several different numbers above 0, at most 1")
    for strength in entry.strengths:
        recipe.steps_at(strength)
    objective = recipe.objective
    if objective.masks or objective.selects:
        raise UserError(
            f"the objective {objective} needs masks or a choice made on each photo, which a dataset does not hold; "
            "use it with dreamgan dream"
        )
    pictures = named_pictures(entry.guide, "guide", 2 * dream_px)
    lacking = [name for name in objective.guides if name not in pictures]
    if lacking:
        flag = "FILE" if lacking == ["guide"] else f"{lacking[0]}=FILE"
        raise UserError(f"the objective {objective} dreams of a guide picture {lacking[0]!r}; give --guide {flag}")
    unused = sorted(set(pictures) - set(objective.guides))
    if unused:
        raise UserError(f"guide {unused[0]!r} is not in the objective {objective}; leave it out")
    guides = {name: to_unit(picture)[None] for name, picture in pictures.items()}
    digests = {name: hashlib.sha256(picture.tobytes()).hexdigest() for name, picture in pictures.items()}
    extractor = load_extractor(
        entry.backbone, recipe.layer_names, weights=entry.weights, batch_norms=objective.needs_batch_norms
    )
    check_objective(objective, extractor, guides)
    return Kind(Teacher(recipe, extractor, guides, digests), entry.share, tuple(entry.strengths), pictures)
