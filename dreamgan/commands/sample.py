"""`dreamgan sample`: dream photos in one pass with a trained generator."""

from __future__ import annotations

from pathlib import Path

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
        batch: Photos of equal size at a time. Default: 2 on a CPU, 32 on a GPU.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: 32, or bf16 for GPUs that are fast at it.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    import time

    import torch
    from tqdm import tqdm

    from dreamgan import __version__
    from dreamgan.commands.pictures import loaded_batches, plan, save_dreams, write_rejects
    from dreamgan.devices import default_batch, halving, joined, pick_device, precision_context
    from dreamgan.images import to_unit
    from dreamgan.sampling import load_generator
    from dreamgan.sampling import sample as one_pass

    where = pick_device(device)
    jobs = plan(photos, out)
    loaded_generator = load_generator(generator, where)
    learnt = {f"generator_{key}": str(value) for key, value in loaded_generator.dream.items()}
    rejects: list[tuple[str, str]] = []
    seconds = 0.0
    Path(out).mkdir(parents=True, exist_ok=True)
    with tqdm(total=len(jobs), unit="picture") as bar:
        size = batch or default_batch(where)
        for group in loaded_batches(jobs, batch=size, max_side=max_side, rejects=rejects):
            images = torch.stack([to_unit(loaded.picture) for _, loaded in group])

            def run(part: slice, images: torch.Tensor = images) -> torch.Tensor:
                with precision_context(where, precision):
                    return one_pass(loaded_generator, images[part]).cpu()

            start = time.perf_counter()
            dreams = joined(halving(run, len(group)))
            seconds += time.perf_counter() - start
            save_dreams(
                group,
                dreams,
                lambda job: {
                    "version": __version__,
                    "generator": Path(generator).name,
                    **learnt,
                    "photo": job.source.name,
                },
            )
            bar.update(len(group))
    write_rejects(rejects, out)
    done = len(jobs) - len(rejects)
    print(f"{done} dreams in {out}; {done / seconds:.1f} pictures per second in the network, on {where}")
