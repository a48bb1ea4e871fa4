"""`dreamgan dream`: dream a photo or a folder of photos directly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dreamgan.devices import Precision

if TYPE_CHECKING:
    from dreamgan.dream import DreamStep


def dream(
    photos: str,
    recipe: str = "gordic",
    backbone: str = "mobilenet_v2",
    layers: str | None = None,
    weights: str | None = None,
    out: str = "dreams",
    seed: int = 0,
    octaves: int | None = None,
    octave_scale: float | None = None,
    steps: int | None = None,
    step_size: float | None = None,
    max_side: int = 1024,
    batch: int | None = None,
    device: str = "auto",
    precision: Precision = "32",
) -> None:
    """Dream a photo, or every photo of a folder, and write the dreams as PNG.

    Example: dreamgan dream holiday/ --recipe gordic --backbone vgg16 --layers relu4_3 --weights vgg16.safetensors

    Args:
        photos: A picture, or a folder of pictures (sub-folders included).
        recipe: gordic (bold, four coarse octaves), tutorial (fine, five octaves) or distillable (quick and
            reproducible).
        backbone: Network whose features are amplified: vgg16, vgg19, resnet50, inception_v3, googlenet,
            mobilenet_v2 or squeezenet1_1.
        layers: Its layers, with weights if wanted: relu4_3, or mixed3,mixed5:1.5. Default: the recipe's choice for
            the backbone.
        weights: File with the backbone's weights (.safetensors or .pth). Default: torchvision's own, from its cache
            or downloaded.
        out: Folder for the dreams, <stem>.png each.
        seed: Same seed, same dream (on the same machine and thread count).
        octaves: Number of scales. More: larger shapes. Default: the recipe's.
        octave_scale: Ratio of the sides of neighbouring scales. Default: the recipe's.
        steps: Gradient steps per octave. More: stronger. Default: the recipe's.
        step_size: Length of a step, in the recipe's pixel space. Default: the recipe's.
        max_side: Photos with a longer side are shrunk to it, in pixels; 0 keeps their size.
        batch: Photos of equal size dreamed at a time. Default: 4 on a CPU, 32 on a GPU.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: 32, or bf16 for GPUs that are fast at it.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    import torch
    from tqdm import tqdm

    from dreamgan import __version__
    from dreamgan import dream as engine
    from dreamgan.backbones.features import load_extractor
    from dreamgan.backbones.registry import get_spec
    from dreamgan.commands.flags import at_least, check_seed, out_folder
    from dreamgan.commands.pictures import loaded_batches, plan, printable, save_dreams, tell, write_rejects
    from dreamgan.devices import default_batch, halving, joined, pick_device, precision_context
    from dreamgan.images import MIN_SIDE_PX, to_unit

    at_least(1, batch=batch, octaves=octaves, steps=steps)
    at_least(MIN_SIDE_PX, max_side=max_side or None)
    check_seed(seed)
    where = pick_device(device)
    folder = out_folder(out)
    jobs = plan(photos, folder)
    chosen = engine.get_recipe(
        recipe,
        get_spec(backbone).name,
        layers=None if layers is None else engine.parse_layers(layers),
        octaves=octaves,
        octave_scale=octave_scale,
        steps=None if steps is None else (steps,),
        step_size=step_size,
    )
    extractor = load_extractor(backbone, chosen.layer_names, weights=weights, device=where)
    facts = {
        "version": __version__,
        "recipe": chosen.name,
        "recipe_json": chosen.to_json(),
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
        for group in loaded_batches(jobs, batch=size, max_side=max_side, rejects=rejects):
            images = torch.stack([to_unit(loaded.picture) for _, loaded in group])

            def run(part: slice, group=group, images=images) -> torch.Tensor:  # type: ignore[no-untyped-def]
                names = [job.name for job, _ in group[part]]
                report = _OctaveReport([printable(name) for name in names], bar)
                with precision_context(where, precision):
                    result = engine.dream(
                        images[part].to(where), extractor, chosen, seed=seed, photo_ids=names, callback=report
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
                        tell(f"{name}: its gradient was zero or not finite in every step; its dream is the photo")
                return result.images.cpu()

            dreams = joined(halving(run, len(group)))
            save_dreams(group, dreams, lambda job: {**facts, "photo": printable(job.source.name)})
            done += len(group)
            # Octaves that were left out and photos that could not be read count as done.
            bar.update((done + len(rejects)) * per_photo - bar.n)
    write_rejects(rejects, folder)
    print(f"{len(jobs) - len(rejects)} dreams in {folder}")


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
