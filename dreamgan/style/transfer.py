"""Style transfer by optimising the pixels; content or style alone gives the papers' reconstructions from noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dreamgan.backbones.features import Extractor
from dreamgan.errors import UserError
from dreamgan.images import check_images
from dreamgan.style.colour import grey, match_histogram, match_luminance, with_colours_of
from dreamgan.style.comparison import Comparison
from dreamgan.style.recipe import StyleRecipe

TERMS = ("content", "style", "tv")
# A coarser level would hold less than a network's deepest style layer can see.
LEAST_LEVEL_PX = 48
NOISE_CONTRAST = 0.2
# How far the first step of L-BFGS moves a pixel in the mean, before its line search.
FIRST_STEPS = (3e-3, 1e-4, 3e-6)


@dataclass(frozen=True)
class Pass:
    """One step of the optimiser.

    Attributes:
        level: Number of the size, 0 the coarsest.
        levels: How many there are.
        number: Of the pass at this level; 0: before the first one.
        passes: How many there are at each level.
        size: Height and width at this level, in pixels.
        content: The content term, α times the loss.
        style: The style term, β times the loss.
        tv: Total variation, with its weight.
    """

    level: int
    levels: int
    number: int
    passes: int
    size: tuple[int, int]
    content: float
    style: float
    tv: float

    @property
    def total(self) -> float:
        """The loss."""
        return self.content + self.style + self.tv


@dataclass(frozen=True)
class StyleResult:
    """A picture and how it came about.

    Attributes:
        image: (1, 3, H, W) in [0, 1], on the photo's device.
        passes: In order, with the loss before the first pass of each level.
    """

    image: Tensor
    passes: tuple[Pass, ...]


def transfer_style(
    photo: Tensor,
    style: Tensor | None,
    extractor: Extractor,
    recipe: StyleRecipe,
    *,
    seed: int = 0,
    callback: Callable[[Pass], object] | None = None,
) -> StyleResult:
    """Paint a photo in the style of another picture.

    With ``style_weight`` 0 and from noise it is the content reconstruction of the papers, with ``content_weight`` 0 the
    style reconstruction, in which the photo only says how large the picture becomes.

    Source: Gatys et al. 2016; coarse to fine as in Gatys et al. 2017 (Controlling Perceptual Factors).
    Differs: see ``Comparison``. L-BFGS is not held within [0, 1], the picture is clamped when a level is done; Adam's
    is clamped at every step.

    Args:
        photo: (1, 3, H, W) in [0, 1].
        style: (1, 3, h, w) in [0, 1]; None where ``style_weight`` is 0.
        extractor: Must answer for the recipe's layers; with ``pooling`` average its maxima are replaced for good.
        recipe: What to do.
        seed: Of the noise.
        callback: Called after every pass.

    Returns:
        Picture and losses. The same for the same arguments, on the same machine and thread count.

    Raises:
        ValueError: If a picture is not as described.
        UserError: If the photo is too small for the layers, or the loss is not finite.
    """
    check_images(photo, "photo")
    if len(photo) != 1 or (style is not None and len(style) != 1):
        raise ValueError(f"style transfer takes one photo and one style picture, got {len(photo)} photos")
    if style is not None:
        check_images(style, "style")
        style = style.to(photo)
    if min(photo.shape[-2:]) < extractor.min_size_px:
        raise UserError(
            f"the photo is {photo.shape[-1]}x{photo.shape[-2]} px, and {extractor.layers_by_depth[-1]} of "
            f"{extractor.backbone} needs {extractor.min_size_px} px a side; give a larger photo or a lower layer"
        )
    if recipe.pooling == "average":
        average_pooling(extractor)
    source = photo
    if recipe.colour == "histogram" and style is not None:
        style = match_histogram(style, photo)
    elif recipe.colour == "luminance" and style is not None:
        source = grey(photo)
        style = match_luminance(grey(style), source)
    height, width = photo.shape[-2:]
    sizes = level_sizes(height, width, recipe.levels, extractor.min_size_px)
    image = _begun(source, recipe, sizes[0], seed)
    passes: list[Pass] = []
    for level, size in enumerate(sizes):
        share = size[0] / sizes[-1][0]
        here = None if style is None else _resized(style, _scaled(style, share, extractor.min_size_px))
        comparison = Comparison(extractor, recipe, here)
        content = comparison.content_of(_resized(source, size))
        image = _resized(image, size).detach().clone().requires_grad_(True)
        for number, terms in enumerate(_descend(image, comparison, content, recipe)):
            done = Pass(level, len(sizes), number, recipe.passes, size, *(float(terms[name]) for name in TERMS))
            if not math.isfinite(done.total):
                raise UserError("the loss is not finite; lower --style_weight, or check the weights of the network")
            passes.append(done)
            if callback is not None:
                callback(done)
        image = image.detach().clamp(0, 1)
    if recipe.colour == "luminance" and style is not None:
        image = with_colours_of(image, photo)
    return StyleResult(image, tuple(passes))


def level_sizes(height: int, width: int, levels: int, least_px: int = 0) -> list[tuple[int, int]]:
    """Sizes, coarse to fine, each about half of the next one, without those that are too small.

    Args:
        height: Of the picture, in pixels.
        width: Likewise.
        levels: How many are wanted.
        least_px: The smallest side that the network takes; no level has a side below ``LEAST_LEVEL_PX`` either, but
            the last one, which is the picture's own.
    """
    least = max(least_px, LEAST_LEVEL_PX)
    sizes = [(round(height / 2**k), round(width / 2**k)) for k in reversed(range(levels))]
    return [size for size in sizes[:-1] if min(size) >= least] + [(height, width)]


def average_pooling(extractor: Extractor) -> None:
    """Replace the network's maxima by means, as Gatys et al. 2016 recommend (section 2), in place."""
    for path, module in list(extractor.network.named_modules()):
        if isinstance(module, nn.MaxPool2d):
            mean = nn.AvgPool2d(module.kernel_size, module.stride, module.padding, ceil_mode=module.ceil_mode)
            extractor.network.set_submodule(path, mean)


