"""The image-to-image GAN: photo in, dream out, one network for several kinds of dream."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from dreamgan.backbones.files import named_files
from dreamgan.data.datamodule import DreamPairs
from dreamgan.data.styles import Style
from dreamgan.dream import parse_layers
from dreamgan.images import to_picture
from dreamgan.lit.card import model_card
from dreamgan.lit.gan import Gan
from dreamgan.lit.lesson import Lesson
from dreamgan.lit.ranges import check, check_ranges
from dreamgan.lit.start import start_from
from dreamgan.losses import hinge_discriminator, hinge_generator, l1, low_pass_l1
from dreamgan.metrics import Measures, measure
from dreamgan.networks.patchgan import PatchDiscriminator
from dreamgan.networks.translator import EncoderName, Translator, TranslatorConfig
from dreamgan.sampling import save_generator
from dreamgan.views import RandomView

LOGGED = ("agreement", "dream_gain", "robust_gain", "feature_cosine", "wrong_photo_cosine", "universal_share")
# A generator that adds more of the same to every picture than this many times what the dreams do has collapsed.
COLLAPSED = 2.0


def _check(values: Mapping[str, Any]) -> None:
    check(values, "widths", min(values["widths"]) >= 1, "each must be at least 1")
    check(values, "discriminator_width", values["discriminator_width"] >= 1, "it must be at least 1")
    weights = ("l1_weight", "low_pass_weight", "objective_weight", "local_weight", "adversarial_weight")
    check_ranges(
        values,
        positive=("lr_g", "lr_d", "clip"),
        not_negative=("encoder_lr_factor", "feature_weight", *weights),
        below_one=("warmup", "ema_decay"),
        shares=("adversarial_from", "view_chance"),
    )
    if values["feature_layers"] is not None:
        weights_of_layers = [weight for _, weight in parse_layers(values["feature_layers"])]
        check(values, "feature_layers", all(0 <= w < math.inf for w in weights_of_layers), "no weight may be below 0")


class Pix2Pix(Gan):
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

    DATA = (DreamPairs,)
    SHAPE = ("encoder", "widths", "discriminator_width")
    FROZEN = ("lessons",)

    generator: Translator

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
        _check(self.hparams)
        self.lessons = nn.ModuleList()
        self.measures: dict[str, Measures] = {}
        self._validated: dict[int, list[dict[str, Tensor]]] = {}

    def prepare_for(self, data: Any) -> None:
        """As ``prepare``, for the styles of a data module."""
        self.prepare(data.styles())

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
        self.average(values["ema_decay"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the styles and the last measures: a run that is resumed after its last validation exports them too."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["measures"] = {name: dataclasses.asdict(measures) for name, measures in self.measures.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not fit, and take up the last measures.

        Raises:
            UserError: Saying why.
        """
        super().on_load_checkpoint(checkpoint)
        fields = {field.name for field in dataclasses.fields(Measures)}
        kept = checkpoint.get("measures") or {}
        self.measures = {name: Measures(**values) for name, values in kept.items() if values.keys() == fields}

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for the generator (two groups) and for the discriminator; the schedule is ``rate``."""
        encoder = list(self.generator.encoder.parameters())
        known = {id(parameter) for parameter in encoder}
        decoder = [parameter for parameter in self.generator.parameters() if id(parameter) not in known]
        betas = tuple(self.hparams["betas"])
        groups: list[dict[str, Any]] = [{"params": decoder}, {"params": encoder}]
        return [
            torch.optim.Adam(groups, lr=self.hparams["lr_g"], betas=betas),
            torch.optim.Adam(self.discriminator.parameters(), lr=self.hparams["lr_d"], betas=betas),
        ]

    def _set_rates(self, batch_idx: int) -> None:
        factor = self.rate(batch_idx)
        optimizer_g, optimizer_d = self.both_optimizers()
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
        optimizer_g, optimizer_d = self.both_optimizers()
        photos, dreams = batch["photo"], batch["dream"]
        known = self.known(batch, photos)
        number = int(batch["style"][0])
        of = f" (style {self.styles[number].name!r})"
        adversarial = self.hparams["adversarial_weight"] > 0 and self.progress >= self.hparams["adversarial_from"]
        generated = self.generator(photos, *known)
        logs: dict[str, Tensor] = {}

        if adversarial:
            self.discriminator.requires_grad_(True)
            real = self.discriminator(photos, dreams, *known)
            fake = self.discriminator(photos, generated.detach(), *known)
            logs["train/loss_d"] = hinge_discriminator(real, fake)
            self.descend(optimizer_d, logs["train/loss_d"], self.discriminator, batch_idx, of=of)
            self.discriminator.requires_grad_(False)

        terms = self._terms(number, dreams, generated)
        if adversarial:
            fake = self.discriminator(photos, generated, *known)
            terms["adversarial"] = self.hparams["adversarial_weight"] * hinge_generator(fake)
        loss = torch.stack(list(terms.values())).sum()
        norm = self.descend(optimizer_g, loss, self.generator, batch_idx, clip=self.hparams["clip"], of=of)
        self.ema.update_parameters(self.generator)

        logs |= {f"train/{name}": term for name, term in terms.items()}
        logs |= {"train/gradient_norm": norm, f"train/loss_{self.styles[number].name}": loss}
        self.log_step(logs, loss, len(photos))

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
        self.measures, self.measured_epoch = {}, self.current_epoch + 1
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

    def shown(self, rows: int) -> tuple[list[list[Image.Image]], list[str]]:
        """Rows photo | direct dream | one pass, style beside style, spread over each style's validation pairs."""
        blocks = []
        for parts in self._validated.values():
            sets = {name: torch.cat([part[name] for part in parts]) for name in ("photo", "dream", "generated")}
            count = min(rows, len(sets["photo"]))
            spread = [row * len(sets["photo"]) // count for row in range(count)]
            columns = [[to_picture(image.float()) for image in values[spread]] for values in sets.values()]
            blocks.append(list(zip(*columns, strict=True)))
        names = [self.styles[number].name for number in self._validated]
        heads = [head for name in names for head in ("photo", f"direct dream: {name}", "one pass")]
        return [[picture for part in parts for picture in part] for parts in zip(*blocks, strict=False)], heads

    def said(self) -> list[str]:
        """The measures of every style, and those that may have collapsed."""
        lines = [
            f"{style}: agreement {measures.agreement:.3f}, "
            f"feature cosine {measures.feature_cosine:.3f} (photo {measures.floor_cosine:.3f}, second dream "
            f"{measures.ceiling_cosine:.3f}), dream gain {measures.dream_gain:.2f}"
            for style, measures in self.measures.items()
        ]
        return lines + [
            f"{style}: COLLAPSE? universal share {self.measures[style].universal_share:.3f}, "
            f"{share:.1f} times the dreams' own: much the same is painted on every picture; look at the grid"
            for style, share in self.collapsed().items()
        ]

    def export(self, folder: Path, *, epochs: int, dataset: str) -> None:
        """Export the EMA generator with its card and its last measures."""
        styles = {}
        for style in self.styles:
            measures = dataclasses.asdict(self.measures[style.name]) if style.name in self.measures else {}
            # JSON has no NaN and no infinity; a measure that could not be taken is left out.
            measures = {name: value for name, value in measures.items() if math.isfinite(value)}
            styles[style.name] = {**style.facts, "epochs": epochs, "measures": measures}
            styles[style.name]["measured_epoch"] = self.measured_epoch
        network: Translator = self.ema.module  # type: ignore[assignment]
        save_generator(folder, network, styles, model_card(styles, dataset, network))
