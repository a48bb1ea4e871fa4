"""What an objective is worth: from activations to one number per picture.

Every reduction is per picture. Sources: Pap et al., *Bedtime Story* (``guided``, ``select_max``), google/deepdream
(``guided_match``), Olah et al., *Feature Visualization* (``channel``, ``neuron``), Yin et al., *DeepInversion*
(``batch_norm``). The formulas stand with the functions in ``objectives.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamgan.backbones.classes import class_index
from dreamgan.backbones.features import Extractor, normalise
from dreamgan.dream.objectives import Objective, Term
from dreamgan.dream.octaves import enlarge_to, resize
from dreamgan.errors import UserError

# Choosing maps needs no more detail than this, and the activations of a large photo would not fit into memory.
CHOOSING_SIDE_PX = 512

See = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Look:
    """One look of the network at a batch of pictures, and what the terms need besides.

    Attributes:
        activations: Layer to activation, (B, C, h, w) (layers of the head: (B, C)).
        images: What the network looked at, (B, 3, H, W) in [0, 1]; terms on pixels need it.
        known: What was found out for a term beforehand: weights of a guide, chosen maps, index of a class.
        masks: Name to mask, (B or 1, 1, H, W) in [0, 1], over ``images``.
        statistics: Path of a batch norm to its running mean and variance, (C,) each.
    """

    activations: Mapping[str, Tensor]
    images: Tensor | None = None
    known: Mapping[Term, Tensor] = field(default_factory=dict)
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    statistics: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


def score_look(look: Look, objective: Objective, weights: Mapping[Term, float] | None = None) -> Tensor:
    """The objective of each picture of a look.

    Args:
        look: Activations and the rest.
        objective: What to sum.
        weights: Weights to use in place of the terms' own.

    Returns:
        (B,), in the dtype of the activations but at least float32.

    Raises:
        UserError: If a position lies outside the maps, or a term speaks of locations where a layer has none.
        ValueError: If a layer of the objective is not among the activations.
    """
    total: Tensor | None = None
    for term in objective:
        weight = term.weight if weights is None else weights[term]
        if weight:
            value = weight * _value(term, look)
            total = value if total is None else total + value
    if total is None:
        raise ValueError(f"all terms of {objective} have the weight 0 here")
    return total


def score_places(look: Look, objective: Objective, layer: str) -> Tensor:
    """What the terms on one layer are worth at every place of it: their values before the mean over places.

    Args:
        look: Activations and the rest.
        objective: Its terms on other layers are left out, and those of single neurons.
        layer: Must have places, (B, C, h, w).

    Returns:
        (B, h, w), in the dtype of the activations but at least float32.

    Raises:
        ValueError: If no term speaks of all places of the layer.
    """
    a = _wide(look.activations[layer])
    parts = [
        term.weight * _values(term, a, look).mean(dim=1)
        for term in objective
        if term.layer == layer and term.kind != "neuron" and a.ndim == 4
    ]
    if not parts:
        raise ValueError(f"no term of {objective} speaks of the places of {layer}")
    return torch.stack(parts).sum(dim=0)


def _value(term: Term, look: Look) -> Tensor:
    if term.kind == "tv":
        return _total_variation(_images(look))
    if term.kind == "norm":
        return (_images(look) - 0.5).square().mean(dim=(1, 2, 3))
    if term.kind == "batch_norm":
        return _batch_norm_distance(look)
    if term.layer not in look.activations:
        has = ", ".join(look.activations)
        raise ValueError(f"the extractor has no layer {term.layer!r}, only {has}; load it with recipe.layer_names")
    a = look.activations[term.layer]
    _check_places(term, a)
    values = _values(term, _wide(a), look)
    if term.mask:
        values = values * _fit(look.masks[term.mask], values)
    return values.mean(dim=tuple(range(1, values.ndim)))


def _check_places(term: Term, a: Tensor) -> None:
    """Where a layer of the head has no locations, nothing can be said of them."""
    if a.ndim == 2 and (term.kind == "guided_match" or term.mask or term.inset or term.position or term.spatial):
        raise UserError(f"{term.call}: {term.layer} has no locations; leave out mask, inset, position and spatial")


def _values(term: Term, a: Tensor, look: Look) -> Tensor:
    """What a term takes the mean of: (B, K, h, w), or (B, K) of a layer of the head."""
    if term.kind in ("mean", "l2"):
        values = a if term.kind == "mean" else a.square()
        return _without_border(values, term.inset) if term.inset else values
    if term.kind in ("channel", "maps"):
        return a[:, list(term.maps)]
    if term.kind == "neuron":
        return a[:, list(term.maps)] if a.ndim == 2 else _neuron(a, term)
    known = look.known[term]
    if term.kind == "class":
        return a[:, known.flatten()]
    if term.kind == "guided":
        return (a * (known if a.ndim == 2 or known.ndim == 4 else known[:, None, None])).sum(dim=1, keepdim=True)
    if term.kind == "guided_match":
        return a * _best_matches(a, known)
    return a.gather(1, known.view(*known.shape, *([1] * (a.ndim - 2))).expand(-1, -1, *a.shape[2:]))


def _without_border(values: Tensor, inset: int) -> Tensor:
    """Zero along the borders, so that the mean is over the whole, as in Keras' recipe."""
    kept = torch.zeros_like(values)
    inner = (..., slice(inset, -inset), slice(inset, -inset))
    kept[inner] = values[inner]
    return kept


