"""All measures of a set of pictures, from a few numbers and pooled features of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from dreamgan.metrics.kid import kernel_distance
from dreamgan.metrics.residuals import UniversalShare, ratio_of_shares
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
        over_wrong_photo: feature_cosine - wrong_photo_cosine.
        second_over_wrong_photo: The same of a second dream.
        universal_share: |mean residual|² / mean |residual|² of G: a pattern pasted everywhere shows here.
        dream_universal_share: The same of the dreams.
        universal_ratio: universal_share / dream_universal_share; at most 2 is wanted.
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
    over_wrong_photo: float
    over_wrong_photo_std: float
    second_over_wrong_photo: float
    universal_share: float
    dream_universal_share: float
    universal_ratio: float
    universal_ratio_std: float
    kid: float
    kid_std: float
    kid_floor: float
    kid_ceiling: float


def measures_of(kept: Mapping[str, Tensor], added: UniversalShare, dreamed: UniversalShare) -> Measures:
    """The measures of N photos.

    Args:
        kept: "cosine K", (N,), with the dreams' features, and "pooled K", (N, C), of the features, K being x (the
            photos), d, d2 (second dreams), g (what is measured); "cosine wrong" and "cosine second wrong" of the
            control; "gain K", "robust K" and "referee K", (N,). What is missing there is NaN here.
        added: What was added to the photos.
        dreamed: What the dreams added.

    Raises:
        ValueError: If there are fewer than 2 photos.
    """
    n = len(kept.get("cosine d", ()))
    if n < 2:
        raise ValueError(f"need at least 2 pictures, got {n}")

    def of(name: str) -> Spread:
        return spread(kept[name]) if name in kept else MISSING

    def over(name: str, wrong: str) -> Spread:
        names = (f"cosine {name}", f"cosine {wrong}")
        return spread(kept[names[0]] - kept[names[1]]) if names[1] in kept else MISSING

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
    ratio = ratio_of_shares(added, dreamed)
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
        over_wrong_photo=over("g", "wrong").mean,
        over_wrong_photo_std=over("g", "wrong").std,
        second_over_wrong_photo=over("d2", "second wrong").mean,
        universal_share=added.value,
        dream_universal_share=dreamed.value,
        universal_ratio=ratio.mean,
        universal_ratio_std=ratio.std,
        kid=kid.mean,
        kid_std=kid.std,
        kid_floor=distance("x").mean,
        kid_ceiling=distance("d2").mean,
    )
