"""The image-to-image GAN: photo in, dream out, one network for several kinds of dream."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from dreamgan.backbones.files import named_files
from dreamgan.data.styles import Style
from dreamgan.dream import DreamRecipe, parse_layers
from dreamgan.dream.shifts import stream
from dreamgan.errors import UserError
from dreamgan.lit.lesson import Lesson
from dreamgan.lit.start import start_from
from dreamgan.losses import hinge_discriminator, hinge_generator, l1, low_pass_l1
from dreamgan.metrics import Measures, measure
from dreamgan.networks.patchgan import PatchDiscriminator
from dreamgan.networks.translator import EncoderName, Translator, TranslatorConfig
from dreamgan.views import RandomView

# What decides the shapes of the networks: a checkpoint fits a model where these are the same.
_SHAPE = ("encoder", "widths", "discriminator_width")
LOGGED = ("agreement", "dream_gain", "robust_gain", "feature_cosine", "wrong_photo_cosine", "universal_share")
# A generator that adds more of the same to every picture than this many times what the dreams do has collapsed.
COLLAPSED = 2.0


class NotFiniteError(UserError):
    """A gradient is not finite, in all processes at once."""


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
    for name in ("lr_g", "lr_d", "clip"):
        check(name, 0 < values[name] < math.inf, "it must be above 0")
    weights = ("l1_weight", "low_pass_weight", "objective_weight", "local_weight", "adversarial_weight")
    for name in ("encoder_lr_factor", "feature_weight", *weights):
        check(name, 0 <= values[name] < math.inf, "it must be at least 0")
    for name in ("warmup", "ema_decay"):
        check(name, 0 <= values[name] < 1, "it must be at least 0 and below 1")
    check("betas", all(0 <= beta < 1 for beta in values["betas"]), "each must be at least 0 and below 1")
    check("adversarial_from", 0 <= values["adversarial_from"] <= 1, "it must be from 0 to 1")
    check("view_chance", 0 <= values["view_chance"] <= 1, "it must be from 0 to 1")
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
    """Trains a ``Translator`` to replicate the dreams of dream datasets, one or several styles at once.

    What was dreamed (recipe, backbone, layers, guides) is read from the datasets; nothing about it has to be
    configured. The networks are made by ``prepare``, when the number of styles is known.

    Source: pix2pix (Isola et al. 2017) with a feature-matching loss in the dreaming backbone.
    Differs: the feature loss, under random crop, scale and blur, carries the training; the discriminator joins late
    and gently; all pictures are sampled from an EMA of the generator.

    Args:
        encoder: Pretrained backbone inside the generator: mobilenet_v2 or squeezenet1_1.
        encoder_weights: File with its weights; None for torchvision's own, ``random`` for none.
        start_from: Folder of an exported generator whose weights to begin with, or ``shipped`` for that of the package;
            styles of the same name go on from what they were.
        backbone_weights: Files with the weights that the datasets were dreamed with, FILE or NETWORK=FILE with commas
            between; None for torchvision's own.
        widths: Channels of the generator's decoder at strides 1, 2, 4, 8 and 16.
        lr_g: Adam's learning rate of the decoder, at its highest.
        encoder_lr_factor: The encoder's share of it.
        lr_d: Adam's learning rate of the discriminator.
        betas: Of both.
        warmup: Share of the training in which the learning rate rises; it falls as a cosine afterwards.
        clip: The generator's gradient is shortened to this norm.
        l1_weight: Pixel L1.
        low_pass_weight: L1 of 4-pixel means.
        feature_weight: All feature losses together.
        feature_layers: Layers and weights of the feature loss, layer:weight with commas; None for three depths of
            the backbone.
        objective_weight: Two-sided match of the log objective of the whole picture.
        local_weight: The same at every location.
        view_chance: Share of the steps that compare the pictures through a random crop, scale and blur; in the
            others the features are matched place by place as the dream has them.
        adversarial_weight: Conditional PatchGAN, hinge loss.
        adversarial_from: Share of the training after which the discriminator joins; 1 leaves it out.
        discriminator_width: Channels of its first layer.
        ema_decay: Of the generator's average, per batch.
        seed: Of everything random in training but the order of the pairs. Default: --seed_everything, else 0.

    Raises:
        UserError: If a value makes no sense.
    """

    def __init__(
        self,
        encoder: EncoderName = "mobilenet_v2",
        encoder_weights: str | None = None,
        start_from: str | None = None,
        backbone_weights: str | None = None,
        widths: tuple[int, int, int, int, int] = (16, 24, 40, 80, 160),
        lr_g: float = 1e-3,
        encoder_lr_factor: float = 0.3,
        lr_d: float = 4e-4,
        betas: tuple[float, float] = (0.8, 0.99),
        warmup: float = 0.05,
        clip: float = 1.0,
        l1_weight: float = 0.4,
        low_pass_weight: float = 0.4,
        feature_weight: float = 1.0,
        feature_layers: str | None = None,
        objective_weight: float = 0.08,
        local_weight: float = 0.05,
        view_chance: float = 1.0,
        adversarial_weight: float = 0.012,
        adversarial_from: float = 0.42,
        discriminator_width: int = 48,
        ema_decay: float = 0.995,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        _check_ranges(self.hparams)
        self.automatic_optimization = False
        # The frozen backbones are not part of a checkpoint, so a checkpoint lacks their keys; on_load_checkpoint sees
        # to the others.
        self.strict_loading = False
        self.styles: tuple[Style, ...] = ()
        self.lessons = nn.ModuleList()
        self.measures: dict[str, Measures] = {}
        self._validated: dict[int, list[dict[str, Tensor]]] = {}

    def setup(self, stage: str) -> None:
        """Read from the datasets what was dreamed, and load those backbones."""
        if not self.styles:
            self.prepare(self.trainer.datamodule.styles())  # type: ignore[attr-defined]

    def prepare(self, styles: Sequence[Style]) -> None:
        """Make the networks, and load the backbones that the styles were dreamed with.

        Args:
            styles: From ``DreamPairs.styles``, at least one.

        Raises:
            UserError: If weights are not those of a dataset, a feature layer is not in a backbone, or an objective
                needs more than a picture.
        """
        values = self.hparams
        files = named_files(values["backbone_weights"], "model.backbone_weights")
        self.lessons = nn.ModuleList(
            Lesson(
                style.facts,
                style.guides,
                weights=files(style.facts["backbone"]) or ("random" if style.facts["weights"] == "random" else None),
                feature_layers=values["feature_layers"],
            )
            for style in styles
        )
        self.styles = tuple(styles)
        with torch.random.fork_rng():
            torch.manual_seed(values["seed"] or 0)
            config = TranslatorConfig(encoder=values["encoder"], widths=tuple(values["widths"]), styles=len(styles))
            self.generator = Translator(config, encoder_weights=values["encoder_weights"])
            self.discriminator = PatchDiscriminator(values["discriminator_width"], len(styles))
        if values["start_from"] is not None:
            start_from(self.generator, [style.name for style in styles], values["start_from"])
        self.ema = AveragedModel(self.generator, multi_avg_fn=ema_average(values["ema_decay"]))
        self.ema.requires_grad_(False).eval()

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Everything that was trained; not the frozen backbones."""
        state: dict[str, Any] = super().state_dict(*args, **kwargs)
        return {name: value for name, value in state.items() if not name.startswith("lessons.")}

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
        names = [style.name for style in self.styles]
        learnt = checkpoint.get("styles", names)
        if learnt != names:
            return (
                f"is of the styles {', '.join(learnt)}, the datasets hold {', '.join(names)}; give the same "
                "--data.dataset and --data.recipe"
            )
        for name, recipe in checkpoint.get("recipes", {}).items():
            here = self._recipes()[name]
            if recipe != here:
                return (
                    f"learnt the style {name!r} from other dreams: of {_objective(recipe)}, the dataset's are of "
                    f"{_objective(here)}, or differ in a detail; give the dataset it was trained on"
                )
        found, wanted = checkpoint["state_dict"], self.state_dict()
        for said, missing in (
            ("lacks", [name for name in wanted if name not in found]),
            ("has the unknown", [name for name in found if name not in wanted]),
            ("has other shapes of", [name for name in wanted if name in found and _shape(found, wanted, name)]),
        ):
            if missing:
                more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
                return f"is not of this model: it {said} {missing[0]}{more}"
        return None

    def _recipes(self) -> dict[str, str]:
        return {style.name: style.facts["recipe_json"] for style in self.styles}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the styles and the last measures: a run that is resumed after its last validation exports them too."""
        checkpoint["styles"] = [style.name for style in self.styles]
        checkpoint["recipes"] = self._recipes()
        checkpoint["measures"] = {name: dataclasses.asdict(measures) for name, measures in self.measures.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not fit, and take up the last measures.

        Raises:
            UserError: Saying why.
        """
        reason = self.misfit(checkpoint)
        if reason:
            raise UserError(f"the checkpoint {reason}")
        fields = {field.name for field in dataclasses.fields(Measures)}
        kept = checkpoint.get("measures", {})
        self.measures = {name: Measures(**values) for name, values in kept.items() if values.keys() == fields}

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
        before or after the epoch's hook, depending on whether the run was resumed. All processes get the same, so
        that they look at their parts of a batch in the same way.
        """
        torch.manual_seed(stream(self.hparams["seed"] or 0, self.current_epoch, batch_idx).initial_seed())

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
        """One step of the discriminator, once it has joined, and one of the generator.

        Raises:
            NotFiniteError: If a gradient is not finite; that step is not taken.
        """
        self._set_rates(batch_idx)
        optimizer_g, optimizer_d = self._optimizers()
        photos, dreams = batch["photo"], batch["dream"]
        known = self.known(batch, photos)
        adversarial = self.hparams["adversarial_weight"] > 0 and self.progress >= self.hparams["adversarial_from"]
        generated = self.generator(photos, *known)
        logs: dict[str, Tensor] = {}

        if adversarial:
            self.discriminator.requires_grad_(True)
            real = self.discriminator(photos, dreams, *known)
            fake = self.discriminator(photos, generated.detach(), *known)
            logs["train/loss_d"] = hinge_discriminator(real, fake)
            optimizer_d.zero_grad()
            self.manual_backward(logs["train/loss_d"])
            gradients = [p.grad for p in self.discriminator.parameters() if p.grad is not None]
            self._check_finite(nn.utils.get_total_norm(gradients), batch, batch_idx)
            optimizer_d.step()
            self.discriminator.requires_grad_(False)

        number = int(batch["style"][0])
        terms = self._terms(number, dreams, generated)
        if adversarial:
            fake = self.discriminator(photos, generated, *known)
            terms["adversarial"] = self.hparams["adversarial_weight"] * hinge_generator(fake)
        loss = torch.stack(list(terms.values())).sum()
        optimizer_g.zero_grad()
        self.manual_backward(loss)
        norm = nn.utils.clip_grad_norm_(self.generator.parameters(), self.hparams["clip"])
        self._check_finite(norm, batch, batch_idx)
        optimizer_g.step()
        self.ema.update_parameters(self.generator)

        logs |= {f"train/{name}": term for name, term in terms.items()}
        logs |= {"train/gradient_norm": norm, f"train/loss_{self.styles[number].name}": loss}
        self.log_dict(
            {name: value.detach() for name, value in logs.items()},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(photos),
        )
        self.log(
            "train/loss_g",
            loss.detach(),
            on_step=False,
            on_epoch=True,
            prog_bar=True,
            sync_dist=True,
            batch_size=len(photos),
        )

    def _check_finite(self, norm: Tensor, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Stop before a step that would spoil the weights.

        The gradients are those of all processes together, so that all of them stop at the same step.
        """
        if not bool(norm.isfinite()):
            raise NotFiniteError(
                f"the gradient is not finite in epoch {self.current_epoch + 1}, batch {batch_idx + 1} (style "
                f"{self.styles[int(batch['style'][0])].name!r}); a lower --model.lr_g may help"
            )

    def known(self, batch: Mapping[str, Tensor], photos: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the styles, (B, S), and strengths, (B,), as the networks take them."""
        styles = F.one_hot(batch["style"], len(self.styles)).to(photos)
        return styles, batch["strength"].to(photos)

    def _terms(self, number: int, dreams: Tensor, generated: Tensor) -> dict[str, Tensor]:
        """The weighted terms of the generator's loss, without the adversarial one."""
        weights = self.hparams
        terms = self.lessons[number](generated, dreams, RandomView.draw(weights["view_chance"]))
        return {
            "l1": weights["l1_weight"] * l1(generated, dreams),
            "low_pass_l1": weights["low_pass_weight"] * low_pass_l1(generated, dreams),
            **{name: weights[f"{name}_weight"] * term for name, term in terms.items()},
        }

    def forward(self, photos: Tensor, styles: Tensor, strength: Tensor) -> Tensor:
        """One-pass dreams of the EMA generator, as ``Translator.forward``."""
        dreams: Tensor = self.ema(photos, styles, strength)
        return dreams

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Keep what the measures need; they are of all validation pairs of a style together."""
        generated = self(batch["photo"], *self.known(batch, batch["photo"])).to(batch["photo"])
        self._validated.setdefault(int(batch["style"][0]), []).append({**batch, "generated": generated})

    def on_validation_epoch_end(self) -> None:
        """Measure the EMA generator on the held-out pairs; not in the sanity check, which is of some pairs only."""
        validated, self._validated = self._validated, {}
        if self.trainer.sanity_checking:
            return
        self.measures = {}
        for number, parts in validated.items():
            if sum(len(part["photo"]) for part in parts) >= 2:
                self.measures[self.styles[number].name] = self._measure(number, parts)
        for name in LOGGED if self.measures else ():
            values = {style: getattr(measures, name) for style, measures in self.measures.items()}
            mean = sum(values.values()) / len(values)
            # All processes validate on all pairs, so that they agree already; Lightning wants it said all the same.
            self.log(f"val/{name}", mean, prog_bar=name == "agreement", sync_dist=True, batch_size=1)
            if len(values) > 1:
                each = {f"val/{style}/{name}": value for style, value in values.items()}
                self.log_dict(each, sync_dist=True, batch_size=1)
        self.log("val/collapsed", float(len(self.collapsed())), sync_dist=True, batch_size=1)

    def collapsed(self) -> dict[str, float]:
        """The styles that add much the same to every picture: name to universal share over the dreams' own."""
        shares = {
            name: measures.universal_share / max(measures.dream_universal_share, 1e-12)
            for name, measures in self.measures.items()
        }
        return {name: share for name, share in shares.items() if share > COLLAPSED}

    def _measure(self, number: int, parts: list[dict[str, Tensor]]) -> Measures:
        sets = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        lesson = self.lessons[number]
        return measure(
            sets["photo"],
            sets["dream"],
            sets["second_dream"] if bool(sets["has_second"].all()) else None,
            sets["generated"],
            lesson.extractor,  # type: ignore[arg-type]
            lesson.recipe,  # type: ignore[arg-type]
            guides=lesson.guides,  # type: ignore[arg-type]
            batch=len(parts[0]["photo"]),
        )


def _text(value: Any) -> str:
    """A hyper-parameter as it is written in a flag; a tuple may have become a list on its way through a file."""
    return str(list(value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _objective(recipe_json: str) -> str:
    return str(DreamRecipe.from_json(recipe_json).objective)


def _shape(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], name: str) -> bool:
    """Whether the tensors of that name differ in shape."""
    return found[name].shape != wanted[name].shape
