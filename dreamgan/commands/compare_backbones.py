"""`dreamgan compare_backbones`: the same head on several networks and sets of photos, as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLUMNS = (
    "set",
    "backbone",
    "accuracy",
    "95 % interval",
    "errors",
    "epochs",
    "s per epoch",
    "s for features",
    "parameters",
    "multiply-adds",
)


def compare_backbones(
    photos: str,
    backbones: str = "mobilenet_v2,squeezenet1_1,inception_v3,vgg16,resnet50",
    weights: str | None = None,
    val_last: int = 50,
    epochs: int = 20,
    size: int = 224,
    views: int = 1,
    features: str = "runs/features",
    out: str = "runs/backbones",
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Train the same linear head on several networks and sets of photos; write table.md and table.json.

    Each training is `dreamgan train fit` with dreamgan.lit.classifier.FineTuning in a folder SET-BACKBONE of its own.
    Those that are finished are kept while photos and weights are the same: the same command, given again after it was
    stopped, goes on with the others.

    Example: dreamgan compare_backbones cats_dogs,natural_images --weights vgg16=vgg16.safetensors --out runs/backbones

    Args:
        photos: Folders of photos with one sub-folder per class (or with such folders in train and val), with commas.
        backbones: Networks, with commas.
        weights: Their weights, as NETWORK=FILE with commas between; NETWORK=random for none. Default: torchvision's
            own from its cache; a network without any there has random weights, and the table says so.
        val_last: Validate on this many photos of each class, the last by name, where there are no folders train and
            val.
        epochs: Most epochs of each training; it stops after 5 without a better validation loss.
        size: Photos are seen as squares of this side, in pixels.
        views: Fixed ways in which each training photo is seen (1: as it is, 2: also mirrored, more: parts of it).
        features: Folder in which answers of the networks are kept.
        out: Folder for trainings and tables.
        seed: Of order and views.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    import json

    from dreamgan.backbones.files import named_files
    from dreamgan.backbones.registry import get_spec
    from dreamgan.backbones.weights import load_state
    from dreamgan.classifying.sets import find_labelled
    from dreamgan.commands.flags import at_least, check_seed, out_folder
    from dreamgan.commands.train import train
    from dreamgan.data.loading import names_of
    from dreamgan.errors import UserError
    from dreamgan.files import write_text
    from dreamgan.lit.labelled_photos import MOST_SIDE_PX

    at_least(1, epochs=epochs, views=views, val_last=val_last)
    at_least(32, size=size)
    if size > MOST_SIDE_PX:
        raise UserError(f"--size is {size}; it must be at most {MOST_SIDE_PX}")
    check_seed(seed)
    folder = out_folder(out)
    scans = out_folder(features, writable=False, flag="features") / "scans"
    networks = [get_spec(name).name for name in names_of(backbones)]
    files = named_files(weights, "weights")
    if not networks or not names_of(photos):
        raise UserError("there is nothing to compare; give folders of photos, and --backbones")
    sets = _named_sets(names_of(photos))
    _check_weights(weights, networks)
    rows: list[dict[str, Any]] = []
    for name, photo_set in sets.items():
        shown = find_labelled(photo_set, val_last=val_last, seed=seed, folder=scans).sha256()
        for network in networks:
            run = folder / f"{name}-{network}"
            chosen = _weights_of(network, files(network))
            learnt_from = {"photos_sha256": shown, "weights_sha256": load_state(get_spec(network), chosen).sha256}
            flags = _flags(photo_set, network, chosen)
            flags += [f"--data.val_last={val_last}", f"--data.size_px={size}", f"--data.views={views}"]
            flags += [f"--data.features={features}", f"--seed_everything={seed}", f"--trainer.max_epochs={epochs}"]
            flags += [f"--device={device}", f"--run_dir={run}", "--overwrite=true"]
            facts = _finished(run, flags, learnt_from)
            if facts is None:
                print(f"{run.name}:", flush=True)
                train(["fit", *flags])
                facts = json.loads((run / "results.json").read_text())
            rows.append({"set": name, **facts})
            write_text(folder / "table.json", json.dumps(rows, indent=1) + "\n")
            write_text(folder / "table.md", markdown(rows))
    print(f"\n{markdown(rows)}\ntable.md and table.json in {folder}")


def markdown(rows: list[dict[str, Any]]) -> str:
    """The table, a row per training; what `results.json` holds, with "set".

    Args:
        rows: In the order of the table.
    """
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for row in rows:
        low, high = row["interval_95"]
        cells = (
            row["set"],
            row["backbone"] + (" (random weights)" if row["random_weights"] else ""),
            f"{row['accuracy']:.1%}",
            f"{low:.1%} to {high:.1%}",
            f"{row['errors']} of {row['n']}",
            row["epochs"],
            f"{row['seconds_per_epoch']:.2g}",
            f"{row['seconds_features']:.0f}",
            f"{row['parameters'] / 1e6:.2f} M",
            f"{row['multiply_adds'] / 1e9:.2f} G",
        )
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _named_sets(photos: list[str]) -> dict[str, str]:
    """Sets by the names of their folders, after which their trainings are called."""
    from dreamgan.errors import UserError

    sets: dict[str, str] = {}
    for photo_set in photos:
        place = Path(photo_set).expanduser()
        if not place.exists():
            raise UserError(f"there is no folder of photos {photo_set!r}")
        name = place.resolve().name
        if name in sets:
            raise UserError(
                f"the sets {sets[name]!r} and {photo_set!r} are both called {name!r}, and so would be their trainings; "
                "rename one, or compare them with another --out"
            )
        sets[name] = photo_set
    return sets


def _check_weights(weights: str | None, networks: list[str]) -> None:
    """Refuse weights of networks that are not compared, and files that are not there, before the first training."""
    from dreamgan.backbones.files import named_files
    from dreamgan.errors import UserError

    files = named_files(weights, "weights")
    if weights is not None and files("") is None:  # given by name
        for part in weights.split(","):
            network = part.partition("=")[0].strip()
            if network not in networks:
                raise UserError(f"--weights: {network!r} is not among --backbones: {', '.join(networks)}")
    for file in map(files, networks):
        if file and file != "random" and not Path(file).expanduser().is_file():
            raise UserError(f"--weights: file {file!r} does not exist")


def _flags(photos: str, network: str, weights: str | None) -> list[str]:
    stop = "pytorch_lightning.callbacks.EarlyStopping"
    return [
        "--model=dreamgan.lit.classifier.FineTuning",
        f"--model.backbone={network}",
        *([f"--model.weights={weights}"] if weights else []),
        "--data=dreamgan.lit.labelled_photos.LabelledPhotos",
        f"--data.photos={photos}",
        f"--trainer.callbacks={stop}",
        "--trainer.callbacks.monitor=val/loss",
        "--trainer.callbacks.patience=5",
        "--trainer.enable_model_summary=false",
        "--trainer.enable_progress_bar=false",
        "--trainer.logger=false",
    ]


def _weights_of(network: str, file: str | None) -> str | None:
    """The file given; None: torchvision's, which is at hand; else random."""
    import torch

    from dreamgan.backbones.registry import get_spec

    if file is not None:
        return file
    published = get_spec(network).published
    at_hand = published and (Path(torch.hub.get_dir()) / "checkpoints" / Path(published.url).name).is_file()
    return None if at_hand else "random"


def _finished(run: Path, flags: list[str], learnt_from: dict[str, str]) -> dict[str, Any] | None:
    """What a training with the very same flags, photos and weights has left; None: there is none."""
    import json
    import shlex

    try:
        facts: dict[str, Any] = json.loads((run / "results.json").read_text())
    except (OSError, ValueError):
        return None
    wanted = {"command": shlex.join(["dreamgan", "train", "fit", *flags]), **learnt_from}
    return facts if all(facts.get(name) == value for name, value in wanted.items()) else None
