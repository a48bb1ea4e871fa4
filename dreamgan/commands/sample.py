"""`dreamgan sample`: dreams in one pass of a trained generator, of photos or from noise."""

from __future__ import annotations

from dreamgan.devices import Precision

LEAST_TILE_PX = 256  # smaller ones are nearly all margin
STRENGTH, MAX_SIDE_PX, TILE_PX = 1.0, 2048, 1024


def sample(
    photos: str | None = None,
    generator: str | None = None,
    style: str | None = None,
    strength: float | str = STRENGTH,
    blend: str | None = None,
    out: str = "samples",
    max_side: int = MAX_SIDE_PX,
    tile: int = TILE_PX,
    batch: int | None = None,
    device: str = "auto",
    precision: Precision = "32",
    n: int | None = None,
    seed: int | None = None,
    truncation: float | None = None,
    category: str | None = None,
    interpolate: str | None = None,
    frames: int | None = None,
) -> None:
    """Dream in one pass of a trained generator: photos, or pictures from noise where it takes no photos.

    Example: dreamgan sample photo.jpg --style inception

    Example: dreamgan sample holiday/ --style all --strength 0.5,1,1.5 --out dreams

    Example: dreamgan sample photo.jpg --blend "inception=0.5,petals=0.5"

    Example: dreamgan sample --generator runs/dcgan/generator --n 64 --seed 0

    Example: dreamgan sample --generator runs/dcgan/generator --interpolate 3,17

    To see the styles of a generator, ask for one that it does not have, as in --style help: the error lists them.

    Args:
        photos: A picture, or a folder of pictures (sub-folders included), of any size from 32 px. None for a
            generator that dreams from noise.
        generator: Folder that training exported (model.safetensors and config.json). Default: the generator that
            comes with the package, which takes photos; noise: the one of the package that dreams from noise.
        style: Name of a style, or, of photos, all: then every style is written, as <stem>-<style>.png. Default: the
            generator's first.
        strength: Photos only: 0 gives the photo, 1 the whole dream, up to 1.5 a bolder one. Several with commas, as
            in 0.5,1,1.5, are written as <stem>-<strength>.png.
        blend: In place of a style, several with their weights, as in inception=0.5,petals=0.5; what counts is their
            proportion.
        out: Folder for the dreams: <stem>.png each; from noise sample-<seed>.png each and grid.png.
        max_side: Photos with a longer side are shrunk to it, in pixels; 0 keeps their size.
        tile: Photos of more than this many pixels squared are dreamed in tiles of this side, which bounds the memory
            and leaves no seam; 0: never.
        batch: Pictures at a time. Default: 4 on a CPU, 32 on a GPU.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: 32, or bf16 for GPUs that are fast at it.
        n: From noise only: how many pictures. Default: 64.
        seed: From noise only: of the first picture; the next one has the next seed. Default: 0.
        truncation: From noise only: less than 1 gives pictures that are more usual and more alike, 0 always the same
            one. Default: 1.
        category: From noise only: what the pictures show, where the generator was trained by category. Default: each
            seed draws its own.
        interpolate: From noise only: two seeds, as in 3,17; an animation from the one's picture to the other's and
            back is written instead, interpolate-3-17.gif.
        frames: Pictures of an animation on its way there. Default: 48.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    from dreamgan.commands.flags import at_least, out_folder
    from dreamgan.commands.from_noise import dream_from_noise
    from dreamgan.commands.from_photos import dream_photos
    from dreamgan.commands.pictures import printable
    from dreamgan.commands.variants import Order, parse_blend, parse_strengths
    from dreamgan.devices import default_batch, pick_device
    from dreamgan.errors import UserError
    from dreamgan.generators import generator_folder
    from dreamgan.images import MIN_SIDE_PX
    from dreamgan.noise_sampling import is_noise_generator

    at_least(1, batch=batch)
    at_least(MIN_SIDE_PX, max_side=max_side or None)
    at_least(LEAST_TILE_PX, tile=tile or None)
    strengths = parse_strengths(str(strength))
    if style is not None and blend is not None:
        raise UserError("--style and --blend exclude each other; give one of them")
    where = pick_device(device)
    order = Order(
        source=generator_folder(generator),
        style=style if blend is None else parse_blend(blend),
        folder=out_folder(out),
        device=where,
        batch=batch or default_batch(where),
        precision=precision,
    )
    name = printable(order.name)
    if is_noise_generator(order.source):
        of_photos = {"strength": strength != STRENGTH, "max_side": max_side != MAX_SIDE_PX, "tile": tile != TILE_PX}
        if photos is not None:
            raise UserError(
                f"generator {name!r} dreams from noise and takes no photo; leave {printable(photos)!r} out and say how "
                "many pictures with --n"
            )
        _refuse(of_photos, f"is for generators that take photos; {name!r} dreams from noise: leave it out")
        dream_from_noise(
            order,
            n=n,
            seed=seed,
            truncation=1.0 if truncation is None else truncation,
            category=category,
            interpolate=interpolate,
            frames=frames,
        )
        return
    of_noise = {"n": n, "seed": seed, "truncation": truncation, "category": category}
    of_noise |= {"interpolate": interpolate, "frames": frames}
    _refuse(
        {flag: value is not None for flag, value in of_noise.items()},
        f"is for generators that dream from noise; {name!r} dreams photos: leave it out and give a photo",
    )
    if photos is None:
        raise UserError(f"generator {name!r} dreams photos; give a photo or a folder of photos")
    dream_photos(order, photos, strengths, max_side, tile)


def _refuse(given: dict[str, bool], why: str) -> None:
    from dreamgan.errors import UserError

    for flag, is_given in given.items():
        if is_given:
            raise UserError(f"--{flag} {why}")
