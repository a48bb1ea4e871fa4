"""One look of the networks at pictures: objective, features and what the referee sees, in as few passes as it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dreamgan.backbones.features import Extractor
from dreamgan.dream.recipe import DreamRecipe
from dreamgan.dream.scoring import Scorer, See
from dreamgan.metrics.features import feature_map
from dreamgan.metrics.referee import Referee
from dreamgan.views import robust_views

PLAIN = 1
"""The robust view that leaves pictures as they are."""

Score = Callable[[Tensor, See], Tensor]


@dataclass(frozen=True)
class Look:
    """What the networks say of B pictures.

    Attributes:
        scores: The recipe's objective, (B,).
        features: Of the recipe's deepest layer, after a ReLU, (B, C, h, w), or (B, C) of a layer of the head.
        view_scores: The objective under the six robust views, (B, views); None where it was not asked for.
        vectors: Features of the referee, flattened, (B, D); None without one, or where it was not asked for.
    """

    scores: Tensor
    features: Tensor
    view_scores: Tensor | None
    vectors: Tensor | None


class Looker:
    """Asks the networks. What does not depend on the pictures, such as the features of a guide, is found out once.

    Args:
        extractor: Answers for the recipe's layers.
        recipe: Gives the objective.
        guides: Pictures that the objective names, each (1, 3, h, w) in [0, 1].
        referee: Another network; None: there is none.
    """

    def __init__(
        self,
        extractor: Extractor,
        recipe: DreamRecipe,
        *,
        guides: Mapping[str, Tensor] | None = None,
        referee: Referee | None = None,
    ) -> None:
        self._extractor, self._recipe, self._guides, self._referee = extractor, recipe, guides, referee
        self._layer = extractor.deepest(recipe.layer_names)
        self._known: _Scorer | None = None
        self._scores: dict[tuple[int, int], Score] = {}

    def look(self, images: Tensor, *, robust: bool) -> Look:
        """Look at pictures.

        Args:
            images: (B, 3, H, W) in [0, 1].
            robust: Whether the robust views and the referee are wanted, too.

        Raises:
            UserError: If a guide is missing.
        """
        with torch.no_grad():
            if not robust:
                scores, features = self._answer(images)
                return Look(scores, features, None, None)
            answers = [self._answer(view(images)) for view in robust_views()]
            scores, features = answers[PLAIN]
            vectors = None if self._referee is None else self._referee.vectors(images)
            return Look(scores, features, torch.stack([each for each, _ in answers], dim=1), vectors)

    def features(self, images: Tensor) -> Tensor:
        """As ``Look.features``."""
        with torch.no_grad():
            return feature_map(images, self._extractor, self._layer)

    def _answer(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Objective and features, by one pass."""
        scorer, score = self._scorer(images)
        scores = score(images, _as_it_is)
        return scores, F.relu(scorer.activations(images)[self._layer]).float()

    def _scorer(self, images: Tensor) -> tuple[_Scorer, Score]:
        size = (images.shape[-2], images.shape[-1])
        # Which maps a term selects depends on the pictures.
        selects = any(term.kind.startswith("select_") for term in self._recipe.objective)
        if selects or self._known is None:
            self._known = _Scorer(self._recipe.objective, self._extractor, images, guides=self._guides)
            self._scores.clear()
        if size not in self._scores:
            self._scores[size] = self._known.octave(self._recipe.octaves - 1, size, 1.0)
        return self._known, self._scores[size]


class _Scorer(Scorer):
    """Keeps the answer to the last pictures until it is asked for again, so that features take no second pass."""

    _last: tuple[Tensor, dict[str, Tensor]] | None = None

    def activations(self, images: Tensor) -> dict[str, Tensor]:
        if self._last is not None and self._last[0] is images:
            (_, answers), self._last = self._last, None
            return answers
        answers = super().activations(images)
        self._last = images, answers
        return answers


def _as_it_is(images: Tensor) -> Tensor:
    return images
