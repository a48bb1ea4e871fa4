"""A network that paints in one style, in one pass: the image-to-image generator trained with the losses of Gatys."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from dreamgan.backbones.features import load_extractor
from dreamgan.backbones.registry import get_spec
from dreamgan.data.plain_photos import PlainPhotos
from dreamgan.data.styles import Style
from dreamgan.errors import UserError
from dreamgan.images import MIN_SIDE_PX, load_image, shrink_to, to_picture, to_unit
from dreamgan.lit.gan import GeneratorTraining
from dreamgan.lit.ranges import check, check_ranges
from dreamgan.lit.start import start_from
from dreamgan.lit.style_card import style_card
from dreamgan.networks.translator import EncoderName, Translator, TranslatorConfig, padded
from dreamgan.sampling import save_generator
from dreamgan.style import Comparison, StyleRecipe, get_style_recipe
from dreamgan.style.recipe import parse_style_layers

# Johnson's choice for VGG16; other networks have the layers of `dreamgan style`.
_JOHNSON = {"content_layers": "relu3_3", "style_layers": "relu1_2,relu2_2,relu3_3,relu4_3"}


@dataclasses.dataclass(frozen=True)
class StyleMeasures:
    """Means over the held-out photos, of the losses with their weights.

    Attributes:
        content: Content term of what the network paints; the photo's own is 0.
        style: Style term of it.
        photo_style: Style term of the untouched photos, the floor.
        total: The loss of it, total variation included.
        n: Number of photos.
    """

    content: float
    style: float
    photo_style: float
    total: float
    n: int


class FeedForwardStyle(GeneratorTraining):
    """Trains a ``Translator`` to paint photos in the style of one picture.

    Source: Johnson, Alahi, Fei-Fei 2016, *Perceptual Losses for Real-Time Style Transfer*.
    Differs: the network is the one that learns dreams, a U-Net over a pretrained encoder that adds a bounded residual
    to the photo; all pictures are sampled from its average; losses are scaled as in ``dreamgan.style.Comparison``.

    Args:
        style: Picture whose style is learnt.
        name: What the style is called when sampling. Default: the picture's name without its suffix.
        style_px: The style picture's longer side is shrunk to it, in pixels. Larger: coarser strokes.
        backbone: Network that compares the pictures: vgg16, or any other one.
        backbone_weights: File with its weights; None for torchvision's own, ``random`` for random ones.
        content_layers: LAYER or LAYER:WEIGHT with commas. Default: relu3_3 of a VGG16, as Johnson has it.
        style_layers: Likewise. Default: relu1_2, relu2_2, relu3_3 and relu4_3 of a VGG16.
        content_weight: Alpha of the papers.
        style_weight: Beta of the papers.
        tv_weight: Total variation.
        encoder: Pretrained backbone inside the generator: mobilenet_v2 or squeezenet1_1.
        encoder_weights: File with its weights; None for torchvision's own, ``random`` for none.
        start_from: Folder of an exported generator whose weights to begin with, or ``shipped`` for that of the package.
        widths: Channels of the generator's decoder at strides 1, 2, 4, 8 and 16.
        lr_g: Adam's learning rate of the decoder, at its highest.
        encoder_lr_factor: The encoder's share of it.
        betas: Of Adam.
        warmup: Share of the training in which the learning rate rises; it falls as a cosine afterwards.
        clip: The gradient is shortened to this norm.
        ema_decay: Of the generator's average, per batch.
        seed: Of everything random in training but the order of the photos. Default: --seed_everything, else 0.

    Raises:
        UserError: If a value makes no sense.
    """

    DATA = (PlainPhotos,)
    SHAPE = ("encoder", "widths")
    FROZEN = ("comparison",)

    generator: Translator
    comparison: Comparison

    def __init__(
        self,
        style: str,
        name: str | None = None,
        style_px: int = 256,
        backbone: str = "vgg16",
        backbone_weights: str | None = None,
        content_layers: str | None = None,
        style_layers: str | None = None,
        content_weight: float = 0.1,
        style_weight: float = 1.0,
        tv_weight: float = 0.0,
        encoder: EncoderName = "mobilenet_v2",
        encoder_weights: str | None = None,
        start_from: str | None = None,
        widths: tuple[int, int, int, int, int] = (16, 24, 40, 80, 160),
        lr_g: float = 3e-4,
        encoder_lr_factor: float = 0.3,
        betas: tuple[float, float] = (0.8, 0.99),
        warmup: float = 0.05,
        clip: float = 1.0,
        ema_decay: float = 0.995,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        values = self.hparams
        check(values, "widths", min(values["widths"]) >= 1, "each must be at least 1")
        check(values, "style_px", values["style_px"] >= MIN_SIDE_PX, f"it must be at least {MIN_SIDE_PX}")
        check_ranges(
            values,
            positive=("lr_g", "clip", "style_weight"),
            not_negative=("encoder_lr_factor", "content_weight", "tv_weight"),
            below_one=("warmup", "ema_decay"),
        )
        self.measures: StyleMeasures | None = None
        self._validated: list[dict[str, Tensor]] = []

    def prepare_for(self, data: Any) -> None:
        """Read the style picture, load the network that compares, and make the generator."""
        values = self.hparams
        file = Path(values["style"]).expanduser()
        picture = shrink_to(load_image(file, name=f"model.style '{file}'").picture, values["style_px"])
        if min(picture.size) < MIN_SIDE_PX:
            raise UserError(
                f"model.style '{file}' would be shrunk to {picture.width}x{picture.height} px, too narrow; raise "
                "--model.style_px"
            )
        recipe = self._recipe()
        extractor = load_extractor(values["backbone"], recipe.layer_names, weights=values["backbone_weights"])
        self.comparison = Comparison(extractor, recipe, to_unit(picture)[None])
        facts = {
            "recipe": "gatys",
            "recipe_json": recipe.to_json(),
            "backbone": extractor.backbone,
            "layers": list(recipe.layer_names),
            "weights": extractor.weights_name,
            "weights_sha256": extractor.weights_sha256,
            "guides": json.dumps({"style": hashlib.sha256(picture.tobytes()).hexdigest()}),
            "seed": values["seed"] or 0,
            "size_px": data.size_px,
            "strengths": [1.0],
            "labels": [],
        }
        self.styles = (Style(values["name"] or file.stem, facts, {}),)
        with torch.random.fork_rng():
            torch.manual_seed(values["seed"] or 0)
            config = TranslatorConfig(encoder=values["encoder"], widths=tuple(values["widths"]))
            self.generator = Translator(config, encoder_weights=values["encoder_weights"])
        if values["start_from"] is not None:
            start_from(self.generator, [style.name for style in self.styles], values["start_from"])
        self.average(values["ema_decay"])

    def _recipe(self) -> StyleRecipe:
        backbone = get_spec(self.hparams["backbone"]).name
        own = _JOHNSON if backbone == "vgg16" else {}
        given = {name: self.hparams[name] or own.get(name) for name in ("content_layers", "style_layers")}
        return get_style_recipe(
            backbone,
            **{name: parse_style_layers(text) for name, text in given.items() if text},
            **{name: self.hparams[name] for name in ("content_weight", "style_weight", "tv_weight")},
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the last measures: a run that is resumed after its last validation exports them too."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["measures"] = dataclasses.asdict(self.measures) if self.measures else {}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not fit, and take up the last measures.

        Raises:
            UserError: Saying why.
        """
        super().on_load_checkpoint(checkpoint)
        kept = checkpoint.get("measures") or {}
        if kept.keys() == {field.name for field in dataclasses.fields(StyleMeasures)}:
            self.measures = StyleMeasures(**kept)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with two groups, decoder and encoder; the schedule is ``rate``."""
        encoder = list(self.generator.encoder.parameters())
        known = {id(parameter) for parameter in encoder}
        decoder = [parameter for parameter in self.generator.parameters() if id(parameter) not in known]
        groups: list[dict[str, Any]] = [{"params": decoder}, {"params": encoder}]
        return torch.optim.Adam(groups, lr=self.hparams["lr_g"], betas=tuple(self.hparams["betas"]))

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """One step.

        Raises:
            NotFiniteError: If a gradient is not finite; that step is not taken.
        """
        optimizer = self.optimizers()
        if isinstance(optimizer, list):
            raise RuntimeError("there must be one optimiser")
        rate = self.rate(batch_idx) * self.hparams["lr_g"]
        decoder, encoder = optimizer.param_groups
        decoder["lr"], encoder["lr"] = rate, rate * self.hparams["encoder_lr_factor"]
        photos = batch["photo"]
        terms = {name: value.mean() for name, value in self._terms(self._painted(photos), photos).items()}
        loss = torch.stack(list(terms.values())).sum()
        norm = self.descend(optimizer, loss, self.generator, batch_idx, clip=self.hparams["clip"])
        self.ema.update_parameters(self.generator)
        logs = {f"train/{name}": term for name, term in terms.items()}
        self.log_step({**logs, "train/gradient_norm": norm}, loss, len(photos))

    def _painted(self, photos: Tensor) -> Tensor:
        """As the generator paints, but pixels outside [0, 1], which are clamped, keep their gradient.

        Without it a network that has once painted all pixels black or white stays so: style pushes much harder than
        the losses of dreams do, and nothing here pulls towards a picture of the right brightness.
        """
        height, width = photos.shape[-2:]
        strength = photos.new_ones(len(photos))
        residual = self.generator.residual(padded(photos), photos.new_ones(len(photos), 1), strength)
        painted = photos + residual[..., :height, :width]
        return painted + (painted.clamp(0, 1) - painted).detach()

    def _terms(self, generated: Tensor, photos: Tensor) -> dict[str, Tensor]:
        """Weighted losses of each picture, in float32: sums over places leave the range of the short types."""
        with torch.autocast(photos.device.type, enabled=False):
            photos = photos.float()
            terms: dict[str, Tensor] = self.comparison(generated.float(), self.comparison.content_of(photos))
        return terms

    def forward(self, photos: Tensor) -> Tensor:
        """Pictures of the averaged generator, (B, 3, H, W) in [0, 1] to the same."""
        painted: Tensor = self.ema(photos)
        return painted

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Keep what the averaged generator paints of held-out photos, and its losses."""
        photos = batch["photo"]
        painted = self(photos).to(photos)
        none = self._terms(photos, photos)["style"]
        found = {"photo": photos, "painted": painted, "photo_style": none, **self._terms(painted, photos)}
        self._validated.append(found)

    def on_validation_epoch_end(self) -> None:
        """Average the losses; not in the sanity check, which is of some photos only."""
        validated, self._validated = self._validated, []
        if self.trainer.sanity_checking or not validated:
            return
        terms = ("content", "style", "tv", "photo_style")
        mean = {name: float(torch.cat([part[name] for part in validated]).mean()) for name in terms}
        total = mean["content"] + mean["style"] + mean["tv"]
        n = sum(len(part["photo"]) for part in validated)
        self.measured_epoch = self.current_epoch + 1
        self.measures = StyleMeasures(mean["content"], mean["style"], mean["photo_style"], total, n)
        for name in ("content", "style", "photo_style", "total"):
            value = getattr(self.measures, name)
            self.log(f"val/{name}", value, prog_bar=name == "total", sync_dist=True, batch_size=1)

    def shown(self, rows: int) -> tuple[list[list[Image.Image]], list[str]]:
        """Rows photo | one pass, of the first held-out photos."""
        pictures = [
            [to_picture(image.float()) for image in pair]
            for part in self._validated
            for pair in zip(part["photo"], part["painted"], strict=True)
        ]
        return pictures[:rows], ["photo", f"one pass: {self.styles[0].name}"]

    def said(self) -> list[str]:
        """The losses of the last validation, beside those of the untouched photos."""
        if self.measures is None:
            return []
        found = self.measures
        return [
            f"{self.styles[0].name}: style loss {found.style:.4g} (photo {found.photo_style:.4g}), content loss "
            f"{found.content:.4g} (photo 0), in all {found.total:.4g}, of {found.n} photos"
        ]

    def export(self, folder: Path, *, epochs: int, dataset: str) -> None:
        """Export the averaged generator with its card and its last measures."""
        (style,) = self.styles
        measures = dataclasses.asdict(self.measures) if self.measures else {}
        measures = {name: value for name, value in measures.items() if math.isfinite(value)}
        facts = {**style.facts, "epochs": epochs, "measured_epoch": self.measured_epoch, "measures": measures}
        network: Translator = self.ema.module  # type: ignore[assignment]
        save_generator(folder, network, {style.name: facts}, style_card(style.name, facts, dataset, network))
