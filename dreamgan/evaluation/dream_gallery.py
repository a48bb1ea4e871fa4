"""The pictures of docs/gallery.md: what each recipe, and each style in one pass, does to sample photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from PIL import Image
from torch import Tensor

from dreamgan.backbones.features import load_extractor
from dreamgan.backbones.files import named_files
from dreamgan.data.samples import photo_file
from dreamgan.dream import dream, get_recipe
from dreamgan.errors import UserError
from dreamgan.files import whole_file
from dreamgan.generators import generator_folder
from dreamgan.images import MIN_SIDE_PX, load_image, sheet, shrink_to, to_picture, to_unit
from dreamgan.sampling import Generator, load_generator, sample

PHOTOS = ("chelsea", "china")
GUIDE = "flower"
MOST_PX = 1024
JPEG_QUALITY = 82  # strips of 224 px stay below 80 kB
EVERYBODYS = "mobilenet_v2"
STRENGTHS = (0.5, 1.0, 1.5)
BLEND = ("inception", "squeezenet")


@dataclass(frozen=True)
class Exhibit:
    """A recipe on the network that its source used.

    Attributes:
        name: Of the picture.
        recipe: Name, or YAML file as seen from the checkout.
        backbone: Network.
        guided: Whether it dreams of the guide picture.
    """

    name: str
    recipe: str
    backbone: str
    guided: bool = False

    @property
    def needs_its_network(self) -> bool:
        """Whether the recipe names layers of its network; the named recipes have layers for every one."""
        return self.recipe.endswith(".yaml")


EXHIBITS = (
    Exhibit("google", "google", "googlenet_bvlc"),
    Exhibit("gordic", "gordic", "vgg16"),
    Exhibit("keras", "keras", "inception_v3"),
    Exhibit("tutorial", "tutorial", "inception_v3"),
    Exhibit("tutorial_simple", "tutorial_simple", "inception_v3"),
    Exhibit("tutorial_tiled", "tutorial_tiled", "inception_v3"),
    Exhibit("styleconv_single", "styleconv_single", "inception_v3"),
    Exhibit("styleconv_multi", "styleconv_multi", "inception_v3"),
    Exhibit("guided", "guided", "googlenet_bvlc", guided=True),
    Exhibit("distillable", "distillable", "mobilenet_v2"),
    Exhibit("inception", "configs/dreams/inception.yaml", "inception_v3"),
    Exhibit("petals", "configs/dreams/petals.yaml", "inception_v3", guided=True),
    Exhibit("squeezenet", "configs/dreams/squeezenet.yaml", "squeezenet1_1"),
    Exhibit("vgg", "configs/dreams/vgg.yaml", "vgg16"),
    # Last, since they take longer than all others together.
    Exhibit("layers_low", "layers_low", "vgg16"),
    Exhibit("layers_high", "layers_high", "vgg16"),
)


def make_gallery(
    out: str = "docs",
    weights: str | None = None,
    only: str | None = None,
    generator: str | None = None,
    size: int = 224,
) -> None:
    """Draw two sample photographs beside their dreams by every recipe, and one of them in one pass in every style.

    Run it in a checkout, where configs/dreams is. Each recipe dreams on the network of its source if --weights has a
    file for that, else on MobileNetV2, whose weights `make setup` fetches; without it, a recipe that names its
    network's layers is left out.

    Example: scripts/make_gallery.py --only google,gordic --weights googlenet_bvlc=googlenet_bvlc.safetensors

    Args:
        out: Folder whose sub-folder `gallery` gets a JPEG per recipe and style; one that is there is replaced.
        weights: Files with the weights of the networks, NETWORK=FILE with commas between: googlenet_bvlc, vgg16,
            inception_v3 and squeezenet1_1 are of use.
        only: Pictures to make, with commas; * and ? stand for anything: google,layers_* or one_pass_*. Default: all.
            layers_low and layers_high have 1,000 steps and take longer than all others together.
        generator: Folder of the generator that dreams in one pass. Default: the one that comes with the package.
        size: Photographs are shrunk to this longer side, in pixels.

    Raises:
        UserError: If something cannot be read, or there is no such picture.
    """
    if not MIN_SIDE_PX <= size <= MOST_PX:
        raise UserError(f"--size is {size}; it must be from {MIN_SIDE_PX} to {MOST_PX} px")
    folder = Path(out).expanduser()
    if not folder.is_dir():
        raise UserError(f"there is no folder '{out}'; give another --out")
    files = named_files(weights, "weights")
    trained = load_generator(generator_folder(generator))
    one_pass: dict[str, dict[str, str | dict[str, float]]] = {
        f"one_pass_{style}": {style: style} for style in trained.styles
    }
    if set(BLEND) <= set(trained.styles):
        one, other = BLEND
        one_pass["one_pass_blend"] = {one: one, "half of each": dict.fromkeys(BLEND, 1.0), other: other}
    direct = {exhibit.name: exhibit for exhibit in EXHIBITS}
    wanted = chosen([*one_pass, *direct], only)
    photos = {photo_file(name).name: _photo(name, size) for name in PHOTOS}
    for name in wanted:
        if name in one_pass:
            strip = _one_pass(trained, one_pass[name], photos[photo_file(PHOTOS[0]).name])
        elif direct[name].needs_its_network and files(direct[name].backbone) is None:
            print(f"{name}: left out, since its layers are {direct[name].backbone}'s; give --weights for that")
            continue
        else:
            strip = _direct(direct[name], files(direct[name].backbone), photos, _photo(GUIDE, size))
        target = folder / "gallery" / f"{name}.jpg"
        with whole_file(target) as temporary:
            strip.save(temporary, "JPEG", quality=JPEG_QUALITY, optimize=True)
        print(f"{target}: {target.stat().st_size / 1000:.0f} kB", flush=True)


def chosen(known: Sequence[str], only: str | None) -> list[str]:
    """Names that a list of patterns lets through, in their own order.

    Args:
        known: All there are.
        only: Patterns with commas between; None: all.

    Raises:
        UserError: If a pattern matches none.
    """
    patterns = ["*"] if only is None else [pattern.strip() for pattern in only.split(",")]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            near = get_close_matches(pattern, known, n=1, cutoff=0.0)[0]
            raise UserError(f"--only: there is no picture {pattern!r}; nearest: {near!r} (known: {', '.join(known)})")
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _photo(name: str, size: int) -> Tensor:
    """(1, 3, H, W) in [0, 1]."""
    return to_unit(shrink_to(load_image(photo_file(name)).picture, size))[None]


def _direct(exhibit: Exhibit, file: str | None, photos: Mapping[str, Tensor], guide: Tensor) -> Image.Image:
    """Each photo and its dream, side by side."""
    backbone = EVERYBODYS if file is None else exhibit.backbone
    recipe = get_recipe(exhibit.recipe, backbone)
    extractor = load_extractor(backbone, recipe.layer_names, weights=file)
    pictures: list[Tensor] = []
    for name, photo in photos.items():
        # The photo's name is part of its random stream, as on the command line.
        dreamed = dream(photo, extractor, recipe, photo_ids=[name], guides={"guide": guide})
        pictures += [photo, dreamed.images]
    return _strip(pictures, ["photo", f"{exhibit.name}, {backbone}"] * len(photos))


def _one_pass(trained: Generator, styles: Mapping[str, str | dict[str, float]], photo: Tensor) -> Image.Image:
    """A photo in one style at several strengths, or in several styles at one."""
    strengths = STRENGTHS if len(styles) == 1 else (1.0,)
    ways = [(label, style, strength) for label, style in styles.items() for strength in strengths]
    dreams = [sample(trained, photo, style, strength) for _, style, strength in ways]
    labels = [f"{label}, {strength:g}" if len(styles) == 1 else label for label, _, strength in ways]
    return _strip([photo, *dreams], ["photo", *labels])


def _strip(images: Sequence[Tensor], labels: Sequence[str]) -> Image.Image:
    return sheet([[to_picture(image[0]) for image in images]], labels)