def _neuron(a: Tensor, term: Term) -> Tensor:
    height, width = a.shape[2:]
    y, x = term.position or (height // 2, width // 2)
    if y >= height or x >= width:
        raise UserError(f"{term.call}: the maps of {term.layer} are {height}x{width} here; y and x count from 0")
    return a[:, list(term.maps), y, x]


def _best_matches(a: Tensor, vectors: Tensor) -> Tensor:
    """For each location of (B, C, h, w) the guide's vector, of (N, C), with the largest dot product; no gradient."""
    with torch.no_grad():
        here = a.detach().flatten(2).transpose(1, 2)  # (B, locations, C)
        best = (here @ vectors.T).argmax(dim=2)
        return vectors[best].transpose(1, 2).reshape(a.shape)


def _total_variation(images: Tensor) -> Tensor:
    across = (images[..., 1:] - images[..., :-1]).abs().mean(dim=(1, 2, 3))
    down = (images[..., 1:, :] - images[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    return across + down


def _batch_norm_distance(look: Look) -> Tensor:
    distance: Tensor | None = None
    for path, (mean, variance) in look.statistics.items():
        a = _wide(look.activations[f"bn:{path}"])
        found_variance, found_mean = torch.var_mean(a, dim=(2, 3), correction=0)
        here = torch.linalg.vector_norm(found_mean - mean, dim=1)
        here = here + torch.linalg.vector_norm(found_variance - variance, dim=1)
        distance = here if distance is None else distance + here
    if distance is None:
        raise ValueError("batch_norm() needs an extractor that was loaded with batch_norms=True")
    return distance


def _images(look: Look) -> Tensor:
    if look.images is None:
        raise ValueError("terms on pixels need the pictures, not only their activations")
    return look.images


def _wide(activation: Tensor) -> Tensor:
    return activation.float() if activation.dtype in (torch.bfloat16, torch.float16) else activation


def _fit(mask: Tensor, values: Tensor) -> Tensor:
    """A mask over the pictures as one over the locations: each takes the mean of the pixels it stands for."""
    return F.adaptive_avg_pool2d(mask.to(values), (values.shape[-2], values.shape[-1]))


class Scorer:
    """An objective bound to a backbone, photos, guides and masks; what does not change is found out once."""

    def __init__(
        self,
        objective: Objective,
        extractor: Extractor,
        photos: Tensor,
        *,
        guides: Mapping[str, Tensor] | None = None,
        masks: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Check the objective against what it is bound to.

        Args:
            objective: What to maximise.
            extractor: Must answer for its layers.
            photos: (B, 3, H, W) in [0, 1]; ``select_max`` and ``select_min`` choose on them.
            guides: Name to guide picture, (1, 3, h, w) in [0, 1].
            masks: Name to mask, (B or 1, 1, H, W) in [0, 1], any size.

        Raises:
            UserError: If a map or class is not in the network, a guide or mask is missing, or a guide too small.
            ValueError: If the extractor lacks a layer.
        """
        self.objective, self.extractor = objective, extractor
        self.guides, self.masks = dict(guides or {}), dict(masks or {})
        self.known: dict[Term, Tensor] = {}
        check_objective(objective, extractor, self.guides, self.masks)
        with torch.no_grad():
            for term in objective:
                if term.kind == "class":
                    index = class_index(term.label, extractor.widths[term.layer], extractor.class_names)
                    self.known[term] = torch.tensor([index], device=photos.device)
                elif term.kind in ("select_max", "select_min"):
                    self.known[term] = choose_maps(photos, extractor, term)
                elif term.kind == "guided_match" or (term.kind == "guided" and not (term.spatial or term.per_octave)):
                    self.known[term] = _guide(term, self.activations(self.guides[term.guide])[term.layer])

    def activations(self, images: Tensor) -> dict[str, Tensor]:
        """What the network answers to pictures in [0, 1]; those too small for it are enlarged."""
        answers: dict[str, Tensor] = self.extractor(enlarge_to(normalise(images), self.extractor.min_size_px))
        return answers

    def octave(self, number: int, size: tuple[int, int], factor: float) -> Callable[[Tensor, See], Tensor]:
        """The objective at one octave.

        Args:
            number: Counts from 0; picks the octave's weight of terms that have one per octave.
            size: (height, width) of the octave, in pixels.
            factor: Of its sides to the photo's, by which guides of ``per_octave`` terms are shrunk.

        Returns:
            A function of pictures (B, 3, h, w) in [0, 1] and of the way ``see`` in which they were shifted or cut out
            of the octave's pictures; it treats guides and masks alike. It gives (B,).
        """
        weights = {t: t.weight * (t.octaves[number] if t.octaves else 1.0) for t in self.objective}
        known = dict(self.known)
        stretched: dict[Term, Tensor] = {}
        with torch.no_grad():
            for term in (term for term in self.objective if term.kind == "guided" and weights[term]):
                guide = self.guides[term.guide]
                if term.spatial:
                    stretched[term] = resize(guide, size)
                elif term.per_octave:
                    shrunk = resize(guide, _sides(guide, factor))
                    known[term] = _guide(term, self.activations(shrunk)[term.layer])
        masks = {name: resize(self.masks[name], size) for name in self.objective.masks}
        statistics = self.extractor.batch_norm_statistics if self.objective.needs_batch_norms else {}

        def score(images: Tensor, see: See) -> Tensor:
            with torch.no_grad():
                for term, guide in stretched.items():
                    # Under autocast and in tiles the guide must meet exactly what the picture meets.
                    weights_here = _wide(self.activations(see(guide))[term.layer])
                    _check_places(term, weights_here)
                    known[term] = weights_here / _sum_of_means(weights_here)
                seen = {name: see(mask) for name, mask in masks.items()}
            look = Look(self.activations(images), images, known, seen, statistics)
            return score_look(look, self.objective, weights)

        return score


def check_objective(
    objective: Objective,
    extractor: Extractor,
    guides: Mapping[str, Tensor] | None = None,
    masks: Mapping[str, Tensor] | None = None,
) -> None:
    """Hold an objective against the network, the guides and the masks that it names.

    Raises:
        UserError: If a map or class is not in the network, a guide or mask is missing, or a guide too small.
        ValueError: If the extractor lacks a layer.
    """
    guides, masks = guides or {}, masks or {}
    for term in objective:
        if term.layer and term.layer not in extractor.widths:
            has = ", ".join(extractor.layers)
            raise ValueError(f"the extractor has no layer {term.layer!r}, only {has}; load it with recipe.layer_names")
        width = extractor.widths.get(term.layer, 0)
        beyond = [index for index in term.maps if index >= width]
        if beyond:
            raise UserError(
                f"{term.call}: there is no map {beyond[0]}; {term.layer} has {width} maps, 0 to {width - 1}"
            )
        if term.count > width:
            raise UserError(f"{term.call}: {term.layer} has {width} maps only")
        if term.kind == "class":
            class_index(term.label, width, extractor.class_names)
        if term.guide and term.guide not in guides:
            raise UserError(f"{term.call} needs a guide picture named {term.guide!r}; given: {_names(guides)}")
        if term.guide and min(guides[term.guide].shape[-2:]) < extractor.min_size_px:
            height, wide = guides[term.guide].shape[-2:]
            raise UserError(
                f"guide {term.guide!r} is {wide}x{height} px; {extractor.backbone} needs {extractor.min_size_px} px "
                f"for {', '.join(extractor.layers)}"
            )
        if term.mask and term.mask not in masks:
            raise UserError(f"{term.call} needs a mask named {term.mask!r}; given: {_names(masks)}")


def _names(pictures: Mapping[str, Tensor]) -> str:
    return ", ".join(pictures) or "none"


def _sides(images: Tensor, factor: float) -> tuple[int, int]:
    height, width = (max(1, round(side * factor)) for side in images.shape[-2:])
    return height, width


def choose_maps(photos: Tensor, extractor: Extractor, term: Term) -> Tensor:
    """The maps of a ``select_max`` or ``select_min`` term: most or least active on each photo, by their mean.

    Args:
        photos: (B, 3, H, W) in [0, 1]; shrunk to 512 px for this.
        extractor: Must answer for the term's layer.
        term: Gives layer, count and which end.

    Returns:
        Map indices, int64 (B, count).
    """
    factor = min(1.0, CHOOSING_SIDE_PX / max(photos.shape[-2:]))
    images = enlarge_to(normalise(resize(photos, _sides(photos, factor))), extractor.min_size_px)
    with torch.no_grad():
        a = _wide(extractor(images)[term.layer])
        means = a if a.ndim == 2 else a.mean(dim=(2, 3))
        return means.topk(term.count, dim=1, largest=term.kind == "select_max").indices


def _guide(term: Term, a: Tensor) -> Tensor:
    """Weights (C,) of ``guided`` or the vectors (N, C) of ``guided_match``, from a guide's activation (1, C, h, w)."""
    a = _wide(a)
    if term.kind == "guided_match":
        return a[0].flatten(1).T if a.ndim == 4 else a
    means = a[0].mean(dim=tuple(range(1, a.ndim - 1)))
    return means / _not_zero(means.abs().sum())


def _sum_of_means(a: Tensor) -> Tensor:
    return _not_zero(a.mean(dim=(2, 3), keepdim=True).abs().sum(dim=1, keepdim=True))


def _not_zero(total: Tensor) -> Tensor:
    """A guide that no map answers to weighs nothing, rather than make NaN."""
    return torch.where(total > 0, total, torch.ones_like(total))
