"""All measures of a set of pictures, taken batch by batch: a few numbers and features per photo are kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamgan.backbones.features import Extractor
from dreamgan.dream.engine import score
from dreamgan.dream.recipe import DreamRecipe
from dreamgan.images import as_saved
from dreamgan.metrics.features import cosines, feature_map
from dreamgan.metrics.gains import gains, view_scores
from dreamgan.metrics.kid import kernel_distance, pooled
from dreamgan.metrics.referee import Referee
from dreamgan.metrics.residuals import UniversalShare, other_photos, with_residual_of
from dreamgan.metrics.spread import MISSING, Spread, ratio_spread, spread


@dataclass(frozen=True)
class Measures:
    """How close generated pictures are to direct dreams; docs/measures.md has the formulas.

    Cosines are of the recipe's deepest target layer, flattened, after a ReLU, of pictures as saved (8 bit). What ends
    in ``_std`` is the standard deviation over photos of the figure of that name (of KID: over subsets). A figure that
    could not be taken is NaN.

    Attributes:
        n: Number of photos.
        dream_gain: (obj(G) - obj(x)) / (obj(d) - obj(x)); 0 is the photo, 1 its dream.
        second_dream_gain: The same of a second dream.
        robust_gain: The same under blur, shifts and an upscale, divided by a second dream's.
        floor_cosine: cos(x, d): the untouched photo against its dream.
        feature_cosine: cos(G(x), d).
        ceiling_cosine: cos(d', d): a second dream, made with another shift sequence.
        agreement: (feature - floor) / (ceiling - floor); 0 is the photo, 1 a second dream.
        agreement_se: Standard error of the agreement over pictures; crops of one photograph are not independent.
        referee_floor_cosine: As ``floor_cosine``, in the referee's network.
        referee_feature_cosine: As ``feature_cosine``, there.
        referee_ceiling_cosine: As ``ceiling_cosine``, there.
        referee_agreement: As ``agreement``, there.
        wrong_photo_cosine: cos(x + (G(y) - y), d), y being another photo; G must be well above it.
        universal_share: |mean residual|² / mean |residual|² of G: a pattern pasted everywhere shows here.
        dream_universal_share: The same of the dreams.
        kid: Kernel distance between G and the dreams, in the same layer, averaged over places.
        kid_floor: The same between the photos and the dreams.
        kid_ceiling: The same between the second dreams and the dreams.
    """

    n: int
    dream_gain: float
    dream_gain_std: float
    second_dream_gain: float
    robust_gain: float
    robust_gain_std: float
    floor_cosine: float
    floor_cosine_std: float
    feature_cosine: float
    feature_cosine_std: float
    ceiling_cosine: float
    ceiling_cosine_std: float
    agreement: float
    agreement_std: float
    agreement_se: float
    referee_floor_cosine: float
    referee_feature_cosine: float
    referee_ceiling_cosine: float
    referee_agreement: float
    referee_agreement_std: float
    wrong_photo_cosine: float
    wrong_photo_cosine_std: float
    universal_share: float
    dream_universal_share: float
    kid: float
    kid_std: float
    kid_floor: float
    kid_ceiling: float


class Measuring:
    """Takes pictures in batches and keeps what the measures need of them.

    Args:
        extractor: Answers for the recipe's layers.
        recipe: The recipe of the dreams.
        guides: Pictures that the objective names, each (1, 3, h, w) in [0, 1].
        referee: Another network to compare the pictures in; None: no referee agreement.
    """

    def __init__(
        self,
        extractor: Extractor,
        recipe: DreamRecipe,
        *,
        guides: Mapping[str, Tensor] | None = None,
        referee: Referee | None = None,
    ) -> None:
        self.extractor, self.recipe, self.guides, self.referee = extractor, recipe, guides, referee
        self._layer = extractor.deepest(recipe.layer_names)
        self._kept: dict[str, list[Tensor]] = defaultdict(list)
        self._added, self._dreamed = UniversalShare(), UniversalShare()

    def add(
        self,
        photos: Tensor,
        dreams: Tensor,
        second_dreams: Tensor | None,
        generated: Tensor,
        wrong: Tensor | None,
    ) -> None:
        """Measure a batch. When memory runs out on the way, nothing of it has been taken up.

        Args:
            photos: (B, 3, H, W) in [0, 1].
            dreams: Their direct dreams.
            second_dreams: Their dreams with another shift sequence; None in every batch where there are none.
            generated: What the generator makes of the photos.
            wrong: The photos with what the generator added to others (``with_residual_of``); None in every batch
                where there is no other photo.
        """
        given = {"x": photos, "d": dreams, "d2": second_dreams, "g": generated, "wrong": wrong}
        saved = {name: as_saved(images) for name, images in given.items() if images is not None}
        with torch.no_grad():
            found = self._cosines(saved) | self._scores(saved) | self._referee_cosines(saved)
            found = {name: values.cpu() for name, values in found.items()}
            added, dreamed = (generated - photos).cpu(), (dreams - photos).cpu()
        for name, values in found.items():
            self._kept[name].append(values)
        self._added.add(added)
        self._dreamed.add(dreamed)

    def _cosines(self, saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
        maps = {name: feature_map(images, self.extractor, self._layer) for name, images in saved.items()}
        found = {f"cosine {name}": cosines(maps[name].flatten(1), maps["d"].flatten(1)) for name in maps}
        return found | {f"pooled {name}": pooled(maps[name]) for name in maps if name != "wrong"}

    def _referee_cosines(self, saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self.referee is None or "d2" not in saved:
            return {}
        vectors = {name: self.referee.vectors(saved[name]) for name in ("x", "d", "d2", "g")}
        return {f"referee {name}": cosines(vectors[name], vectors["d"]) for name in ("x", "d2", "g")}

    def _scores(self, saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = [name for name in ("x", "d", "d2", "g") if name in saved]
        plain = {name: score(saved[name], self.extractor, self.recipe, guides=self.guides) for name in names}
        found = {f"gain {name}": gains(plain["x"], plain["d"], plain[name]) for name in names[2:]}
        if "d2" in saved:  # the robust gain is in parts of a second dream's
            views = {name: view_scores(saved[name], self.extractor, self.recipe, self.guides) for name in names}
            for name in ("d2", "g"):
                found[f"robust {name}"] = gains(views["x"], views["d"], views[name]).nanmean(dim=1)
        return found

    def measures(self) -> Measures:
        """The measures of all that was added.

        Raises:
            ValueError: If that is fewer than 2 photos.
        """
        kept = {name: torch.cat(parts) for name, parts in self._kept.items()}
        n = len(kept.get("cosine d", ()))
        if n < 2:
            raise ValueError(f"need at least 2 pictures, got {n}")

        def of(name: str) -> Spread:
            return spread(kept[name]) if name in kept else MISSING

        def agreement(kind: str) -> Spread:
            if f"{kind} d2" not in kept:
                return MISSING
            floor = kept[f"{kind} x"]
            return ratio_spread(kept[f"{kind} g"] - floor, kept[f"{kind} d2"] - floor)

        def distance(name: str) -> Spread:
            name = f"pooled {name}"
            return kernel_distance(kept["pooled d"], kept[name]) if name in kept else MISSING

        gain, agreed, judged, kid = of("gain g"), agreement("cosine"), agreement("referee"), distance("g")
        robust = ratio_spread(kept["robust g"], kept["robust d2"]) if "robust d2" in kept else MISSING
        floor, feature, ceiling, wrong = (of(f"cosine {name}") for name in ("x", "g", "d2", "wrong"))
        return Measures(
            n=n,
            dream_gain=gain.mean,
            dream_gain_std=gain.std,
            second_dream_gain=of("gain d2").mean,
            robust_gain=robust.mean,
            robust_gain_std=robust.std,
            floor_cosine=floor.mean,
            floor_cosine_std=floor.std,
            feature_cosine=feature.mean,
            feature_cosine_std=feature.std,
            ceiling_cosine=ceiling.mean,
            ceiling_cosine_std=ceiling.std,
            agreement=agreed.mean,
            agreement_std=agreed.std,
            agreement_se=agreed.std / n**0.5,
            referee_floor_cosine=of("referee x").mean,
            referee_feature_cosine=of("referee g").mean,
            referee_ceiling_cosine=of("referee d2").mean,
            referee_agreement=judged.mean,
            referee_agreement_std=judged.std,
            wrong_photo_cosine=wrong.mean,
            wrong_photo_cosine_std=wrong.std,
            universal_share=self._added.value,
            dream_universal_share=self._dreamed.value,
            kid=kid.mean,
            kid_std=kid.std,
            kid_floor=distance("x").mean,
            kid_ceiling=distance("d2").mean,
        )


def measure(
    photos: Tensor,
    dreams: Tensor,
    second_dreams: Tensor | None,
    generated: Tensor,
    extractor: Extractor,
    recipe: DreamRecipe,
    *,
    guides: Mapping[str, Tensor] | None = None,
    referee: Referee | None = None,
    batch: int = 8,
) -> Measures:
    """Measure generated pictures against the direct dreams of the same photos.

    Args:
        photos: (N, 3, H, W) in [0, 1], N at least 2.
        dreams: Their direct dreams.
        second_dreams: Their dreams with another shift sequence: the ceiling. Without them the ceiling, the agreements
            and the robust gain are NaN.
        generated: What the generator makes of the photos.
        extractor: Answers for the recipe's layers.
        recipe: The recipe of the dreams.
        guides: Pictures that the objective names, each (1, 3, h, w) in [0, 1].
        referee: Another network to compare the pictures in.
        batch: Pictures that go through the networks at a time.

    Raises:
        ValueError: If there are fewer than 2 photos or the shapes differ.
    """
    sets = [photos, dreams, generated] if second_dreams is None else [photos, dreams, second_dreams, generated]
    if len(photos) < 2 or any(images.shape != photos.shape for images in sets):
        shapes = ", ".join(str(tuple(images.shape)) for images in sets)
        raise ValueError(f"need at least 2 pictures of one shape each; got {shapes}")
    others = torch.tensor(other_photos(range(len(photos))))
    measuring = Measuring(extractor, recipe, guides=guides, referee=referee)
    for start in range(0, len(photos), batch):
        part = slice(start, start + batch)
        measuring.add(
            photos[part],
            dreams[part],
            None if second_dreams is None else second_dreams[part],
            generated[part],
            with_residual_of(photos[part], photos[others[part]], generated[others[part]]),
        )
    return measuring.measures()
