"""The image-to-image GAN: photo in, dream out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from dreamgan.backbones.features import Extractor, load_extractor, normalise
from dreamgan.dream import DreamRecipe, parse_layers
from dreamgan.dream.octaves import enlarge_to
from dreamgan.dream.scoring import Look, Scorer, score_look
from dreamgan.dream.shifts import stream
from dreamgan.errors import UserError
from dreamgan.losses import (
    hinge_discriminator,
    hinge_generator,
    l1,
    local_objective,
    log_objective_gap,
    low_pass_l1,
    relative_feature_l1,
)
from dreamgan.metrics import Measures, measure
from dreamgan.networks.patchgan import PatchDiscriminator
from dreamgan.networks.translator import EncoderName, Translator, TranslatorConfig
from dreamgan.views import RandomView

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


# What decides the shapes of the networks: a checkpoint fits a model where these are the same.
_SHAPE = ("encoder", "widths", "discriminator_width")


def _check_ranges(values: Mapping[str, Any]) -> None:
    """Refuse hyper-parameters that make no sense.

    Raises:
        UserError: Naming the value and its range.
    """

    def check(name: str, ok: bool, range_: str) -> None:
        if not ok:
            raise UserError(f"{name} is {values[name]}; {range_}")

    check("widths", min(values["widths"]) >= 1, "each must be at least 1")
    check("discriminator_width", values["discriminator_width"] >= 1, "it must be at least 1")
    for name in ("lr_g", "lr_d"):
        check(name, 0 < values[name] < math.inf, "it must be above 0")
    weights = ("l1_weight", "low_pass_weight", "objective_weight", "local_weight", "adversarial_weight")
    for name in ("encoder_lr_factor", *weights):
        check(name, 0 <= values[name] < math.inf, "it must be at least 0")
    for name in ("warmup", "ema_decay"):
        check(name, 0 <= values[name] < 1, "it must be at least 0 and below 1")
    check("betas", all(0 <= beta < 1 for beta in values["betas"]), "each must be at least 0 and below 1")
    check("adversarial_from", 0 <= values["adversarial_from"] <= 1, "it must be from 0 to 1")
    if values["feature_layers"] is not None:
        weights_of_layers = [weight for _, weight in parse_layers(values["feature_layers"])]
        check("feature_layers", all(0 <= w < math.inf for w in weights_of_layers), "no weight may be below 0")


def ema_average(decay: float) -> Any:
    """In-place exponential averaging for ``AveragedModel``, with a short memory at the start.

    The decay after n updates is min(decay, (1 + n) / (10 + n)), so that the random beginning is soon forgotten.
    """

    def update(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        n = int(count)
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + n) / (10 + n)))

    return update


class Pix2Pix(LightningModule):
    """Trains a ``Translator`` to replicate the dreams of a dream dataset.

    What was dreamed (recipe, backbone, layers) is read from the dataset; nothing about it has to be configured.

    Source: pix2pix (Isola et al. 2017) with a feature-matching loss in the dreaming backbone.
    Differs: the feature loss, under random crop, scale and blur, carries the training; the discriminator joins late
    and gently; all pictures are sampled from an EMA of the generator.

    Args:
        encoder: Pretrained backbone inside the generator: mobilenet_v2 or squeezenet1_1.
        encoder_weights: File with its weights; None for torchvision's own, ``random`` for none.
        backbone_weights: File with the weights that the dataset was dreamed with; None for torchvision's own.
        widths: Channels of the generator's decoder at strides 1, 2, 4, 8 and 16.
        lr_g: Adam's learning rate of the decoder, at its highest.
        encoder_lr_factor: The encoder's share of it.
        lr_d: Adam's learning rate of the discriminator.
        betas: Of both.
        warmup: Share of the training in which the learning rate rises; it falls as a cosine afterwards.
        l1_weight: Pixel L1.
        low_pass_weight: L1 of 4-pixel means.
        feature_layers: Layers and weights of the feature loss, layer:weight with commas; None for three depths of
            the backbone.
        objective_weight: Two-sided match of the log objective of the whole picture.
        local_weight: The same at every location.
        adversarial_weight: Conditional PatchGAN, hinge loss.
        adversarial_from: Share of the training after which the discriminator joins; 1 leaves it out.
        discriminator_width: Channels of its first layer.
        ema_decay: Of the generator's average, per batch.
        seed: Seed of everything random in training but the order of the pairs.

    Raises:
        UserError: If a value makes no sense or the weights are not those of the dataset.
    """

    def __init__(
        self,
        encoder: EncoderName = "mobilenet_v2",
        encoder_weights: str | None = None,
        backbone_weights: str | None = None,
        widths: tuple[int, int, int, int, int] = (16, 32, 64, 96, 128),
        lr_g: float = 1e-3,
        encoder_lr_factor: float = 0.3,
        lr_d: float = 4e-4,
        betas: tuple[float, float] = (0.8, 0.99),
        warmup: float = 0.05,
        l1_weight: float = 0.4,
        low_pass_weight: float = 0.4,
        feature_layers: str | None = None,
        objective_weight: float = 0.08,
        local_weight: float = 0.05,
        adversarial_weight: float = 0.012,
        adversarial_from: float = 0.42,
        discriminator_width: int = 48,
        ema_decay: float = 0.995,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        _check_ranges(self.hparams)
        self.automatic_optimization = False
        # The frozen backbone is not part of a checkpoint, so a checkpoint lacks its keys; on_load_checkpoint sees to
        # the others.
        self.strict_loading = False
        self.generator = Translator(TranslatorConfig(encoder=encoder, widths=widths), encoder_weights=encoder_weights)
        self.ema = AveragedModel(self.generator, multi_avg_fn=ema_average(ema_decay))
        self.ema.requires_grad_(False).eval()
        self.discriminator = PatchDiscriminator(discriminator_width)
        self.extractor: Extractor | None = None
        self.recipe: DreamRecipe | None = None
        self.scorer: Scorer | None = None
        self.dream_facts: dict[str, Any] = {}
        self.measures: Measures | None = None
        self._validated: list[dict[str, Tensor]] = []

    def setup(self, stage: str) -> None:
        """Read from the dataset what was dreamed, and load that backbone."""
        if self.extractor is None:
            self.prepare(self.trainer.datamodule.recipe_facts())  # type: ignore[attr-defined]

    def prepare(self, facts: Mapping[str, Any]) -> None:
        """Load the backbone that a dataset was dreamed with.

        Args:
            facts: What was dreamed, from ``DreamPairs.recipe_facts``.

        Raises:
            UserError: If the weights are not those of the dataset, or a feature layer is not in the backbone.
        """
        self.recipe = DreamRecipe.from_json(facts["recipe_json"])
        layers = self.hparams["feature_layers"] or _FEATURE_LAYERS[facts["backbone"]]
        self.feature_weights = dict(parse_layers(layers))
        wanted = [*dict.fromkeys([*self.feature_weights, *self.recipe.layer_names])]
        self.extractor = load_extractor(
            facts["backbone"],
            wanted,
            weights=self.hparams["backbone_weights"],
            batch_norms=self.recipe.objective.needs_batch_norms,
        )
        if self.extractor.weights_sha256 != facts["weights_sha256"]:
            raise UserError(
                f"the dataset was dreamed with {facts['backbone']} weights of sha256 {facts['weights_sha256'][:12]}…, "
                f"these are {self.extractor.weights_sha256[:12]}…; give --model.backbone_weights FILE"
            )
        self.extractor.to(self.device)
        if not self.recipe.objective.stands_alone:
            raise UserError(
                f"the objective {self.recipe.objective} needs more than a picture; a GAN cannot train on it"
            )
        # The photos are for objectives that choose on them, which have just been refused.
        self.scorer = Scorer(self.recipe.objective.in_training(-1), self.extractor, torch.zeros(1, 3, 32, 32))
        self.dream_facts = {**facts, "layers": list(facts["layers"])}

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Everything that was trained; not the frozen backbone."""
        state: dict[str, Any] = super().state_dict(*args, **kwargs)
        return {name: value for name, value in state.items() if not name.startswith("extractor.")}

    def misfit(self, checkpoint: Mapping[str, Any]) -> str | None:
        """Say why a checkpoint is not one of this model, as the end of a sentence; None where it is.

        Args:
            checkpoint: As Lightning writes it.
        """
        theirs, ours = checkpoint.get("hyper_parameters", {}), self.hparams
        other = [name for name in _SHAPE if name in theirs and _text(theirs[name]) != _text(ours[name])]
        if other:
            was, now = (", ".join(f"{name} {_text(side[name])}" for name in other) for side in (theirs, ours))
            flags = " and ".join(f"--model.{name}" for name in other)
            return f"was trained with {was}, this model has {now}; give the same {flags}"
        found, wanted = checkpoint["state_dict"], self.state_dict()
        for said, names in (
            ("lacks", [name for name in wanted if name not in found]),
            ("has the unknown", [name for name in found if name not in wanted]),
            ("has other shapes of", [name for name in wanted if name in found and _shape(found, wanted, name)]),
        ):
            if names:
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                return f"is not of this model: it {said} {names[0]}{more}"
        return None

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the last measures: a run that is resumed after its last validation exports them too."""
        if self.measures is not None:
            checkpoint["measures"] = dataclasses.asdict(self.measures)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not fit, and take up the last measures.

        Raises:
            UserError: Saying why.
        """
        reason = self.misfit(checkpoint)
        if reason:
            raise UserError(f"the checkpoint {reason}")
        kept = checkpoint.get("measures", {})
        if kept.keys() == {field.name for field in dataclasses.fields(Measures)}:
            self.measures = Measures(**kept)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for the generator (two groups) and for the discriminator; the schedule is in ``_set_rates``."""
        encoder = list(self.generator.encoder.parameters())
        known = {id(parameter) for parameter in encoder}
        decoder = [parameter for parameter in self.generator.parameters() if id(parameter) not in known]
        betas = tuple(self.hparams["betas"])
        groups: list[dict[str, Any]] = [{"params": decoder}, {"params": encoder}]
        return [
            torch.optim.Adam(groups, lr=self.hparams["lr_g"], betas=betas),
            torch.optim.Adam(self.discriminator.parameters(), lr=self.hparams["lr_d"], betas=betas),
        ]

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Give every step a random state of its own: a resumed run then equals an uninterrupted one.

        A state per epoch would not do: Lightning makes the loader's iterator, which draws from the same stream,
        before or after the epoch's hook, depending on whether the run was resumed.
        """
        own = stream(self.hparams["seed"], self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(own.initial_seed())

    def _optimizers(self) -> list[LightningOptimizer]:
        both = self.optimizers()
        if not isinstance(both, list):
            raise RuntimeError("there must be two optimisers")
        return both

    @property
    def progress(self) -> float:
        """Share of the training that is done, by epochs, 0 to 1."""
        epochs = self.trainer.max_epochs
        return min(1.0, self.current_epoch / epochs) if epochs and epochs > 0 else 0.0

    def _set_rates(self, batch_idx: int) -> None:
        """Linear warm-up, then a cosine to 2 %: a function of epoch and batch, so that it survives a resume."""
        epochs = self.trainer.max_epochs or 1
        done = self.progress + batch_idx / max(1, self.trainer.num_training_batches) / max(1, epochs)
        warmup = self.hparams["warmup"]
        if done < warmup:
            factor = max(0.02, done / warmup)
        else:
            factor = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (done - warmup) / (1 - warmup))))
        optimizer_g, optimizer_d = self._optimizers()
        decoder, encoder = optimizer_g.param_groups
        decoder["lr"] = factor * self.hparams["lr_g"]
        encoder["lr"] = factor * self.hparams["lr_g"] * self.hparams["encoder_lr_factor"]
        optimizer_d.param_groups[0]["lr"] = factor * self.hparams["lr_d"]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """One step of the discriminator, once it has joined, and one of the generator."""
        self._set_rates(batch_idx)
        optimizer_g, optimizer_d = self._optimizers()
        photos, dreams = batch["photo"], batch["dream"]
        adversarial = self.hparams["adversarial_weight"] > 0 and self.progress >= self.hparams["adversarial_from"]
        generated = self.generator(photos)
        logs: dict[str, Tensor] = {}

        if adversarial:
            self.discriminator.requires_grad_(True)
            real, fake = self.discriminator(photos, dreams), self.discriminator(photos, generated.detach())
            logs["train/loss_d"] = hinge_discriminator(real, fake)
            optimizer_d.zero_grad()
            self.manual_backward(logs["train/loss_d"])
            optimizer_d.step()
            self.discriminator.requires_grad_(False)

        terms = self._terms(dreams, generated)
        if adversarial:
            fake = self.discriminator(photos, generated)
            terms["adversarial"] = self.hparams["adversarial_weight"] * hinge_generator(fake)
        loss = torch.stack(list(terms.values())).sum()
        optimizer_g.zero_grad()
        self.manual_backward(loss)
        optimizer_g.step()
        self.ema.update_parameters(self.generator)

        logs |= {f"train/{name}": term for name, term in terms.items()}
        self.log_dict({name: value.detach() for name, value in logs.items()}, on_step=False, on_epoch=True)
        self.log("train/loss_g", loss.detach(), on_step=False, on_epoch=True, prog_bar=True)

    def _terms(self, dreams: Tensor, generated: Tensor) -> dict[str, Tensor]:
        """The weighted terms of the generator's loss, without the adversarial one."""
        if self.extractor is None or self.recipe is None or self.scorer is None:
            raise RuntimeError("setup() has not run")
        weights = self.hparams
        view = RandomView.draw()
        with torch.no_grad():
            target = self.extractor(self._normalised(view(dreams), self.extractor.min_size_px))
        features = self.extractor(self._normalised(view(generated), self.extractor.min_size_px))
        terms = {
            "l1": weights["l1_weight"] * l1(generated, dreams),
            "low_pass_l1": weights["low_pass_weight"] * low_pass_l1(generated, dreams),
        }
        for layer, weight in self.feature_weights.items():
            terms[f"feature_{layer}"] = weight * relative_feature_l1(features, target, layer)
        looks = (Look(activations, known=self.scorer.known) for activations in (features, target))
        scores, target_scores = (score_look(look, self.scorer.objective) for look in looks)
        terms["objective"] = weights["objective_weight"] * log_objective_gap(scores, target_scores)
        layer = self.extractor.deepest(self.recipe.layer_names)
        kind = "l2" if any(term.kind == "l2" for term in self.recipe.objective) else "mean"
        local, target_local = (local_objective(activations[layer], kind) for activations in (features, target))
        terms["local_objective"] = weights["local_weight"] * log_objective_gap(local, target_local)
        return terms

    def _normalised(self, images: Tensor, min_size_px: int) -> Tensor:
        """As the backbone wants them; a view of a small picture may have to be enlarged."""
        return enlarge_to(normalise(images), min_size_px).contiguous(memory_format=torch.channels_last)

    def forward(self, photos: Tensor) -> Tensor:
        """One-pass dreams of the EMA generator, (B, 3, H, W) in [0, 1] to the same."""
        dreams: Tensor = self.ema(photos)
        return dreams

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Keep what the measures need; they are of all validation pairs together."""
        self._validated.append({**batch, "generated": self(batch["photo"])})

    def on_validation_epoch_end(self) -> None:
        """Measure the EMA generator on the held-out pairs; not in the sanity check, which is of some pairs only."""
        if self.trainer.sanity_checking:
            self._validated.clear()
            return
        batch = len(self._validated[0]["photo"])
        sets = {name: torch.cat([part[name] for part in self._validated]) for name in self._validated[0]}
        self._validated.clear()
        if self.extractor is None or self.recipe is None or len(sets["photo"]) < 2:
            return
        self.measures = measure(
            sets["photo"],
            sets["dream"],
            sets["second_dream"] if bool(sets["has_second"].all()) else None,
            sets["generated"],
            self.extractor,
            self.recipe,
            batch=batch,
        )
        for name in (
            "agreement",
            "dream_gain",
            "robust_gain",
            "feature_cosine",
            "wrong_photo_cosine",
            "universal_share",
        ):
            value = getattr(self.measures, name)
            self.log(f"val/{name}", value, prog_bar=name == "agreement", batch_size=self.measures.n)
        self.log("val/l1", l1(sets["generated"], sets["dream"]), batch_size=self.measures.n)


def _text(value: Any) -> str:
    """A hyper-parameter as it is written in a flag; a tuple may have become a list on its way through a file."""
    return str(list(value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _shape(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], name: str) -> bool:
    """Whether the tensors of that name differ in shape."""
    return found[name].shape != wanted[name].shape