def _begun(source: Tensor, recipe: StyleRecipe, size: tuple[int, int], seed: int) -> Tensor:
    if recipe.start == "photo":
        return _resized(source, size)
    # Drawn on the CPU, so that a seed means the same on every device.
    noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(seed % 2**63))
    return (0.5 + NOISE_CONTRAST * noise).clamp(0, 1).to(source)


def _descend(
    image: Tensor, comparison: Comparison, content: dict[str, Tensor], recipe: StyleRecipe
) -> Iterator[dict[str, Tensor]]:
    """Change the pixels pass by pass; yield the terms before the first pass and after each, (1,) without a graph."""
    seen = _Seen(image, comparison, content)
    yield seen.terms()
    optimizer = _optimizer(seen, recipe, FIRST_STEPS[0])
    for _ in range(recipe.passes):
        before = seen.total()
        _step(optimizer, seen)
        if recipe.optimizer == "adam":
            with torch.no_grad():
                image.clamp_(0, 1)
        else:
            for first_step in FIRST_STEPS:
                if seen.total() < before:
                    break
                # The line search found nothing better, and would find nothing in the same direction again: begin anew,
                # down the gradient, ever more carefully.
                optimizer = _optimizer(seen, recipe, first_step)
                _step(optimizer, seen)
        yield seen.terms()


def _optimizer(seen: _Seen, recipe: StyleRecipe, first_step: float) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        return torch.optim.Adam([seen.image], lr=recipe.step_size)
    seen.rescale()
    return torch.optim.LBFGS(
        [seen.image],
        # Of the first step alone, which torch shortens to a length (in L1) of 1: far too little for a whole picture.
        lr=first_step * seen.image.numel(),
        max_iter=1,
        history_size=20,
        # It must not take a plateau for the end: the user says how many passes.
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )


def _step(optimizer: torch.optim.Optimizer, seen: _Seen) -> None:
    optimizer.step(seen.loss)
    if isinstance(optimizer, torch.optim.LBFGS):
        optimizer.param_groups[0]["lr"] = 1.0


class _Seen:
    """The loss and its gradient at the picture as it stands; asked again at the same place, nothing is computed.

    L-BFGS, taken pass by pass, begins each one where the line search of the last one ended.
    """

    def __init__(self, image: Tensor, comparison: Comparison, content: dict[str, Tensor]) -> None:
        self.image, self.comparison, self.content = image, comparison, content
        self._at: Tensor | None = None
        self._terms: dict[str, Tensor] = {}
        self._scale = 1.0

    def rescale(self) -> None:
        """Let the optimiser see the loss so large that the gradient's mean size is 1 here.

        L-BFGS takes no curvature for true that is below 1e-10, and the gradient of a mean over a picture is.
        """
        self._scale = 1.0
        self._at = None
        self.terms()
        if self.image.grad is not None:
            self._scale = 1 / max(float(self.image.grad.abs().mean()), 1e-30)
            self.image.grad.mul_(self._scale)

    def total(self) -> float:
        """The loss here."""
        return float(torch.stack(list(self.terms().values())).sum())

    def loss(self) -> float:
        """The loss as the optimiser sees it; beside it the picture's gradient is set."""
        return self._scale * self.total()

    def terms(self) -> dict[str, Tensor]:
        """The terms of the loss here, (1,) each."""
        if self._at is None or not torch.equal(self._at, self.image):
            with torch.enable_grad():
                terms = self.comparison(self.image, self.content)
                (gradient,) = torch.autograd.grad(torch.stack(list(terms.values())).sum(), self.image)
            self.image.grad = self._scale * gradient.contiguous()  # L-BFGS flattens it
            self._terms = {name: value.detach() for name, value in terms.items()}
            self._at = self.image.detach().clone()
        return self._terms


def _scaled(image: Tensor, share: float, least_px: int) -> tuple[int, int]:
    height, width = image.shape[-2:]
    share = max(share, least_px / min(height, width))
    return round(height * share), round(width * share)


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, antialiased where the picture becomes smaller."""
    if tuple(images.shape[-2:]) == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)
