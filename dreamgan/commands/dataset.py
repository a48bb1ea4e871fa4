"""`dreamgan dataset`: dream a set of photos into a dataset of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgan.devices import Precision

if TYPE_CHECKING:
    from PIL.Image import Image

    from dreamgan.data.sources import PhotoSet
    from dreamgan.lit.dream_job import WorkUnit


FORMAT = "dreamgan-dataset-1"


def make_dataset(
    photos: str = "samples",
    recipe: str = "distillable",
    backbone: str = "mobilenet_v2",
    layers: str | None = None,
    objective: str | None = None,
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

    Then: dreamgan train fit --config configs/pix2pix.yaml --data.dataset runs/holiday

    Args:
        photos: `samples` (photographs that scikit-image and scikit-learn carry, cut into crops), a folder (a photo's
            class is the sub-folder it lies in), a Hugging Face dataset name or a parquet file.
        recipe: distillable (quick and reproducible: the one to train on), another name that `dreamgan dream --help`
            lists, or a YAML file with fields of a recipe.
        backbone: vgg16, vgg19, resnet50, inception_v3, googlenet, googlenet_bvlc, mobilenet_v2 or squeezenet1_1.
        layers: Its layers, with weights if wanted: relu4_3, or mixed3,mixed5:1.5. Default: the recipe's choice.
        objective: What to maximise, in place of the recipe's, for instance "l2(mixed4) + class(tabby)".
        weights: File with the backbone's weights (.safetensors or .pth). Default: torchvision's own.
        size: Side of the square pictures, in pixels: shorter side scaled to it, centre cut out.
        seed: Same seed, same dataset (on the same machine, thread count and batch).
        out: Folder of the dataset.
        crops: Crops per photograph of `samples`.
        limit: At most this many photos, evenly over the classes.
        test_fraction: Share of the photographs that go to the test split, with all their crops.
        hold_out: Classes or photo ids, with commas, that go to the test split whole.
        second_dreams: Give each test photo a second dream with another seed: the ceiling for one-pass dreams.
        batch: Photos dreamed at a time (a work unit). Default: 4 on a CPU, 32 on a GPU.
        threads: CPU threads. Default: torch's choice for this machine.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: 32, or bf16 for GPUs that are fast at it.
        overwrite: Replace what another configuration left in `out`.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    import json
    import shutil
    import sys

    import torch

    from dreamgan.backbones.features import load_extractor
    from dreamgan.backbones.registry import get_spec
    from dreamgan.commands.flags import at_least, check_seed, out_folder
    from dreamgan.commands.pictures import is_utf8, printable, write_rejects
    from dreamgan.data.pairs import compact, is_unit, unit_rejects, write_card
    from dreamgan.data.sources import find_photos, split_of
    from dreamgan.devices import default_batch, pick_device
    from dreamgan.dream import get_recipe
    from dreamgan.dream.scoring import check_objective
    from dreamgan.errors import UserError
    from dreamgan.images import MIN_SIDE_PX
    from dreamgan.lit.dream_job import cut_into_units

    at_least(MIN_SIDE_PX, size=size)
    at_least(1, batch=batch, threads=threads, crops=crops, limit=limit)
    check_seed(seed)
    where = pick_device(device)
    target = out_folder(out)
    if not photos:
        raise UserError("--photos is empty; give a folder, a parquet file, a dataset's name or samples")
    source = Path(photos).expanduser()
    if source.is_dir() and target.resolve().is_relative_to(source.resolve()):
        raise UserError(f"--out '{target}' lies in the folder of the photos; give another --out")
    chosen = get_recipe(recipe, get_spec(backbone).name, layers=layers, objective=objective)
    if not chosen.objective.stands_alone:
        raise UserError(
            f"the objective {chosen.objective} needs guides, masks or a choice made on each photo, which a dataset "
            "does not hold; use it with dreamgan dream"
        )
    photo_set = find_photos(photos, size_px=size, crops=crops, seed=seed, limit=limit)
    for photo in photo_set.photos:
        if not is_utf8(photo.photo_id):
            raise UserError(f"the file name {printable(photo.photo_id)!r} is not UTF-8 text; rename the photo")
    split = split_of(
        [photo.source_id for photo in photo_set.photos],
        test_fraction=test_fraction,
        seed=seed,
        labels=[photo.label for photo in photo_set.photos],
        hold_out=[name.strip() for name in hold_out.split(",")] if hold_out else (),
    )
    if "test" not in split.values():
        print("no test split: a network trained on this cannot be measured", file=sys.stderr)
    extractor = load_extractor(
        backbone, chosen.layer_names, weights=weights, device=where, batch_norms=chosen.objective.needs_batch_norms
    )
    check_objective(chosen.objective, extractor)
    unit_photos = batch or default_batch(where)
    config = {
        "format": FORMAT,
        # The name only: the rest of a path is nobody's business when the dataset is passed on.
        "photos": source.resolve().name if source.exists() else photos,
        "photo_count": len(photo_set),
        "photo_list_sha256": _digest(photo_set),
        "recipe": json.loads(chosen.to_json()),
        "backbone": extractor.backbone,
        "weights": extractor.weights_name,
        "weights_sha256": extractor.weights_sha256,
        "size": size,
        "seed": seed,
        "test_fraction": test_fraction,
        "hold_out": hold_out,
        "second_dreams": second_dreams,
        "batch": unit_photos,
        "threads": threads or _begun_threads(target) or torch.get_num_threads(),
        "device": where.type,
        "precision": precision,
    }
    _claim(target, config, overwrite=overwrite)
    units_folder = target / ".units"
    if _is_complete(target):
        shutil.rmtree(units_folder, ignore_errors=True)  # there when the end of the run was cut off
        print(f"{target} is complete already; nothing to do")
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
    write_rejects([(reject.name, reject.reason) for reject in rejects], target)
    facts = {
        "photos": config["photos"],
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
    print(f"dream dataset in {target}: {counts}; look at {target / 'sheet.png'}")


def _run(
    units: list[WorkUnit], photo_set: PhotoSet, extractor: Any, recipe: Any, config: dict[str, Any], device: Any
) -> None:
    import torch
    from pytorch_lightning import Trainer

    from dreamgan.commands.pictures import tell
    from dreamgan.commands.quiet import quiet_lightning
    from dreamgan.lit.dream_job import DreamJob, UnitPhotos, UnitWriter

    threads = torch.get_num_threads()
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
        try:
            loader = UnitPhotos(units, photo_set, config["size"], tell).loader()
            trainer.predict(job, loader, return_predictions=False)
        finally:
            torch.set_num_threads(threads)


def _digest(photo_set: PhotoSet) -> str:
    """What tells one list of photos from another: names, classes, crops and sizes of the files."""
    import hashlib

    from dreamgan.data.sources import FileCrop

    # Without the folder: the same photos are the same from wherever they are named. The sizes stand for the contents,
    # which would take too long to read.
    facts: list[tuple[object, ...]] = [(table.name, _size_bytes(table)) for table in photo_set.tables]
    for photo in photo_set.photos:
        where = photo.where
        place = (where.box, _size_bytes(where.path)) if isinstance(where, FileCrop) else (where,)
        facts.append((photo.photo_id, photo.label, *place))
    return hashlib.sha256("\n".join(map(repr, facts)).encode("utf-8", "surrogateescape")).hexdigest()


def _size_bytes(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:  # it becomes a reject
        return -1


def _is_complete(target: Path) -> bool:
    # The card is the last to be written and the first to go.
    return (target / "README.md").is_file() and any((target / "data").glob("*.parquet"))


def _begun_threads(target: Path) -> int | None:
    """The thread count of a run that was begun in the folder: without --threads it goes on with the same."""
    import json

    try:
        threads = json.loads((target / "config.json").read_text(encoding="utf-8"))["threads"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return threads if isinstance(threads, int) and threads > 0 else None


def _claim(target: Path, config: dict[str, Any], *, overwrite: bool) -> None:
    """Write the resolved config, or refuse a folder that another one, or something else, has filled."""
    import json
    import os
    import shutil

    from dreamgan.errors import UserError

    path, partial = target / "config.json", target / ".config.json.partial"
    if path.is_file():
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            old = {}
        if not isinstance(old, dict) or old.get("format") != FORMAT:
            raise UserError(f"'{path}' is of something else than a dream dataset; give another --out")
        # A folder may be named in many ways: the digest of the list of photos says whether it holds the same.
        ignored = {"photos"}
        if _is_complete(target):
            ignored.add("threads")  # the bytes depend on it, but there are none to come
        was, now = ({key: each[key] for key in each.keys() - ignored} for each in (old, config))
        changed = _difference(was, now)
        if not changed:
            return
        if not overwrite:
            raise UserError(
                f"'{target}' was begun with another configuration ({'; '.join(changed)}); "
                "use --overwrite or another --out"
            )
        # The card first: without it the folder does not pass for complete, should this be cut off.
        for name in ("README.md", "sheet.png", "rejects.csv"):
            (target / name).unlink(missing_ok=True)
        for name in ("data", ".units"):
            shutil.rmtree(target / name, ignore_errors=True)
    elif target.exists() and any(item != partial for item in target.iterdir()):
        raise UserError(f"'{target}' exists and holds something else than a dream dataset; give another --out")
    target.mkdir(parents=True, exist_ok=True)
    partial.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, path)


def _difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """What of a configuration is no longer as it was, one phrase per value."""
    changed = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if isinstance(was, dict) and isinstance(now, dict) and was.get("name") != now.get("name"):
            changed.append(f"{prefix}{key} was {was.get('name')!r}, is {now.get('name')!r}")
        elif isinstance(was, dict) and isinstance(now, dict):
            changed += _difference(was, now, f"{prefix}{key}.")
        elif was != now and key == "photo_list_sha256":
            changed.append("the photos differ in name, class, crop or file size")
        elif was != now:
            changed.append(f"{prefix}{key} was {was!r}, is {now!r}")
    return changed


def _sheet(target: Path, rows: int = 6) -> Image:
    """Photo and dream of some pairs of the finished dataset, spread over it."""
    from dreamgan.data.pairs import has_split, load_pairs
    from dreamgan.images import sheet

    pairs = load_pairs(target, "test" if has_split(target, "test") else "train")
    count = min(rows, len(pairs))
    chosen = [pairs[place * len(pairs) // count] for place in range(count)]
    return sheet([[pair["photo"], pair["dream"]] for pair in chosen], ["photo", "dream"])
