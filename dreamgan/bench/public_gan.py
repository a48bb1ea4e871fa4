"""An anchor for the GAN that dreams from noise: a public GAN, trained on the same dreams and measured alike."""

from __future__ import annotations

import importlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from dreamgan.backbones.files import named_files
from dreamgan.commands.flags import at_least, out_folder
from dreamgan.commands.from_noise import grid_of
from dreamgan.data.dreams import DreamPictures
from dreamgan.data.loading import names_of
from dreamgan.data.styles import find_styles
from dreamgan.errors import UserError
from dreamgan.evaluation.noise_figures import noise_figures
from dreamgan.evaluation.noise_sets import GENERATED, PICTURES, gather
from dreamgan.evaluation.noise_table import noise_text
from dreamgan.evaluation.yardstick import load_yardstick
from dreamgan.files import write_text
from dreamgan.images import as_saved, save_png, to_picture

PACKAGE = "lightweight-gan"
SHOWN = 64
LATENT = 256
_PENALTY_EVERY, _PENALTY, _AVERAGE_EVERY = 4, 10.0, 10
_AUGMENT = {"prob": 0.3, "types": ["translation", "cutout"]}


def bench_public_gan(
    dataset: str,
    pictures: int = 240_000,
    batch: int = 32,
    width: int = 128,
    weights: str | None = None,
    referee_weights: str | None = None,
    out: str = "runs/public_gan",
    seed: int = 0,
) -> None:
    """Train a public GAN on the dreams of a dataset, at 64 px, and measure it as `dreamgan evaluate` does.

    It is lightweight-gan (after Liu et al. 2021, FastGAN), which must be installed by hand with what it imports:
    pip install --no-deps lightweight-gan kornia kornia_rs einops adabelief_pytorch. Networks, losses, augmentation and
    rates are its own; the steps follow its trainer, which runs on CUDA only. A killed run begins anew.

    Example: bench_noise.py runs/natural --pictures 240000 --out runs/public_gan

    Args:
        dataset: Folder of a dream dataset, or the name of one on the Hugging Face hub; several with commas between.
        pictures: Real pictures that the discriminator sees.
        batch: Pictures in a step.
        width: Channels of both networks at their widest; the package's own choice is 512.
        weights: File of the network that the dataset was dreamed with, or NETWORK=FILE with commas between.
        referee_weights: The same for the network that judges.
        out: Folder for grid.png and figures.json.
        seed: Of everything random.

    Raises:
        UserError: If something given is wrong, or the package is missing.
    """
    at_least(1, pictures=pictures, batch=batch, width=width)
    folder = out_folder(out)
    files, referee_files = named_files(weights, "weights"), named_files(referee_weights, "referee_weights")
    with _without_cuda():
        package = _public("lightweight_gan.lightweight_gan")
        torch.manual_seed(seed)
        random.seed(seed)  # the package draws from it whether to augment
        gan = package.LightweightGAN(latent_dim=LATENT, image_size=64, fmap_max=width)
    data = DreamPictures(dataset, size_px=64, val_pictures=2 * PICTURES, batch_size=batch, seed=seed)
    sets = gather(data)
    style = find_styles(names_of(dataset))[0]
    device = torch.device("cpu")
    yardstick = load_yardstick(style.facts, names_of(dataset)[0], files, referee_files, {}, device)
    for step in tqdm(range(pictures // batch), unit="step", disable=None):
        with torch.autocast("cpu", torch.bfloat16):
            _step(package, gan, _batch(sets.trained, batch), step)
    gan.GE.eval()
    with torch.no_grad():
        parts = torch.split(torch.randn(GENERATED, LATENT), batch)
        made = torch.cat([as_saved(gan.GE(part).float().clamp(0, 1)) for part in parts])
    found = noise_figures("public GAN", made, sets, yardstick, batch, device)
    print(noise_text(found))
    count = sum(weight.numel() for weight in gan.GE.parameters())
    row = {"pictures": pictures, "parameters": count, **found.as_row()}
    write_text(folder / "figures.json", f"{json.dumps([row], indent=2, allow_nan=False)}\n")
    save_png(grid_of([to_picture(picture) for picture in made[:SHOWN]]), folder / "grid.png", metadata={})
    print(f"{count:,} parameters; look at {folder / 'grid.png'}")


def _step(package: Any, gan: Any, real: Tensor, step: int) -> None:
    """A step of either network, as in the package's ``Trainer.train``."""
    penalised = step % _PENALTY_EVERY == 0
    gan.D_opt.zero_grad()
    with torch.no_grad():
        fake = gan.G(torch.randn(len(real), LATENT))
    real.requires_grad_(penalised)
    fake, (fake_out, fake_small, _) = gan.D_aug(
        fake, detach=True, input_requires_grad=penalised, return_discr_input=True, **_AUGMENT
    )
    real_out, real_small, rebuilt = gan.D_aug(real, calc_aux_loss=True, **_AUGMENT)
    loss = package.hinge_loss(real_out, fake_out) + package.hinge_loss(real_small, fake_small) + rebuilt
    if penalised:
        pairs = ((real, [real_out, real_small]), (fake, [fake_out, fake_small]))
        gradients = [
            torch.autograd.grad([each.sum() for each in answers], pictures, create_graph=True)[0]
            for pictures, answers in pairs
        ]
        loss = loss + _PENALTY * torch.cat(gradients).flatten(1).norm(dim=1).square().mean()
    loss.backward()
    gan.D_opt.step()

    gan.G_opt.zero_grad()
    out, small, _ = gan.D_aug(gan.G(torch.randn(len(real), LATENT)), **_AUGMENT)
    (package.gen_hinge_loss(out, None) + package.gen_hinge_loss(small, None)).backward()
    gan.G_opt.step()
    if step % _AVERAGE_EVERY == 0:
        gan.EMA()


@contextmanager
def _without_cuda() -> Iterator[None]:
    """Let the package believe that there is a GPU, which it asks for when it is imported, and leave all on the CPU."""
    asked, moved = torch.cuda.is_available, nn.Module.cuda
    torch.cuda.is_available = lambda: True
    nn.Module.cuda = lambda self, device=None: self  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.cuda.is_available, nn.Module.cuda = asked, moved  # type: ignore[method-assign]


def _batch(pictures: Tensor, count: int) -> Tensor:
    """Training pictures at random, half of them mirrored, in [0, 1]."""
    chosen = pictures[torch.randint(len(pictures), (count,))]
    return torch.where(torch.rand(count, 1, 1, 1) < 0.5, chosen.flip(-1), chosen)


def _public(name: str) -> Any:
    """A module of the package.

    Raises:
        UserError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"{PACKAGE} or what it imports is missing ({error}); pip install --no-deps {PACKAGE} kornia kornia_rs "
            "einops adabelief_pytorch"
        ) from error
