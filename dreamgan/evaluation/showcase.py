"""The picture that shows a generator: sample photographs, dreamed directly and in one pass."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageOps

from dreamgan.backbones.features import load_extractor
from dreamgan.backbones.files import named_files
from dreamgan.data.samples import photo_file
from dreamgan.data.styles import find_styles
from dreamgan.dream import DreamRecipe, dream
from dreamgan.errors import UserError
from dreamgan.generators import generator_folder
from dreamgan.images import MIN_SIDE_PX, sheet, to_picture, to_unit

MOST_PX = 1024
PHOTOS = ("chelsea", "coffee", "astronaut", "china")


def draw_showcase(
    dataset: str, out: str, generator: str | None = None, weights: str | None = None, size: int = 160
) -> None:
    """Draw sample photographs, their direct dreams and those of one pass, two columns for each style.

    Example: scripts/draw_showcase.py runs/shipped/inception,runs/shipped/petals docs/one_pass.jpg

    Args:
        dataset: The dream datasets that the generator was trained on, with commas: they keep the guide pictures.
        out: The picture to write, .png or .jpg; one that is there is replaced.
        generator: Folder of the generator. Default: the one that comes with the package.
        weights: Files with the weights of the backbones, FILE or NETWORK=FILE with commas between; they must be those
            of the datasets. Default: torchvision's own.
        size: The photographs are cut to squares of this side, in pixels.

    Raises:
        UserError: If something cannot be read, or the generator and the datasets have no style in common.
    """
    from dreamgan.sampling import load_generator, sample

    target = Path(out).expanduser()
    if target.suffix not in (".png", ".jpg") or not target.parent.is_dir():
        raise UserError(f"the picture cannot be written as '{out}'; give a .png or .jpg in a folder that is there")
    if not MIN_SIDE_PX <= size <= MOST_PX:
        raise UserError(f"size is {size}; it must be from {MIN_SIDE_PX} to {MOST_PX} px")
    trained = load_generator(generator_folder(generator))
    files = named_files(weights, "weights")
    pictures = [ImageOps.fit(Image.open(photo_file(name)).convert("RGB"), (size, size)) for name in PHOTOS]
    photos = torch.stack([to_unit(picture) for picture in pictures])
    columns, heads = [photos], ["photo"]
    for style in find_styles([name.strip() for name in dataset.split(",")]):
        if style.name not in trained.styles:
            continue
        recipe = DreamRecipe.from_json(style.facts["recipe_json"])
        backbone = style.facts["backbone"]
        file = files(backbone) or ("random" if style.facts["weights"] == "random" else None)
        extractor = load_extractor(backbone, recipe.layer_names, weights=file)
        if extractor.weights_sha256 != style.facts["weights_sha256"]:
            raise UserError(
                f"{style.name!r} was dreamed with other weights of {backbone}; give --weights {backbone}=FILE"
            )
        direct = dream(photos, extractor, recipe, guides=style.guides, photo_ids=PHOTOS)
        columns += [direct.images, sample(trained, photos, style.name)]
        heads += [f"{style.name}, direct", "one pass"]
    if len(columns) == 1:
        raise UserError(f"the generator has none of the styles of {dataset}; it has {', '.join(trained.styles)}")
    rows = [[to_picture(column[row]) for column in columns] for row in range(len(PHOTOS))]
    sheet(rows, heads).convert("RGB").save(target, quality=88)
    print(f"{out}: {', '.join(heads)}")
