"""`dreamgan dream`: dream a photo or a folder of photos directly."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from dreamgan.devices import Precision

if TYPE_CHECKING:
    from dreamgan.dream import DreamRecipe, DreamStep

# Larger photos are dreamed in tiles unless --tile says otherwise.
WHOLE_PX = 1024
TILE_PX = 512
# What a network sees less of at the border of a tile is less than this; measured in tests/dream/test_hd.py.
OVERLAP_PX = 32


def dream(
    photos: str,
    recipe: str = "gordic",
    backbone: str = "mobilenet_v2",
    layers: str | None = None,
    objective: str | None = None,
    guide: str | None = None,
    mask: str | None = None,
    weights: str | None = None,
    out: str = "dreams",
    seed: int = 0,
    octaves: int | None = None,
    octave_scale: float | None = None,
    steps: int | None = None,
    step_size: float | None = None,
    max_side: int = 1024,
    tile: int | None = None,
    batch: int | None = None,
    device: str = "auto",
    precision: Precision = "32",
    print_recipe: bool = False,
) -> None:
    """Dream a photo, or every photo of a folder, and write the dreams as PNG.

    Example: dreamgan dream holiday/ --recipe gordic --backbone vgg16 --layers relu4_3 --weights vgg16.safetensors

    Example: dreamgan dream cat.jpg --recipe guided --guide flowers.jpg

    Example: dreamgan dream noise:320x240 --objective "class(tabby) - 2*tv()" --steps 40

    Objectives: a weighted sum of mean(LAYER), l2(LAYER), channel(LAYER, MAP), maps(LAYER, MAP, ...),
    neuron(LAYER, MAP, Y, X), class(NAME or INDEX), guided(LAYER, GUIDE), guided_match(LAYER, GUIDE),
    select_max(LAYER, COUNT), select_min(LAYER, COUNT), tv(), norm(), batch_norm(). All of it is maximised; put a minus
    before what shall become small (where it comes first: --objective="-l2(LAYER)"). Options: mask=NAME,
    octaves=1/0.5/0 (weights, coarse to fine), and for guided spatial=true and per_octave=true.

    Args:
        photos: A picture, a folder of pictures (sub-folders included), or noise:WIDTHxHEIGHT to dream from noise.
        recipe: gordic (bold, four coarse octaves), keras, google, tutorial (fine, five octaves), tutorial_simple,
            tutorial_tiled, layers_low, layers_high (1,000 steps: slow), styleconv_single, styleconv_multi, guided
            (needs --guide), distillable (quick and reproducible), or a YAML file with fields of a recipe (see
            --print_recipe).
        backbone: Network whose features are amplified: vgg16, vgg19, resnet50, inception_v3, googlenet,
            googlenet_bvlc (the network of google/deepdream; needs --weights), mobilenet_v2 or squeezenet1_1.
        layers: Its layers, with weights if wanted: relu4_3, or mixed3,mixed5:1.5. Default: the recipe's choice for
            the backbone.
        objective: What to maximise, in place of the recipe's (see above).
        guide: Guide picture, for objectives that name the guide `guide`; several as NAME=FILE,NAME=FILE.
        mask: Dream only where this picture is white (grey: partly); masks that the objective names as
            NAME=FILE,NAME=FILE.
        weights: File with the backbone's weights (.safetensors or .pth). Default: torchvision's own, from its cache
            or downloaded.
        out: Folder for the dreams, <stem>.png each.
        seed: Same seed, same dream (on the same machine and thread count).
        octaves: Number of scales. More: larger shapes. Default: the recipe's.
        octave_scale: Ratio of the sides of neighbouring scales. Default: the recipe's.
        steps: Gradient steps per octave. More: stronger. Default: the recipe's.
        step_size: Length of a step, in the recipe's pixel space. Default: the recipe's.
        max_side: Photos with a longer side are shrunk to it, in pixels; 0 keeps their size.
        tile: Dream in tiles of this side, in pixels, which bounds the memory; 0: never. Default: the recipe's, and 512
            for photos with a side above 1024 px.
        batch: Photos of equal size dreamed at a time. Default: 4 on a CPU, 32 on a GPU.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: 32, or bf16 for GPUs that are fast at it.
        print_recipe: Only print the recipe as YAML, to be kept, changed and given as --recipe FILE.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    from pathlib import Path

    import torch
    import yaml
    from tqdm import tqdm

    from dreamgan import __version__
    from dreamgan import dream as engine
    from dreamgan.backbones.features import load_extractor
    from dreamgan.backbones.registry import get_spec
    from dreamgan.commands.flags import at_least, check_seed, out_folder
    from dreamgan.commands.pictures import (
        Job,
        check_target,
        loaded_batches,
        noise_size,
        plan,
        printable,
        save_dreams,
        tell,
        write_rejects,
    )
    from dreamgan.devices import default_batch, halving, joined, pick_device, precision_context
    from dreamgan.dream.guide import named_pictures
    from dreamgan.dream.noise import noise_images
    from dreamgan.dream.scoring import check_objective
    from dreamgan.images import MIN_SIDE_PX, LoadedImage, to_picture, to_unit

    at_least(1, batch=batch, octaves=octaves, steps=steps)
    at_least(MIN_SIDE_PX, max_side=max_side or None)
    check_seed(seed)
    chosen = engine.get_recipe(
        recipe,
        get_spec(backbone).name,
        layers=layers,
        objective=objective,
        octaves=octaves,
        octave_scale=octave_scale,
        steps=steps,
        step_size=step_size,
        tile_px=tile,
        tile_overlap_px=None if tile is None else min(OVERLAP_PX, tile // 2),
    )
    if print_recipe:
        print(yaml.safe_dump(chosen.as_dict(), sort_keys=False), end="")
        return
    where = pick_device(device)
    folder = out_folder(out)
    noise = noise_size(photos)
    jobs = [Job("noise", Path("noise"), folder / "noise.png")] if noise else plan(photos, folder)
    if noise:
        check_target(jobs[0].target)
    guides = {name: to_unit(picture)[None] for name, picture in named_pictures(guide, "guide", max_side).items()}
    masks = {name: to_unit(picture).mean(0)[None, None] for name, picture in named_pictures(mask, "", 0).items()}
    only_here = masks.pop("", None)
    _refuse_unused("guide", guides.keys() - set(chosen.objective.guides), chosen)
    _refuse_unused("mask", masks.keys() - set(chosen.objective.masks), chosen)
    extractor = load_extractor(
        backbone, chosen.layer_names, weights=weights, device=where, batch_norms=chosen.objective.needs_batch_norms
    )
    check_objective(chosen.objective, extractor, guides, masks)
    facts = {
        "version": __version__,
        "recipe": chosen.name,
        "backbone": extractor.backbone,
        "layers": ",".join(chosen.layer_names),
        "weights": f"{extractor.weights_name} sha256:{extractor.weights_sha256}",
        "seed": str(seed),
    }
    rejects: list[tuple[str, str]] = []
    per_photo = sum(chosen.steps_per_octave)
    done = 0
    label = f"{chosen.name} {extractor.backbone}"
    with tqdm(total=len(jobs) * per_photo, unit="step", desc=label, disable=None) as bar:
        size = batch or default_batch(where)
        groups = (
            [[(jobs[0], LoadedImage(to_picture(noise_images(*noise, seed=seed, names=["noise"])[0]), None, ()))]]
            if noise
            else loaded_batches(jobs, batch=size, max_side=max_side, rejects=rejects)
        )
        for group in groups:
            tiled = _in_tiles(chosen, max(group[0][1].picture.size)) if tile is None else chosen
            images = torch.stack([to_unit(loaded.picture) for _, loaded in group])

            def run(part: slice, group=group, images=images, tiled=tiled) -> torch.Tensor:  # type: ignore[no-untyped-def]
                names = [job.name for job, _ in group[part]]
                report = _OctaveReport([printable(name) for name in names], bar)
                with precision_context(where, precision):
                    result = engine.dream(
                        images[part].to(where),
                        extractor,
                        tiled,
                        seed=seed,
                        photo_ids=names,
                        guides=guides,
                        masks=masks,
                        only_here=only_here,
                        callback=report,
                    )
                if result.dropped_octaves:
                    height, width = images.shape[-2:]
                    bar.write(
                        f"{width}x{height} px: left out {result.dropped_octaves} of {chosen.octaves} octaves, "
                        f"too small for {extractor.backbone}"
                    )
                all_steps = sum(chosen.steps_per_octave[result.dropped_octaves :])
                for name, skipped in zip(names, result.skipped_steps.tolist(), strict=True):
                    if skipped >= all_steps:
                        tell(f"{name}: its gradient was zero or not finite in every step; nothing was dreamed")
                return result.images.cpu()

            dreams = joined(halving(run, len(group)))
            del images, run  # saving large pictures takes as much memory again
            facts["recipe_json"] = tiled.to_json()
            save_dreams(group, dreams, lambda job: {**facts, "photo": printable(job.source.name)})
            done += len(group)
            # Octaves that were left out and photos that could not be read count as done.
            bar.update((done + len(rejects)) * per_photo - bar.n)
    write_rejects(rejects, folder)
    print(f"{len(jobs) - len(rejects)} dreams in {folder}")


def _refuse_unused(flag: str, names: Set[str], recipe: DreamRecipe) -> None:
    from dreamgan.errors import UserError

    ways = {
        "guide": '--recipe guided, or --objective "guided(LAYER, NAME)"',
        "mask": 'one FILE without a name to dream only there, or --objective "l2(LAYER, mask=NAME)"',
    }
    for name in sorted(names):
        raise UserError(f"--{flag}: the objective {recipe.objective} names no {flag} {name!r}; give {ways[flag]}")


def _in_tiles(recipe: DreamRecipe, longer_side_px: int) -> DreamRecipe:
    """The recipe as it stands, or in tiles where the whole would take gigabytes."""
    from dataclasses import replace

    if recipe.tile_px or longer_side_px <= WHOLE_PX:
        return recipe
    return replace(recipe, tile_px=TILE_PX, tile_overlap_px=OVERLAP_PX)


class _OctaveReport:
    """Moves the bar and prints, at the end of each octave, the score of every photo at its first and last step."""

    def __init__(self, names: list[str], bar) -> None:  # type: ignore[no-untyped-def]
        self.names, self.bar = names, bar
        self.first: list[float] = []

    def __call__(self, at: DreamStep) -> None:
        self.bar.update(len(self.names))
        scores = at.scores.tolist()
        if at.step == 0:
            self.first = scores
        if at.step == at.steps - 1:
            for name, first, last in zip(self.names, self.first, scores, strict=True):
                self.bar.write(
                    f"{name}: octave {at.octave + 1}/{at.octaves}, {at.size[1]}x{at.size[0]} px, "
                    f"score {first:.4g} -> {last:.4g}"
                )
