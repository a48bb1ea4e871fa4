"""`dreamgan dataset`: dream a set of photos into a dataset of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgan.devices import Precision

if TYPE_CHECKING:
    from PIL.Image import Image

    from dreamgan.data.sources import PhotoSet
    from dreamgan.lit.dream_job import WorkUnit


def make_dataset(
    photos: str = "samples",
    recipe: str = "distillable",
    backbone: str = "mobilenet_v2",
    layers: str | None = None,
    weights: str | None = None,
    size: int = 128,
    seed: int = 0,
    out: str = "runs/dataset",
    crops: int = 24,
    limit: int | None = None,
    test_fraction: float = 0.2,
    hold_out: str | None = None,
    second_dreams: bool = True,
    batch: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    precision: Precision = "32",
    overwrite: bool = False,
) -> None:
    """Dream a set of photos into a dataset of (photo, dream) pairs that `datasets.load_dataset` reads.

    A killed run goes on where it stopped when the same command is given again.

    Example: dreamgan dataset --photos holiday/ --backbone vgg16 --weights vgg16.safetensors --out runs/holiday

    Args:
        photos: `samples` (photographs that scikit-image and scikit-learn carry, cut into crops), a folder (flat, or
            one sub-folder per class), a Hugging Face dataset name or a parquet file.
        recipe: distillable (quick and reproducible: the one to train on), gordic or tutorial.
        backbone: vgg16, vgg19, resnet50, inception_v3, googlenet, mobilenet_v2 or squeezenet1_1.
        layers: Its layers, with weights if wanted: relu4_3, or mixed3,mixed5:1.5. Default: the recipe's choice.
        weights: File with the backbone's weights (.safetensors or .pth). Default: torchvision's own.
        size: Side of the square pictures, in pixels: shorter side scaled to it, centre cut out.
        seed: Same seed, same dataset (on the same machine, thread count and batch).
        out: Folder of the dataset.
        crops: Crops per photograph of `samples`.
        limit: At most this many photos, evenly over the classes.
        test_fraction: Share of the photographs that go to the test split, with all their crops.
        hold_out: Classes or photo ids, with commas, that go to the test split whole.
        second_dreams: Give each test photo a second dream with another seed: the ceiling for one-pass dreams.
        batch: Photos dreamed at a time (a work unit). Default: 8 on a CPU, 32 on a GPU.
        threads: CPU threads. Default: torch's choice for this machine.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: 32, or bf16 for GPUs that are fast at it.
        overwrite: Replace what another configuration left in `out`.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    import shutil

    import torch

    from dreamgan.backbones.features import load_extractor
    from dreamgan.backbones.registry import get_spec
    from dreamgan.data.pairs import compact, is_unit, unit_rejects, write_card
    from dreamgan.data.sources import find_photos, split_of
    from dreamgan.devices import pick_device
    from dreamgan.dream import get_recipe, parse_layers
    from dreamgan.errors import UserError
    from dreamgan.images import MIN_SIDE_PX
    from dreamgan.lit.dream_job import cut_into_units

    if size < MIN_SIDE_PX:
        raise UserError(f"--size {size} is too small; use at least {MIN_SIDE_PX} px")
    for flag, value in (("batch", batch), ("threads", threads)):
        if value is not None and value < 1:
            raise UserError(f"--{flag} {value} makes no sense; use 1 or more")
    where = pick_device(device)
    chosen = get_recipe(recipe, get_spec(backbone).name, layers=None if layers is None else parse_layers(layers))
    photo_set = find_photos(photos, size_px=size, crops=crops, seed=seed, limit=limit)
    split = split_of(
        [photo.source_id for photo in photo_set.photos],
        test_fraction=test_fraction,
        seed=seed,
        labels=[photo.label for photo in photo_set.photos],
        hold_out=[name.strip() for name in hold_out.split(",")] if hold_out else (),
    )
    extractor = load_extractor(backbone, chosen.layer_names, weights=weights, device=where)
    target = Path(out)
    unit_photos = batch or (8 if where.type == "cpu" else 32)
    config = {
        "photos": str(photos),
        "photo_list_sha256": _digest(photo_set),
        "recipe": chosen.to_json(),
        "backbone": extractor.backbone,
        "weights": extractor.weights_name,
        "weights_sha256": extractor.weights_sha256,
        "size": size,
        "seed": seed,
        "test_fraction": test_fraction,
        "hold_out": hold_out,
        "second_dreams": second_dreams,
        "batch": unit_photos,
        "threads": threads or torch.get_num_threads(),
        "device": where.type,
        "precision": precision,
    }
    _claim(target, config, overwrite=overwrite)
    units_folder = target / ".units"
    if (target / "README.md").exists() and not units_folder.exists():
        print(f"{out} is complete already; nothing to do")
        return
    units = [
        unit
        for name in ("train", "test")
        for unit in cut_into_units(
            [photo for photo in photo_set.photos if split[photo.source_id] == name], name, unit_photos, units_folder
        )
    ]
    waiting = [unit for unit in units if not is_unit(unit.path)]
    done = len(units) - len(waiting)
    print(f"{len(photo_set)} photos, {len(units)} work units of {unit_photos}, {done} of them done already")
    if waiting:
        _run(waiting, photo_set, extractor, chosen, config, where)
    rejects = [reject for unit in units for reject in unit_rejects(unit.path)]
    if len(rejects) == len(photo_set):
        shutil.rmtree(target)
        raise UserError(f"none of the {len(photo_set)} photos could be used; first: {rejects[0].reason}")
    rows = compact([unit.path for unit in units], target, labels=photo_set.labels)
    _write_rejects([(reject.name, reject.reason) for reject in rejects], target)
    facts = {
        "photos": photos,
        "recipe": chosen.name,
        "backbone": extractor.backbone,
        "layers": ", ".join(chosen.layer_names),
        "weights": f"{extractor.weights_name} (sha256 {extractor.weights_sha256})",
        "size": f"{size} px",
        "seed": seed,
    }
    write_card(target, facts=facts, picture=_sheet(target))
    shutil.rmtree(units_folder)
    counts = ", ".join(f"{count} in {name}" for name, count in rows.items())
    print(f"dream dataset in {out}: {counts}; look at {target / 'sheet.png'}")


