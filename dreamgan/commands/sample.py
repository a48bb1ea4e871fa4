"""`dreamgan sample`: dream photos in one pass with a trained generator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamgan.devices import Precision


def sample(
    photos: str,
    generator: str = "runs/quickstart/generator",
    out: str = "samples",
    max_side: int = 2048,
    batch: int | None = None,
    device: str = "auto",
    precision: Precision = "32",
) -> None:
    """Dream a photo, or every photo of a folder, in one pass of a trained generator.

    Example: dreamgan sample holiday/ --generator runs/pix2pix/generator --out one-pass

    Args:
        photos: A picture, or a folder of pictures (sub-folders included), of any size from 32 px.
        generator: Folder that training exported (model.safetensors and config.json).
        out: Folder for the dreams, <stem>.png each.
        max_side: Photos with a longer side are shrunk to it, in pixels; 0 keeps their size.
        batch: Photos of equal size at a time. Default: 4 on a CPU, 32 on a GPU.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: 32, or bf16 for GPUs that are fast at it.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    import time

    import torch
    from tqdm import tqdm

    from dreamgan import __version__
    from dreamgan.commands.flags import at_least, out_folder
    from dreamgan.commands.pictures import loaded_batches, plan, printable, save_dreams, write_rejects
    from dreamgan.devices import default_batch, halving, joined, pick_device, precision_context
    from dreamgan.errors import UserError
    from dreamgan.images import MIN_SIDE_PX, to_unit
    from dreamgan.sampling import load_generator
    from dreamgan.sampling import sample as one_pass

    at_least(1, batch=batch)
    at_least(MIN_SIDE_PX, max_side=max_side or None)
    where = pick_device(device)
    folder = out_folder(out)
    jobs = plan(photos, folder)
    loaded_generator = load_generator(Path(generator).expanduser(), where)
    facts = {
        "version": __version__,
        "generator": printable(Path(generator).resolve().name),
        **_learnt(loaded_generator.dream),
    }
    rejects: list[tuple[str, str]] = []
    seconds = 0.0
    with tqdm(total=len(jobs), unit="picture", disable=None) as bar:
        size = batch or default_batch(where)
        for group in loaded_batches(jobs, batch=size, max_side=max_side, rejects=rejects):
            images = torch.stack([to_unit(loaded.picture) for _, loaded in group])

            def run(part: slice, images: torch.Tensor = images) -> torch.Tensor:
                with precision_context(where, precision):
                    return one_pass(loaded_generator, images[part]).cpu()

            start = time.perf_counter()
            dreams = joined(halving(run, len(group)))
            seconds += time.perf_counter() - start
            if not bool(dreams.isfinite().all()):
                raise UserError(f"the generator {generator!r} gives values that are not finite; train it again")
            save_dreams(group, dreams, lambda job: {**facts, "photo": printable(job.source.name)})
            bar.update(len(group))
    write_rejects(rejects, folder)
    done = len(jobs) - len(rejects)
    print(f"{done} dreams in {folder}; {done / seconds:.1f} pictures per second in the network, on {where}")


def _learnt(dream: Mapping[str, Any]) -> dict[str, str]:
    """Recipe, backbone, layers and seed of the dreams that a generator learnt, as text."""
    facts = {key: dream[key] for key in ("recipe", "backbone", "layers", "seed") if key in dream}
    return {key: ",".join(map(str, value)) if isinstance(value, list) else str(value) for key, value in facts.items()}
