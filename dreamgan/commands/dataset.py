"""`dreamgan dataset`: dream sets of photos into a dataset of pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from dreamgan.devices import Precision
from dreamgan.making.mix import DreamEntry

MOST_THREADS = 1024  # beyond what a machine has, the threads' library ends the program


def make_dataset(
    photos: str | list[str] = "samples",
    recipe: str | None = None,
    backbone: str | None = None,
    layers: str | None = None,
    objective: str | None = None,
    weights: str | None = None,
    guide: str | None = None,
    strengths: float | list[float] | None = None,
    dreams: list[DreamEntry] | None = None,
    every_recipe: bool = False,
    size: int = 128,
    dream_size: int | None = None,
    crop: Literal["center", "random"] = "center",
    seed: int = 0,
    out: str = "runs/dataset",
    crops: int = 24,
    limit: int | None = None,
    only: str | None = None,
    skip: str | None = None,
    hub_config: str | None = None,
    hub_split: str | None = None,
    stream: bool = False,
    test_fraction: float = 0.2,
    hold_out_categories: str | None = None,
    second_dreams: float = 1.0,
    batch: int | None = None,
    threads: int | None = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    precision: Precision = "32",
    dry_run: bool = False,
    overwrite: bool = False,
    wandb: str | None = None,
    push_to_hub: str | None = None,
    public: bool = False,
) -> None:
    """Dream a set of photos into a dataset of (photo, dream) pairs that `datasets.load_dataset` reads.

    A killed run goes on where it stopped when the same command is given again.

    Example: dreamgan dataset --photos holiday/ --backbone vgg16 --weights vgg16.safetensors --out runs/holiday

    Several kinds of dream, in a YAML file: dreamgan dataset --config configs/datasets/three_recipes.yaml

    Then: dreamgan train fit --config configs/pix2pix.yaml --data.dataset runs/holiday

    Args:
        photos: `samples` (photographs that scikit-image and scikit-learn carry, cut into crops), a folder (a photo's
            class is the sub-folder it lies in), a parquet, arrow or tar file (WebDataset) or a folder of them, a
            folder that `save_to_disk` wrote, a text file with one path per line, or the name of a Hugging Face
            dataset; several with commas.
        recipe: distillable (the default: quick and reproducible, the one to train on), another name that `dreamgan
            dream --help` lists, or a YAML file with fields of a recipe.
        backbone: vgg16, vgg19, resnet50, inception_v3, googlenet, googlenet_bvlc, mobilenet_v2 (the default) or
            squeezenet1_1.
        layers: Its layers, with weights if wanted: relu4_3, or mixed3,mixed5:1.5. Default: the recipe's choice.
        objective: What to maximise, in place of the recipe's, for instance "l2(mixed4) + class(tabby)".
        weights: File with the backbone's weights (.safetensors or .pth). Default: torchvision's own.
        guide: Picture that a guided recipe dreams of: FILE, or NAME=FILE with commas between. Kept in the dataset.
        strengths: Shares of the recipe's steps to run, like [0.25, 0.5, 1]; the photos are dealt out over them.
            Default: [1].
        dreams: Several kinds of dream, each with recipe, backbone, layers, objective, weights, guide, strengths, name
            and share (of the photos), in place of the flags above; best written in a YAML file for --config.
        every_recipe: Dream every photo in each of the kinds, rather than share the photos out.
        size: Side of the square pictures, in pixels.
        dream_size: Side of the squares that are dreamed (shorter side of the photo scaled to it, centre cut out); photo
            and dream are then cut alike to --size. Default: --size, nothing is cut.
        crop: Where to cut: center, or random (another place for every photo).
        seed: Same seed, same dataset (on the same machine, thread count and batch).
        out: Folder of the dataset.
        crops: Crops per photograph of `samples`.
        limit: At most this many photos, evenly over the classes.
        only: Classes or photo ids to take, with commas; * and ? stand for anything: cat,dog or n02*.
        skip: Classes or photo ids to leave out, likewise.
        hub_config: Configuration of the Hugging Face dataset, where it has several.
        hub_split: Its split. Default: train, else the first.
        stream: Download no more of a Hugging Face dataset than the photos that --limit asks for.
        test_fraction: Share of the photographs that go to the test split, with all their crops and copies.
        hold_out_categories: Classes or photo ids, with commas, that go to the test split whole.
        second_dreams: Share of the test photos that get a second dream with another seed: the ceiling for one-pass
            dreams.
        batch: Photos dreamed at a time (a work unit). Default: 4 on a CPU, 32 on a GPU.
        threads: CPU threads of each process. Default: torch's choice for this machine, shared among --devices.
        device: auto, cpu, cuda, cuda:1 or mps.
        devices: Processes on this machine, each with a device of its own; torchrun and SLURM are followed as they are.
        nodes: Machines.
        precision: 32, or bf16 for GPUs that are fast at it.
        dry_run: Say what would be done, how long it would take and how large it would be; write nothing.
        overwrite: Replace what another configuration left in `out`.
        wandb: W&B project to log the finished dataset to, as an artifact with a table of samples.
        push_to_hub: Name (you/dataset) under which to publish it on the Hugging Face hub; needs a login there.
        public: Publish it for everybody; otherwise only you see it.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    import shutil

    import torch

    from dreamgan import __version__
    from dreamgan.commands.flags import at_least, check_seed, out_folder
    from dreamgan.commands.quiet import quiet_lightning
    from dreamgan.data.pairs import MOST_SIDE_PX
    from dreamgan.data.sources import find_photos
    from dreamgan.data.split import split_of
    from dreamgan.devices import default_batch, pick_device
    from dreamgan.errors import UserError
    from dreamgan.images import MIN_SIDE_PX
    from dreamgan.making.claim import FORMAT, WORK, begun_threads, check_claim, is_complete
    from dreamgan.making.make import Making
    from dreamgan.making.mix import make_ready
    from dreamgan.making.publish import check_login, check_repo_id, log_to_wandb
    from dreamgan.making.publish import push_to_hub as publish
    from dreamgan.making.run import is_first_process, layout

    at_least(MIN_SIDE_PX, size=size)
    at_least(size, dream_size=dream_size)
    if threads is not None and threads > MOST_THREADS:
        raise UserError(f"--threads is {threads}; it must be at most {MOST_THREADS}")
    at_least(1, batch=batch, threads=threads, crops=crops, limit=limit, devices=devices, nodes=nodes)
    check_seed(seed)
    for flag, side in (("size", size), ("dream_size", dream_size or size)):
        if side > MOST_SIDE_PX:
            raise UserError(f"--{flag} is {side}; it must be at most {MOST_SIDE_PX}")
    if not 0 <= second_dreams <= 1:
        raise UserError(f"--second_dreams is {second_dreams}; it must be a share, 0 to 1")
    if wandb == "":
        raise UserError("--wandb is empty; give the name of a W&B project")
    if push_to_hub is not None:
        check_repo_id(push_to_hub)
        check_login()
    where = pick_device(device)
    devices, nodes = layout(devices, nodes, where)
    # A dataset that is complete may lie where nothing can be written any more.
    target = out_folder(out, writable=not is_complete(Path(out).expanduser()))
    dream_px = dream_size or size
    single = {
        "recipe": recipe,
        "backbone": backbone,
        "layers": layers,
        "objective": objective,
        "weights": weights,
        "guide": guide,
        "strengths": [strengths] if isinstance(strengths, float) else strengths,
    }
    flags = {flag: value for flag, value in single.items() if value is not None}
    kinds = make_ready(_entries(dreams, flags), dream_px=dream_px)
    _check_sources(photos, target)
    photo_set = find_photos(
        photos,
        size_px=dream_px,
        crops=crops,
        seed=seed,
        limit=limit,
        only=_names(only),
        skip=_names(skip),
        hub_config=hub_config,
        hub_split=hub_split,
        stream=stream,
    )
    held_out = _names(hold_out_categories)
    # What is wrong with these is said before the photos are read; the split itself is made of those that can be used.
    try:
        split_of(
            [photo.source_id for photo in photo_set.photos],
            test_fraction=test_fraction,
            seed=seed,
            labels=[photo.label for photo in photo_set.photos],
            hold_out=held_out,
        )
    except UserError as error:
        left_out = f"; --limit {limit} leaves out others" if limit is not None and held_out else ""
        raise UserError(f"{error}{left_out}") from None
    config = {
        "format": FORMAT,
        "dreamgan": __version__,
        "torch": str(torch.__version__),
        "photos": list(photo_set.sources),
        "photo_count": len(photo_set),
        "photo_list_sha256": photo_set.list_sha256(),
        "only": only,
        "skip": skip,
        "limit": limit,
        "crops": crops if "samples" in photo_set.sources else None,
        "hub_config": hub_config,
        "hub_split": hub_split,
        "dreams": [kind.as_dict() for kind in kinds],
        "every_recipe": every_recipe,
        "second_dreams": second_dreams,
        "size": size,
        "dream_size": dream_px,
        "crop": crop,
        "seed": seed,
        "test_fraction": test_fraction,
        "hold_out_categories": list(held_out),
        "batch": batch or default_batch(where),
        "threads": threads or begun_threads(target) or _own_threads(devices),
        "device": where.type,
        "precision": precision,
    }
    same = check_claim(target, config, overwrite=overwrite)
    complete = same and is_complete(target)
    making = Making(config, photo_set, tuple(kinds), where, devices, nodes)
    with quiet_lightning():
        if dry_run:
            if is_first_process():
                making.rehearse(target)
            return
        if not is_first_process():
            if not complete:
                making.take_part()
            return
        if complete:
            shutil.rmtree(target / WORK, ignore_errors=True)  # there when the end of the run was cut off
            print(f"{target} is complete already; nothing to do")
        else:
            making.make(target, overwrite=overwrite)
    if wandb is not None:
        log_to_wandb(target, wandb)
    if push_to_hub is not None:
        publish(target, push_to_hub, private=not public)


def _entries(dreams: list[DreamEntry] | None, flags: dict[str, Any]) -> list[DreamEntry]:
    """The kinds of dream: those of the list, or the one that the flags describe."""
    from dreamgan.errors import UserError

    if dreams is None:
        return [DreamEntry(**flags)]
    if flags:
        raise UserError(f"--{next(iter(flags))} describes a single dream; put it into the entries of dreams")
    if not dreams:
        raise UserError("--dreams is empty; give at least one entry")
    return dreams


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else ()


def _check_sources(photos: str | list[str], out: Path) -> None:
    """Refuse to write among the photos."""
    from dreamgan.errors import UserError

    for name in photos.split(",") if isinstance(photos, str) else photos:
        if not name.strip():
            raise UserError("--photos is empty; give a folder, a file, a dataset's name or samples")
        source = Path(name.strip()).expanduser()
        if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
            raise UserError(f"--out '{out}' lies in the folder of the photos; give another --out")


def _own_threads(devices: int) -> int:
    import torch

    return max(1, torch.get_num_threads() // devices)
