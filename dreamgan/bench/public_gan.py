"""An anchor for the GAN that dreams from noise: a public GAN, trained on the same dreams and measured alike."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from dreamgan.backbones.files import named_files
from dreamgan.commands.flags import at_least, check_seed, out_folder
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

PACKAGE = "torchgan"
SHOWN, SIZE_PX = 64, 64
# Networks and rates of the package's own introduction to DCGANs.
LATENT, WIDTH, RATES, BETAS = 100, 64, {"generator": 1e-4, "discriminator": 3e-4}, (0.5, 0.999)


def bench_public_gan(
    dataset: str,
    pictures: int = 240_000,
    batch: int = 64,
    weights: str | None = None,
    referee_weights: str | None = None,
    out: str = "runs/public_gan",
    seed: int = 0,
) -> None:
    """Train a public GAN on the dreams of a dataset, at 64 px, and measure it as `dreamgan evaluate` does.

    It is the DCGAN with least squares losses of torchgan 0.1, which must be installed by hand: pip install --no-deps
    torchgan. Networks, losses, rates and the trainer are its own; it sees the pictures and their mirror images, in
    mixed bfloat16, as ours do. A killed run begins anew.

    Example: bench_noise.py runs/natural --pictures 240000 --out runs/public_gan

    Args:
        dataset: Folder of a dream dataset, or the name of one on the Hugging Face hub; several with commas between.
        pictures: Real pictures that the discriminator sees; whole passes over the dataset are made.
        batch: Pictures in a step.
        weights: File of the network that the dataset was dreamed with, or NETWORK=FILE with commas between.
        referee_weights: The same for the network that judges.
        out: Folder for grid.png and figures.json, and for what the package's trainer writes.
        seed: Of everything random.

    Raises:
        UserError: If something given is wrong, or the package is missing.
    """
    at_least(1, pictures=pictures)
    at_least(2, batch=batch)  # batch norm
    check_seed(seed)
    folder = out_folder(out)
    files, referee_files = named_files(weights, "weights"), named_files(referee_weights, "referee_weights")
    package = _public()
    torch.manual_seed(seed)
    data = DreamPictures(dataset, size_px=SIZE_PX, val_pictures=2 * PICTURES, batch_size=batch, seed=seed)
    sets = gather(data)
    style = find_styles(names_of(dataset))[0]
    device = torch.device("cpu")
    yardstick = load_yardstick(style.facts, names_of(dataset)[0], files, referee_files, {}, device)
    epochs = max(1, pictures // len(sets.trained))
    trainer = _trainer(package, epochs, folder)
    # Batches as tensors: a list would be taken for pictures and labels.
    numbers: Any = range(len(sets.trained))
    loader: Any = DataLoader(numbers, batch, True, drop_last=True, collate_fn=_Batches(sets.trained))
    with torch.autocast("cpu", torch.bfloat16):
        trainer(loader)
    generator = trainer.generator.eval()
    with torch.no_grad():
        parts = torch.split(torch.randn(GENERATED, LATENT), batch)
        made = torch.cat([as_saved((generator(part).float() / 2 + 0.5).clamp(0, 1)) for part in parts])
    found = noise_figures("public GAN", made, sets, yardstick, batch, device)
    print(noise_text(found))
    count = sum(weight.numel() for weight in generator.parameters())
    row = {"pictures": epochs * (len(sets.trained) // batch) * batch, "parameters": count, **found.as_row()}
    write_text(folder / "figures.json", f"{json.dumps([row], indent=2, allow_nan=False)}\n")
    save_png(grid_of([to_picture(picture) for picture in made[:SHOWN]]), folder / "grid.png", metadata={})
    print(f"{count:,} parameters; look at {folder / 'grid.png'}")


class _Batches:
    """Makes a batch of numbers of pictures: half of them mirrored, in [-1, 1]."""

    def __init__(self, pictures: Tensor) -> None:
        self.pictures = pictures

    def __call__(self, numbers: list[int]) -> Tensor:
        chosen = self.pictures[torch.tensor(numbers)] * 2 - 1
        return torch.where(torch.rand(len(chosen), 1, 1, 1) < 0.5, chosen.flip(-1), chosen)


def _trainer(package: Any, epochs: int, folder: Path) -> Any:
    models = importlib.import_module(f"{PACKAGE}.models")
    losses = importlib.import_module(f"{PACKAGE}.losses")
    sizes = {"generator": {"out_size": SIZE_PX, "encoding_dims": LATENT}, "discriminator": {"in_size": SIZE_PX}}
    networks = {
        name: {
            "name": getattr(models, f"DCGAN{name.capitalize()}"),
            "args": {"step_channels": WIDTH, **sizes[name]},
            "optimizer": {"name": torch.optim.Adam, "args": {"lr": rate, "betas": BETAS}},
        }
        for name, rate in RATES.items()
    }
    trainer = package.Trainer(
        networks,
        [losses.LeastSquaresGeneratorLoss(), losses.LeastSquaresDiscriminatorLoss()],
        device=torch.device("cpu"),
        epochs=epochs,
        sample_size=SHOWN,
        checkpoints=str(folder / "checkpoints" / "gan"),
        retain_checkpoints=1,
        recon=str(folder / "epochs"),
    )
    trainer.logger.logger_end_epoch.clear()  # its grid of samples wants an argument that torchvision no longer has
    return trainer


def _public() -> Any:
    """The package's trainer, without the trackers that it would look for.

    Raises:
        UserError: If it is not installed.
    """
    os.environ |= {"TENSORBOARD_LOGGING": "0", "VISDOM_LOGGING": "0"}
    try:
        return importlib.import_module(f"{PACKAGE}.trainer")
    except ImportError as error:
        raise UserError(
            f"{PACKAGE} or what it imports is missing ({error}); pip install --no-deps {PACKAGE}"
        ) from error
