"""`dreamgan style`: the style of one picture, the content of another; and the papers' reconstructions from noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from dreamgan.style.recipe import Colour, OptimizerName, Pooling, Start

if TYPE_CHECKING:
    from dreamgan.commands.styling import Task

Method = Literal["gatys", "magenta"]
MAX_SIDE_PX = 256


def style_photos(
    photos: str,
    style: str | None = None,
    task: Literal["transfer", "content", "style"] = "transfer",
    method: Method = "gatys",
    backbone: str | None = None,
    weights: str | None = None,
    content_layers: str | None = None,
    style_layers: str | None = None,
    content_weight: float | None = None,
    style_weight: float | None = None,
    tv_weight: float | None = None,
    optimizer: OptimizerName | None = None,
    step_size: float | None = None,
    passes: int | None = None,
    levels: int | None = None,
    start: Start | None = None,
    colour: Colour | None = None,
    pooling: Pooling | None = None,
    style_scale: float = 1.0,
    out: str = "styled",
    max_side: int = MAX_SIDE_PX,
    seed: int | None = None,
    device: str = "auto",
) -> None:
    """Paint a photo, or every photo of a folder, in the style of another picture.

    Example: dreamgan style photo.jpg --style painting.jpg --backbone vgg16 --weights vgg16.safetensors

    Example: dreamgan style photo.jpg --style painting.jpg --content_weight 0.3 --colour luminance

    Example: dreamgan style photo.jpg --task content --passes 200

    Example: dreamgan style photo.jpg --style painting.jpg --method magenta

    Beside <stem>.png stand <stem>-loss.csv with the loss at every pass and <stem>-loss.png with its plot.

    What there is:

    transfer: Gatys, Ecker, Bethge 2016, by optimising the pixels; from coarse to fine.

    content: what a layer keeps of a photo: the photo is found again from noise, for each content layer alone;
    <stem>.png has all of them side by side, <stem>-<layer>.png each.

    style: what layers keep of a picture's style: a texture from noise, for the first style layer, the first two, and so
    on.

    The default weights are those of VGG19, 548 MB, from torch's cache or downloaded. Where they cannot be had, weights
    are random and a line says so: the pictures are then rough ones.

    Args:
        photos: A picture, or a folder of pictures (sub-folders included).
        style: The picture whose style is taken over; for transfer only.
        task: transfer, content or style (see above).
        method: gatys, or magenta: arbitrary stylisation by two ready networks, in one pass (pip install
            "dreamgan[magenta]"); it takes no other flag of the loss or the optimiser.
        backbone: Network that compares the pictures: vgg19 (the papers'), vgg16, squeezenet1_1, mobilenet_v2; others
            with layers of your choice. Default: vgg19.
        weights: File with its weights (.safetensors or .pth), or random. Default: torchvision's own, from its cache or
            downloaded.
        content_layers: LAYER or LAYER:WEIGHT, several with commas. Default: relu4_2 of a VGG; for the task content
            relu1_2 to relu5_2.
        style_layers: Likewise. Default: relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1 of a VGG, equally.
        content_weight: Alpha of the papers. What counts is its ratio to beta: more keeps more of the photo. Default:
            0.03.
        style_weight: Beta of the papers. Default: 1.
        tv_weight: Weight of the total variation, against noise; try 1. Default: 0.
        optimizer: lbfgs (the loss falls at every pass) or adam. Default: lbfgs.
        step_size: Of adam, pixels being in [0, 1]. Default: 0.02.
        passes: Steps of the optimiser at each level. Default: 100.
        levels: Sizes that the picture goes through, each half of the next one. More: larger brush strokes. Default: 2;
            1 for the tasks content and style.
        start: photo or noise, what the coarsest level begins with. Default: photo for transfer, else noise.
        colour: style takes the style picture's colours over; luminance paints brightness only and keeps the photo's
            colours; histogram gives the style picture the photo's colours first. Default: style.
        pooling: average replaces the network's maxima by means, as Gatys recommends; max leaves them. Default: max.
        style_scale: Size of the style picture, 1 being --max_side (its own size where that is 0); it is only ever
            shrunk. Less: finer strokes.
        out: Folder for the pictures, <stem>.png each.
        max_side: Photos with a longer side are shrunk to it, in pixels; 0 keeps their size. Time and memory grow with
            its square.
        seed: Of the noise: same seed, same picture (on the same machine and thread count). Default: 0.
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    from dreamgan.commands.flags import at_least, check_seed, out_folder
    from dreamgan.commands.styling import LARGEST_SCALE, Order, paint
    from dreamgan.devices import pick_device
    from dreamgan.errors import UserError
    from dreamgan.images import MIN_SIDE_PX

    at_least(MIN_SIDE_PX, max_side=max_side or None)
    at_least(1, passes=passes, levels=levels)
    check_seed(seed or 0)
    if not 1 / LARGEST_SCALE <= style_scale <= LARGEST_SCALE:
        raise UserError(f"--style_scale is {style_scale:g}; it must be from {1 / LARGEST_SCALE:g} to {LARGEST_SCALE:g}")
    if (style is None) is (task == "transfer"):
        raise UserError(
            "--task transfer needs a picture to take the style from; give --style FILE"
            if style is None
            else f"--task {task} is about one picture, which stands first; leave --style out"
        )
    of_loss: dict[str, Any] = {
        "content_layers": content_layers,
        "style_layers": style_layers,
        "content_weight": content_weight,
        "style_weight": style_weight,
        "tv_weight": tv_weight,
        "optimizer": optimizer,
        "step_size": step_size,
        "passes": passes,
        "levels": levels,
        "start": start,
        "colour": colour,
        "pooling": pooling,
    }
    if method == "magenta":
        _refuse({**of_loss, "backbone": backbone, "weights": weights, "seed": seed}, "--method magenta, which has none")
        if task != "transfer":
            raise UserError(f"--method magenta knows no --task {task}; leave one of them out")
    elif task != "transfer":
        own = "content" if task == "content" else "style"
        other = "style" if own == "content" else "content"
        fixed = (f"{other}_layers", f"{other}_weight", f"{own}_weight", "start", "colour")
        _refuse({name: of_loss[name] for name in fixed}, f"--task {task}, which is of {own} alone and from noise")
    order = Order(
        task=_task(task),
        method=method,
        backbone=backbone or "vgg19",
        weights=weights,
        flags={name: value for name, value in of_loss.items() if value is not None},
        style_scale=style_scale,
        folder=out_folder(out),
        max_side=max_side,
        seed=seed or 0,
        device=pick_device(device),
    )
    paint(order, photos, style)


def _task(name: str) -> Task:
    from dreamgan.commands.styling import Task

    return Task(name)


def _refuse(given: dict[str, Any], why: str) -> None:
    from dreamgan.errors import UserError

    for flag, value in given.items():
        if value is not None:
            raise UserError(f"--{flag} is not for {why}; leave it out")
