"""What one style of dream teaches the generator: its pictures compared in the network that dreamed them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from dreamgan.backbones.features import load_extractor, normalise
from dreamgan.dream import DreamRecipe, parse_layers
from dreamgan.dream.octaves import enlarge_to
from dreamgan.dream.scoring import Look, Scorer, score_look, score_places
from dreamgan.errors import UserError
from dreamgan.losses import log_objective_gap, relative_feature_l1
from dreamgan.views import View

Key = TypeVar("Key", bound=Hashable)

# Three depths of each backbone, shallow to deep, with the weights of their feature losses.
_FEATURE_LAYERS = {
    "vgg16": "relu2_2:0.06,relu3_3:0.12,relu4_3:0.3",
    "vgg19": "relu2_2:0.06,relu3_4:0.12,relu4_4:0.3",
    "resnet50": "layer1:0.06,layer2:0.12,layer3:0.3",
    "inception_v3": "mixed0:0.06,mixed3:0.12,mixed5:0.3",
    "googlenet": "inception_3a:0.06,inception_3b:0.12,inception_4c:0.3",
    "googlenet_bvlc": "inception_3a:0.06,inception_3b:0.12,inception_4c:0.3",
    "mobilenet_v2": "block_3_expand_relu:0.06,block_6_expand_relu:0.12,block_10_expand_relu:0.3",
    "squeezenet1_1": "features.4:0.06,features.7:0.12,features.9:0.3",
}


class Lesson(nn.Module):
    """Compares generated pictures with direct dreams of one style; frozen.

    Args:
        facts: What was dreamed, as in ``Style.facts``.
        guides: The pictures that the recipe dreams of, each (1, 3, h, w) in [0, 1].
        weights: File with the backbone's weights; None for torchvision's own, ``random`` for random ones.
        feature_layers: Layers and weights of the feature loss, layer:weight with commas; None for three depths of
            the backbone.

    Raises:
        UserError: If the weights are not those of the dataset, a layer is not in the backbone, or the objective needs
            more than a picture.
    """

    def __init__(
        self,
        facts: Mapping[str, Any],
        guides: Mapping[str, Tensor],
        *,
        weights: str | None,
        feature_layers: str | None,
    ) -> None:
        super().__init__()
        self.recipe = DreamRecipe.from_json(facts["recipe_json"])
        objective = self.recipe.objective
        backbone = facts["backbone"]
        self.feature_weights = dict(parse_layers(feature_layers or _FEATURE_LAYERS[backbone]))
        self.extractor = load_extractor(
            backbone,
            [*dict.fromkeys([*self.feature_weights, *self.recipe.layer_names])],
            weights=weights,
            batch_norms=objective.needs_batch_norms,
        )
        if self.extractor.weights_sha256 != facts["weights_sha256"]:
            raise UserError(
                f"{facts['recipe']!r} was dreamed with {backbone} weights of sha256 {facts['weights_sha256'][:12]}… "
                f"({facts['weights']}), these are {self.extractor.weights_sha256[:12]}…; give --model.backbone_weights "
                f"{backbone}=FILE"
            )
        if not objective.stands_alone and not _of_known_guides(self.recipe, guides):
            raise UserError(f"the objective {objective} needs more than a picture; a GAN cannot train on it")
        # The photos are for objectives that choose on them, which have just been refused.
        scorer = Scorer(objective.in_training(-1), self.extractor, torch.zeros(1, 3, 32, 32), guides=guides)
        self.objective = scorer.objective
        self.layer = self.extractor.deepest(self.recipe.layer_names)
        # As buffers they follow the network to its device and precision.
        self._guides = _Tensors(guides)
        self._known = _Tensors(scorer.known)

    def forward(self, generated: Tensor, dreams: Tensor, view: View) -> dict[str, Tensor]:
        """The terms, each a mean over the batch.

        Args:
            generated: (B, 3, H, W) in [0, 1].
            dreams: The direct dreams of the same photos.
            view: The way in which both are looked at.

        Returns:
            "feature": weighted sum of the relative feature L1 over the layers; "objective", "local": gap of the log
            objective, of the whole picture and place by place (left out where the objective does not speak of places);
            () each.
        """
        with torch.no_grad():
            target = self._look(view(dreams))
        look = self._look(view(generated))
        features = [
            weight * relative_feature_l1(look.activations, target.activations, layer)
            for layer, weight in self.feature_weights.items()
        ]
        objective = self.objective
        scores, target_scores = (score_look(each, objective) for each in (look, target))
        terms = {
            "feature": torch.stack(features).sum(),
            "objective": log_objective_gap(scores, target_scores),
        }
        if self._has_places(look):
            places, target_places = (score_places(each, objective, self.layer) for each in (look, target))
            terms["local"] = log_objective_gap(places, target_places)
        return terms

    @property
    def guides(self) -> dict[str, Tensor]:
        """The pictures that the recipe dreams of, by name, (1, 3, h, w) in [0, 1]."""
        return self._guides.named()

    def _has_places(self, look: Look) -> bool:
        terms = (term for term in self.objective if term.layer == self.layer)
        return look.activations[self.layer].ndim == 4 and any(term.kind != "neuron" for term in terms)

    def _look(self, images: Tensor) -> Look:
        # A view of a small picture may have to be enlarged.
        seen = enlarge_to(normalise(images), self.extractor.min_size_px)
        return Look(self.extractor(seen.contiguous(memory_format=torch.channels_last)), known=self._known.named())


class _Tensors(nn.Module, Generic[Key]):
    """A dictionary of tensors that do not change, and are no part of a checkpoint."""

    def __init__(self, tensors: Mapping[Key, Tensor]) -> None:
        super().__init__()
        self._keys = tuple(tensors)
        for number, tensor in enumerate(tensors.values()):
            self.register_buffer(f"tensor_{number}", tensor, persistent=False)

    def named(self) -> dict[Key, Tensor]:
        return dict(zip(self._keys, self.buffers(), strict=True))


def _of_known_guides(recipe: DreamRecipe, guides: Mapping[str, Tensor]) -> bool:
    """Whether guides, given and the same at every place and octave, are all that the objective needs."""
    return all(
        not term.mask
        and term.kind not in ("select_max", "select_min")
        and (not term.guide or (term.guide in guides and not (term.spatial or term.per_octave)))
        for term in recipe.objective
    )
