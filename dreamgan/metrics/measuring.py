"""Measuring pictures batch by batch: a few numbers and pooled features per photo are kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dreamgan.backbones.features import Extractor
from dreamgan.dream.recipe import DreamRecipe
from dreamgan.images import as_saved
from dreamgan.metrics.features import cosines
from dreamgan.metrics.gains import gains
from dreamgan.metrics.kid import pooled
from dreamgan.metrics.looks import Look, Looker
from dreamgan.metrics.measures import Measures, measures_of
from dreamgan.metrics.referee import Referee
from dreamgan.metrics.residuals import UniversalShare, other_photos, with_residual_of


@dataclass(frozen=True)
class Direct:
    """What the networks say of photos and their direct dreams: the same whatever is held against them.

    Attributes:
        photos: (B, 3, H, W) in [0, 1].
        dreams: Of the photos.
        looks: "x" at the photos, "d" at the dreams and, where there are any, "d2" at the second dreams.
        wrong: Cosine of the photos with what other second dreams added, (B,); None where it was not asked for.
    """

    photos: Tensor
    dreams: Tensor
    looks: Mapping[str, Look]
    wrong: Tensor | None


@dataclass(frozen=True)
class Compared:
    """What was found of B pictures held against direct dreams; all on the CPU.

    Attributes:
        values: Name to (B, ...).
        added: What was added to the photos, (B, 3, H, W).
        dreamed: What the dreams added.
    """

    values: Mapping[str, Tensor]
    added: Tensor
    dreamed: Tensor


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
        self._looker = Looker(extractor, recipe, guides=guides, referee=referee)
        self._kept: dict[str, list[Tensor]] = defaultdict(list)
        self._added, self._dreamed = UniversalShare(), UniversalShare()

    def direct(
        self, photos: Tensor, dreams: Tensor, second_dreams: Tensor | None, wrong: Tensor | None = None
    ) -> Direct:
        """Look at photos and their direct dreams.

        Args:
            photos: (B, 3, H, W) in [0, 1].
            dreams: Their direct dreams.
            second_dreams: Their dreams with another shift sequence; None in every batch where there are none.
            wrong: The photos with what second dreams added to others (``with_residual_of``).

        Returns:
            What ``compare`` needs, of this ``Measuring`` or of any other with the same networks.
        """
        given = {"x": photos, "d": dreams} | ({} if second_dreams is None else {"d2": second_dreams})
        # The robust gain and the referee's agreement are in parts of a second dream's.
        looks = {k: self._looker.look(as_saved(each), robust=second_dreams is not None) for k, each in given.items()}
        return Direct(photos, dreams, looks, None if wrong is None else self._cosine(wrong, looks["d"]))

    def compare(self, direct: Direct, generated: Tensor, wrong: Tensor | None) -> Compared:
        """Hold a batch against its direct dreams; nothing is taken up.

        Args:
            direct: Of its photos.
            generated: What the generator makes of the photos.
            wrong: The photos with what the generator added to others (``with_residual_of``); None in every batch
                where there is no other photo.
        """
        robust = "d2" in direct.looks
        looks = {**direct.looks, "g": self._looker.look(as_saved(generated), robust=robust)}
        x, d = looks["x"], looks["d"]
        found = {f"cosine {k}": _cosines(look.features, d.features) for k, look in looks.items()}
        found |= {f"pooled {k}": pooled(look.features) for k, look in looks.items()}
        if wrong is not None:
            found["cosine wrong"] = self._cosine(wrong, d)
        if direct.wrong is not None:
            found["cosine second wrong"] = direct.wrong
        for name, look in looks.items():
            if name in ("g", "d2"):
                found[f"gain {name}"] = gains(x.scores, d.scores, look.scores)
            if look.view_scores is not None and x.view_scores is not None and d.view_scores is not None:
                found[f"robust {name}"] = gains(x.view_scores, d.view_scores, look.view_scores).nanmean(dim=1)
            if look.vectors is not None and d.vectors is not None:
                found[f"referee {name}"] = _cosines(look.vectors, d.vectors)
        values = {name: each.detach().cpu() for name, each in found.items()}
        added, dreamed = ((images - direct.photos).detach().cpu() for images in (generated, direct.dreams))
        return Compared(values, added, dreamed)

    def take(self, compared: Compared) -> None:
        """Take up what was found of a batch."""
        for name, values in compared.values.items():
            self._kept[name].append(values)
        self._added.add(compared.added)
        self._dreamed.add(compared.dreamed)

    def measures(self) -> Measures:
        """The measures of all that was taken up.

        Raises:
            ValueError: If that is fewer than 2 photos.
        """
        kept = {name: torch.cat(parts) for name, parts in self._kept.items()}
        return measures_of(kept, self._added, self._dreamed)

    def _cosine(self, images: Tensor, dreams: Look) -> Tensor:
        return _cosines(self._looker.features(as_saved(images)), dreams.features)


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
        own = slice(start, start + batch)
        other = others[own]
        second = second_wrong = None
        if second_dreams is not None:
            second = second_dreams[own]
            second_wrong = with_residual_of(photos[own], photos[other], second_dreams[other])
        direct = measuring.direct(photos[own], dreams[own], second, second_wrong)
        wrong = with_residual_of(photos[own], photos[other], generated[other])
        measuring.take(measuring.compare(direct, generated[own], wrong))
    return measuring.measures()


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    return cosines(a.flatten(1), b.flatten(1))