def _run(
    units: list[WorkUnit], photo_set: PhotoSet, extractor: Any, recipe: Any, config: dict[str, Any], device: Any
) -> None:
    from pytorch_lightning import Trainer

    from dreamgan.commands.quiet import quiet_lightning
    from dreamgan.lit.dream_job import DreamJob, UnitPhotos, UnitWriter

    second_seed = config["seed"] + 1 if config["second_dreams"] else None
    job = DreamJob(extractor, recipe, seed=config["seed"], second_seed=second_seed, threads=config["threads"])
    with quiet_lightning():
        trainer = Trainer(
            accelerator={"cuda": "gpu"}.get(device.type, device.type),
            devices=[device.index or 0] if device.type == "cuda" else 1,
            precision="bf16-mixed" if config["precision"] == "bf16" else "32-true",
            inference_mode=False,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            callbacks=[UnitWriter()],
        )
        trainer.predict(job, UnitPhotos(units, photo_set, config["size"]).loader(), return_predictions=False)
    if trainer.interrupted:
        raise KeyboardInterrupt


def _digest(photo_set: PhotoSet) -> str:
    """What tells one list of photos from another."""
    import hashlib

    text = "\n".join(f"{photo.photo_id}\t{photo.label}\t{photo.where}" for photo in photo_set.photos)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _claim(target: Path, config: dict[str, Any], *, overwrite: bool) -> None:
    """Write the resolved config, or refuse a folder that another one, or something else, has filled."""
    import json
    import os
    import shutil

    from dreamgan.errors import UserError

    path = target / "config.json"
    if path.is_file():
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            old = {}
        changed = [key for key in config if old.get(key) != config[key]]
        if changed and not overwrite:
            difference = "; ".join(f"{key} was {old.get(key)!r}, is {config[key]!r}" for key in changed)
            raise UserError(
                f"{target} was begun with another configuration ({difference}); use --overwrite or another --out"
            )
        if not changed:
            return
        for name in ("data", ".units"):
            shutil.rmtree(target / name, ignore_errors=True)
        for name in ("README.md", "sheet.png", "rejects.csv"):
            (target / name).unlink(missing_ok=True)
    elif target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} exists and holds no dream dataset; give another --out")
    target.mkdir(parents=True, exist_ok=True)
    partial = target / ".config.json.partial"
    partial.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)


def _write_rejects(rejects: list[tuple[str, str]], target: Path) -> None:
    from dreamgan.commands.pictures import write_rejects

    write_rejects(rejects, str(target))


def _sheet(target: Path, rows: int = 6) -> Image:
    """Photo and dream of some pairs of the finished dataset, spread over it."""
    from dreamgan.data.pairs import has_split, load_pairs
    from dreamgan.images import sheet

    pairs = load_pairs(target, "test" if has_split(target, "test") else "train")
    count = min(rows, len(pairs))
    chosen = [pairs[place * len(pairs) // count] for place in range(count)]
    return sheet([[pair["photo"], pair["dream"]] for pair in chosen], ["photo", "dream"])
