"""The GAN that dreams from noise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from dreamgan.augment import DRAWS, augmented
from dreamgan.backbones.files import named_files
from dreamgan.data.dreams import DreamPictures
from dreamgan.data.loading import names_of
from dreamgan.data.styles import Style
from dreamgan.errors import UserError
from dreamgan.images import to_picture
from dreamgan.latents import drawn
from dreamgan.lit.gan import Gan
from dreamgan.lit.likeness import LAYERS, Likeness
from dreamgan.lit.noise_card import noise_card
from dreamgan.lit.noise_validation import NOISE_LOGGED, NoiseValidation
from dreamgan.lit.ranges import check, check_ranges
from dreamgan.losses import ADVERSARIAL, penalised
from dreamgan.metrics.from_noise import NoiseMeasures
from dreamgan.networks.noise import NoiseConfig, NoiseGenerator, NoiseKind
from dreamgan.networks.noise_discriminator import NoiseDiscriminator
from dreamgan.noise_sampling import save_noise_generator


class DCGAN(Gan):
    """Trains a ``NoiseGenerator`` to make pictures like the dreams of a dream dataset, out of noise.

    Source: Radford et al. 2016 with ``kind`` dcgan, the logistic loss and no average; the residual kind takes its
    losses from Huang et al. 2024 (R3GAN), its augmentation from Zhao et al. 2020.

    Args:
        kind: dcgan, the plain networks with batch norm, or residual, ours.
        size_px: Side of the pictures; that of the data too.
        latent: Numbers of noise that a picture is made of.
        width: Channels of the networks, as ``NoiseConfig`` says.
        loss: logistic (non-saturating), hinge or relativistic (real and generated pictures in pairs).
        likeness: Backbones, with commas, in whose features the generated pictures of a batch shall be like the training
            pictures, as a set; None: the discriminator alone says what to make.
        likeness_weight: Of that in the generator's loss.
        likeness_from: Share of the training after which it counts; what is still far from any dream is all pulled the
            same way, and made alike.
        r1_weight: Penalty of the discriminator's gradient at real pictures in [0, 1]; 0: none.
        r2_weight: The same at generated ones.
        augment: Show both networks pictures moved and with a hole.
        class_conditional: Learn the classes of the photos apart, to ask for one.
        recipe_conditional: Learn the recipes apart, to ask for one.
        backbone_weights: Files with the weights of the first recipe's network, in whose features validations compare
            pictures, and of likeness, FILE or NETWORK=FILE with commas between; None for torchvision's own.
        lr_g: Adam's learning rate of the generator, at its highest.
        lr_d: Adam's learning rate of the discriminator, likewise.
        betas: Of both.
        warmup: Share of the training in which the learning rates rise.
        decay: Let them fall afterwards, as a cosine; else they stay.
        ema_decay: Of the generator's average, per step; 0: the generator as it stands.
        seed: Of everything random in training but the order of the pictures. Default: --seed_everything, else 0.

    Raises:
        UserError: If a value makes no sense.
    """

    DATA = (DreamPictures,)
    SHAPE = ("kind", "size_px", "latent", "width", "class_conditional", "recipe_conditional")
    FROZEN = ("held_out", "likeness")

    generator: NoiseGenerator

    def __init__(
        self,
        kind: NoiseKind = "residual",
        size_px: Literal[64, 128] = 64,
        latent: int = 128,
        width: int = 64,
        loss: Literal["logistic", "hinge", "relativistic"] = "relativistic",
        likeness: str | None = None,
        likeness_weight: float = 60.0,
        likeness_from: float = 0.2,
        r1_weight: float = 0.25,
        r2_weight: float = 0.25,
        augment: bool = True,
        class_conditional: bool = False,
        recipe_conditional: bool = False,
        backbone_weights: str | None = None,
        lr_g: float = 2e-4,
        lr_d: float = 2e-4,
        betas: tuple[float, float] = (0.0, 0.99),
        warmup: float = 0.0,
        decay: bool = True,
        ema_decay: float = 0.999,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        check_ranges(
            self.hparams,
            positive=("lr_g", "lr_d"),
            not_negative=("r1_weight", "r2_weight", "likeness_weight"),
            below_one=("warmup", "ema_decay"),
            shares=("likeness_from",),
        )
        self.judges = names_of(likeness)
        known = f"use some of {', '.join(LAYERS)}, or leave it out"
        once = len(self.judges) == len(set(self.judges))
        check(self.hparams, "likeness", once and set(self.judges) <= LAYERS.keys(), known)
        NoiseConfig(kind=kind, size_px=size_px, latent=latent, width=width)
        self.classes: list[str] = []
        self.learnt: dict[str, Any] = {}
        self.measures: NoiseMeasures | None = None

    def prepare_for(self, data: DreamPictures) -> None:
        """As ``prepare``, for the styles and classes of a data module.

        Raises:
            UserError: If its pictures are of another size, or likeness is asked for and a batch is one picture.
        """
        if data.size_px != self.hparams["size_px"]:
            raise UserError(
                f"the model makes pictures of {self.hparams['size_px']} px, the data have {data.size_px} px; give the "
                "same --model.size_px and --data.size_px"
            )
        if self.judges and data.batch_size < 2:
            raise UserError(
                "likeness is of the pictures of a batch to each other; give a --data.batch_size of 2 or more"
            )
        self.prepare(data.styles(), data.classes())
        # What was learnt of the dataset, so that it can be found again, and what helped.
        self.learnt = {"labels": data.classes(), "limit": data.limit, "likeness": self.judges}

    def prepare(self, styles: Sequence[Style], classes: Sequence[str]) -> None:
        """Make the networks, and load the backbone that the first style was dreamed with.

        Args:
            styles: At least one.
            classes: Names of the classes of the pictures; "" is none.

        Raises:
            UserError: If classes are to be learnt and there are none, or the backbone's weights are missing.
        """
        values = self.hparams
        if values["class_conditional"] and not any(classes):
            raise UserError("class_conditional is true, and the dreams are of no classes; leave it out")
        self.styles = tuple(styles)
        self.classes = list(classes) if values["class_conditional"] else []
        config = NoiseConfig(
            **{name: values[name] for name in ("kind", "size_px", "latent", "width")},
            styles=len(styles) if values["recipe_conditional"] else 1,
            classes=len(self.classes),
        )
        files = named_files(values["backbone_weights"], "model.backbone_weights")
        # Dreams of random networks are those of tests, which have no weights at all.
        random = "random" if styles[0].facts["weights"] == "random" else None
        self.likeness = Likeness(self.judges, lambda judge: files(judge) or random) if self.judges else None
        with torch.random.fork_rng():
            torch.manual_seed(values["seed"] or 0)
            self.generator, self.discriminator = NoiseGenerator(config), NoiseDiscriminator(config)
        self.average(values["ema_decay"])
        facts = styles[0].facts
        self.held_out = NoiseValidation(facts, files(facts["backbone"]) or random)

    def misfit(self, checkpoint: Mapping[str, Any]) -> str | None:
        """As ``Gan.misfit``; the classes must be the same, too."""
        learnt = checkpoint.get("classes")
        if learnt and self.classes and learnt != self.classes:
            return (
                f"is of the classes {', '.join(learnt)}, the data hold {', '.join(self.classes)}; give the same "
                "--data.dataset and --data.categories"
            )
        return super().misfit(checkpoint)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the classes and the last measures, too: a run that is resumed after its last validation exports them."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["classes"] = self.classes
        checkpoint["measures"] = dataclasses.asdict(self.measures) if self.measures else {}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint that does not fit, and take up the last measures.

        Raises:
            UserError: Saying why.
        """
        super().on_load_checkpoint(checkpoint)
        kept = checkpoint.get("measures") or {}
        known = kept.keys() == {field.name for field in dataclasses.fields(NoiseMeasures)}
        self.measures = NoiseMeasures(**kept) if known else None

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam for each network; the schedule is ``rate``."""
        betas = tuple(self.hparams["betas"])
        both = ((self.generator, self.hparams["lr_g"]), (self.discriminator, self.hparams["lr_d"]))
        return [torch.optim.Adam(network.parameters(), lr=rate, betas=betas) for network, rate in both]

    def on_fit_start(self) -> None:
        """Show the training pictures to the one who looks for likeness."""
        if self.likeness is not None:
            self.likeness.learn(self.trainer.datamodule.train_pictures.pictures)  # type: ignore[attr-defined]

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """One step of the discriminator and one of the generator, about the same generated pictures.

        Raises:
            NotFiniteError: If a gradient is not finite; that step is not taken.
        """
        weights, dreams = self.hparams, batch["picture"]
        optimizers = self.both_optimizers()
        for optimizer, rate in zip(optimizers, (weights["lr_g"], weights["lr_d"]), strict=True):
            optimizer.param_groups[0]["lr"] = rate * (self.rate(batch_idx) if weights["decay"] else 1)
        known = self.known(batch, dreams)
        judge = partial(self.discriminator, styles=known[0], classes=known[1])
        loss_d, loss_g = ADVERSARIAL[weights["loss"]]
        generated = self.generator(self._drawn(torch.randn, dreams, weights["latent"]), *known)

        self.discriminator.requires_grad_(True)
        terms: dict[str, Tensor] = {}
        logits = []
        for name, pictures in (("r1", dreams), ("r2", generated.detach())):
            if weights[f"{name}_weight"]:
                answer, penalty = penalised(judge, self._seen(pictures))
                terms[f"train/{name}"] = weights[f"{name}_weight"] * penalty
            else:
                answer = judge(self._seen(pictures))
            logits.append(answer)
        terms["train/adversarial_d"] = loss_d(*logits)
        terms["train/loss_d"] = torch.stack(list(terms.values())).sum()
        norm_d = self.descend(optimizers[1], terms["train/loss_d"], self.discriminator, batch_idx)
        self.discriminator.requires_grad_(False)

        with torch.no_grad():
            real = judge(self._seen(dreams)) if weights["loss"] == "relativistic" else logits[0].detach()
        loss = loss_g(real, judge(self._seen(generated)))
        if self.likeness is not None and self.progress >= weights["likeness_from"]:
            terms["train/likeness"] = self.likeness(generated)
            loss = loss + weights["likeness_weight"] * terms["train/likeness"]
        norm = self.descend(optimizers[0], loss, self.generator, batch_idx)
        self.ema.update_parameters(self.generator)

        terms |= {"train/real": logits[0].mean(), "train/fake": logits[1].mean()}
        terms |= {"train/gradient_norm": norm, "train/gradient_norm_d": norm_d}
        self.log_step(terms, loss, len(dreams))

    def _drawn(self, draw: Callable[[int, int], Tensor], like: Tensor, count: int) -> Tensor:
        """This process's rows, (B, count), of the numbers for the batch of all of them.

        From the CPU's stream, which is the same everywhere.
        """
        processes, rank = self.trainer.world_size, self.trainer.global_rank
        own = draw(len(like) * processes, count)[rank * len(like) : (rank + 1) * len(like)]
        # Never narrower than drawn: a place rounded to bfloat16 would be one of few.
        return own.to(like.device, torch.promote_types(own.dtype, like.dtype))

    def _seen(self, pictures: Tensor) -> Tensor:
        return augmented(pictures, self._drawn(torch.rand, pictures, DRAWS)) if self.hparams["augment"] else pictures

    def known(self, batch: Mapping[str, Tensor], like: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the styles, (B, S), and of the classes, (B, C), as the networks take them."""
        config = self.generator.config
        styles = batch["style"] if config.styles > 1 else torch.zeros_like(batch["style"])
        classes = (
            F.one_hot(batch["class"], config.classes) if config.classes else batch["class"].new_zeros(len(like), 0)
        )
        return F.one_hot(styles, config.styles).to(like), classes.to(like)

    def forward(self, latents: Tensor, styles: Tensor | None = None, classes: Tensor | None = None) -> Tensor:
        """Pictures of the averaged generator, as ``NoiseGenerator.forward``."""
        pictures: Tensor = self.ema(latents, styles, classes)
        return pictures

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int = 0) -> None:
        """Keep features of held-out dreams, of as many pictures from one fixed noise, and of held-out photos."""
        if dataloader_idx == 0:
            first, count = self.held_out.kept("generated"), len(batch["picture"])
            latents = self._latents(range(first, first + count))
            self.held_out.keep("generated", self(latents, *self.known(batch, latents)).float())
        self.held_out.keep(("dreams", "photos")[dataloader_idx], batch["picture"])

    def _latents(self, seeds: Sequence[int]) -> Tensor:
        """(N, latent): as ``dreamgan sample`` draws them, the same at every validation of every training."""
        return drawn(seeds, self.hparams["latent"], 0).latents.to(next(self.generator.parameters()))

    def on_validation_epoch_end(self) -> None:
        """Measure the averaged generator; not in the sanity check, which is of some pictures only."""
        found = self.held_out.measures()
        if self.trainer.sanity_checking or found is None:
            return
        self.measures, self.measured_epoch = found, self.current_epoch + 1
        for name, value in ((name, getattr(found, name)) for name in NOISE_LOGGED):
            if not math.isfinite(value):
                continue  # too few pictures for it
            # All processes validate on all pictures, so that they agree already; Lightning wants it said all the same.
            self.log(f"val/{name}", value, prog_bar=name == "kid_dreams", sync_dist=True, batch_size=1)
        self.log("val/collapsed", float(found.collapsed), sync_dist=True, batch_size=1)

    def shown(self, rows: int) -> tuple[list[list[Image.Image]], list[str]]:
        """Pictures from one fixed noise, as many in a row as there are rows; columns are classes, rows styles."""
        config, latents = self.generator.config, self._latents(range(rows * rows))
        place = torch.arange(rows * rows, device=latents.device)
        asked = {"style": place // rows % config.styles, "class": place % rows % max(1, config.classes)}
        with torch.no_grad():
            pictures = [to_picture(picture) for picture in self(latents, *self.known(asked, latents)).float()]
        heads = [self.classes[column % len(self.classes)] if self.classes else "" for column in range(rows)]
        return [pictures[row * rows : (row + 1) * rows] for row in range(rows)], heads

    def said(self) -> list[str]:
        """As ``NoiseValidation.said``; nothing before the first validation."""
        return self.held_out.said(self.measures) if self.measures else []

    def export(self, folder: Path, *, epochs: int, dataset: str) -> None:
        """Export the averaged generator with its card and its last measures."""
        measures = dataclasses.asdict(self.measures) if self.measures else {}
        # JSON has no NaN; a measure that could not be taken is left out.
        measures = {name: value for name, value in measures.items() if math.isfinite(value)}
        if measures:
            measures["features"] = self.held_out.features
        styles = {style.name: dict(style.facts) for style in self.styles}
        if not self.hparams["recipe_conditional"] and len(styles) > 1:
            styles = {", ".join(styles): {"recipes": styles}}
        for facts in styles.values():
            facts |= {"epochs": epochs, "measured_epoch": self.measured_epoch, "measures": measures, **self.learnt}
        network: NoiseGenerator = self.ema.module  # type: ignore[assignment]
        card = noise_card(list(styles), self.classes, dataset, network, epochs, self.measured_epoch, measures)
        save_noise_generator(folder, network, styles, self.classes, card)
