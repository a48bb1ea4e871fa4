"""Measures of one-pass dreams against direct dreams; all on held-out photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamgan.backbones.features import Extractor, normalise
from dreamgan.dream.engine import score
from dreamgan.dream.octaves import enlarge_to
from dreamgan.dream.recipe import DreamRecipe
from dreamgan.images import as_saved
from dreamgan.views import robust_views


@dataclass(frozen=True)
class Measures:
    """How close generated pictures are to direct dreams.

    All cosines are of the recipe's deepest target layer, flattened, after a ReLU, of pictures as saved (8 bit).

    Attributes:
        n: Number of photos.
        dream_gain: (obj(G) - obj(x)) / (obj(d) - obj(x)); 0 is the photo, 1 its dream.
        robust_gain: The same under blur, shifts and an upscale, divided by a second dream's.
        floor_cosine: cos(x, d): the untouched photo against its dream.
        feature_cosine: cos(G(x), d).
        ceiling_cosine: cos(d', d): a second dream, made with another shift sequence.
        agreement: (feature - floor) / (ceiling - floor); 0 is the photo, 1 a second dream.
        agreement_se: Standard error of the agreement over pictures; crops of one photograph are not independent.
        wrong_photo_cosine: cos(x + (G(y) - y), d), y being another photo; G must be well above it.
        universal_share: |mean residual|² / mean |residual|² of G: a pattern pasted everywhere shows here.
        dream_universal_share: The same of the dreams.
    """

    n: int
    dream_gain: float
    robust_gain: float
    floor_cosine: float
    feature_cosine: float
    ceiling_cosine: float
    agreement: float
    agreement_se: float
    wrong_photo_cosine: float
    universal_share: float
    dream_universal_share: float


def feature_vectors(images: Tensor, extractor: Extractor, recipe: DreamRecipe) -> Tensor:
    """Features of the recipe's deepest target layer, after a ReLU, flattened.

    The ReLU changes nothing where the layer ends in one.

    Args:
        images: (B, 3, H, W) in [0, 1].
        extractor: Must answer for the recipe's layers.
        recipe: Names the layers.

    Returns:
        (B, C*h*w), float32.
    """
    activations = extractor(enlarge_to(normalise(images), extractor.min_size_px))
    deepest = extractor.deepest(recipe.layer_names)
    return F.relu(activations[deepest]).flatten(1).float()


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Cosine of each pair of rows, (N, D) and (N, D) to (N,)."""
    return F.cosine_similarity(a, b, dim=1)


def gains(photos: Tensor, dreams: Tensor, generated: Tensor) -> Tensor:
    """Share of the dream's rise in objective, per photo; all (N,)."""
    rise = dreams - photos
    return (generated - photos) / torch.where(rise.abs() < 1e-12, torch.full_like(rise, float("nan")), rise)


def universal_share(residuals: Tensor) -> float:
    """|mean residual|² / mean |residual|² over photos; (N, 3, H, W)."""
    residuals = residuals.detach()
    energy = residuals.square().sum(dim=(1, 2, 3)).mean()
    return float(residuals.mean(dim=0).square().sum() / energy.clamp_min(1e-12))


def measure(
    photos: Tensor,
    dreams: Tensor,
    second_dreams: Tensor | None,
    generated: Tensor,
    extractor: Extractor,
    recipe: DreamRecipe,
    *,
    batch: int = 8,
) -> Measures:
    """Measure generated pictures against the direct dreams of the same photos.

    Args:
        photos: (N, 3, H, W) in [0, 1], N at least 2.
        dreams: Their direct dreams.
        second_dreams: Their dreams with another shift sequence: the ceiling. Without them the ceiling, the agreement
            and the robust gain are NaN.
        generated: What the generator makes of the photos.
        extractor: Answers for the recipe's layers.
        recipe: The recipe of the dreams.
        batch: Pictures that go through the extractor at a time.

    Raises:
        ValueError: If there are fewer than 2 photos or the shapes differ.
    """
    has_ceiling = second_dreams is not None
    second_dreams = dreams if second_dreams is None else second_dreams
    if len(photos) < 2 or not photos.shape == dreams.shape == second_dreams.shape == generated.shape:
        shapes = ", ".join(str(tuple(images.shape)) for images in (photos, dreams, second_dreams, generated))
        raise ValueError(f"need at least 2 pictures of one shape each; got {shapes}")
    # Half the way round: neighbours are often crops of one photo, or of one class.
    wrong = (photos + (generated - photos).roll(len(photos) // 2, dims=0)).clamp(0, 1)
    sets = {"x": photos, "d": dreams, "d2": second_dreams, "g": generated, "wrong": wrong}
    saved = {name: as_saved(images) for name, images in sets.items()}

    def over(images: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.no_grad():
            return torch.cat([function(chunk) for chunk in torch.split(images, batch)])

    vectors = {name: over(images, lambda i: feature_vectors(i, extractor, recipe)) for name, images in saved.items()}
    floor, ceiling, feature, control = (cosines(vectors[name], vectors["d"]) for name in ("x", "d2", "g", "wrong"))
    if not has_ceiling:
        ceiling = torch.full_like(ceiling, float("nan"))
    closer, gap = feature - floor, ceiling - floor

    robust = {"g": [], "d2": []}  # type: dict[str, list[Tensor]]
    for view in robust_views():
        objective = {
            name: over(saved[name], lambda i, view=view: score(view(i), extractor, recipe))  # type: ignore[misc]
            for name in ("x", "d", "d2", "g")
        }
        for name, values in robust.items():
            values.append(gains(objective["x"], objective["d"], objective[name]))
    plain = {name: over(saved[name], lambda i: score(i, extractor, recipe)) for name in ("x", "d", "g")}
    return Measures(
        n=len(photos),
        dream_gain=float(gains(plain["x"], plain["d"], plain["g"]).nanmean()),
        robust_gain=float(torch.stack(robust["g"]).nanmean() / torch.stack(robust["d2"]).nanmean())
        if has_ceiling
        else float("nan"),
        floor_cosine=float(floor.mean()),
        feature_cosine=float(feature.mean()),
        ceiling_cosine=float(ceiling.mean()),
        agreement=float(closer.mean() / gap.mean()),
        agreement_se=_agreement_error(closer, gap),
        wrong_photo_cosine=float(control.mean()),
        universal_share=universal_share(generated - photos),
        dream_universal_share=universal_share(dreams - photos),
    )


def _agreement_error(closer: Tensor, gap: Tensor) -> float:
    """Standard error of mean(closer) / mean(gap), by the delta method for a ratio of paired means."""
    ratio = closer.mean() / gap.mean()
    return float((closer - ratio * gap).std() / len(gap) ** 0.5 / gap.mean().abs())
