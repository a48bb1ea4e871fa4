"""The half of `dreamgan sample` that turns photos into dreams."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from tqdm import tqdm

from dreamgan import __version__, sampling
from dreamgan.commands.pictures import loaded_batches, plan, printable, save_dreams, write_rejects
from dreamgan.commands.variants import Order, Variant, all_variants, check_targets
from dreamgan.devices import halving, joined, precision_context
from dreamgan.images import to_unit


def dream_photos(order: Order, photos: str, strengths: Sequence[float], max_side: int, tile: int) -> None:
    """Dream a photo, or every photo of a folder, in every style and strength that is asked for.

    Args:
        order: Whose generator takes photos.
        photos: A picture or a folder of pictures.
        strengths: Each from 0 to 1.5.
        max_side: Photos with a longer side are shrunk to it, in pixels; 0 keeps their size.
        tile: Photos of more than this many pixels squared are dreamed in tiles of this side; 0: never.

    Raises:
        UserError: If something given is wrong.
    """
    jobs = plan(photos, order.folder)
    generator = sampling.load_generator(order.source, order.device)
    variants = all_variants(generator, order.style, strengths)
    check_targets(jobs, variants)
    facts = {"version": __version__, "generator": printable(order.name)}
    rejects: list[tuple[str, str]] = []
    seconds = 0.0
    with tqdm(total=len(jobs) * len(variants), unit="picture", disable=None) as bar:
        for group in loaded_batches(jobs, batch=order.batch, max_side=max_side, rejects=rejects):
            images = torch.stack([to_unit(loaded.picture) for _, loaded in group])
            for variant in variants:

                def run(part: slice, images: torch.Tensor = images, variant: Variant = variant) -> torch.Tensor:
                    with precision_context(order.device, order.precision):
                        return sampling.sample(generator, images[part], variant.style, variant.strength, tile).cpu()

                start = time.perf_counter()
                dreams = joined(halving(run, len(group)))
                seconds += time.perf_counter() - start
                order.check(dreams)
                about = {**facts, **variant.facts(generator)}
                save_dreams(
                    [(variant.of(job), loaded) for job, loaded in group],
                    dreams,
                    lambda job, about=about: {**about, "photo": printable(job.source.name)},  # type: ignore[misc]
                )
                bar.update(len(group))
    write_rejects(rejects, order.folder)
    done = (len(jobs) - len(rejects)) * len(variants)
    print(order.told(done, seconds))
