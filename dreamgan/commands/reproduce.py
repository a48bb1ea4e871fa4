"""`dreamgan reproduce`: the experiments of the papers, one name each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from dreamgan.reproduce.report import Experiment


def _layers(job: Experiment) -> None:
    from dreamgan.reproduce.layers import run

    run(job)


def _layers_scan(job: Experiment) -> None:
    from dreamgan.reproduce.layers_scan import run

    run(job)


def _juit(job: Experiment) -> None:
    from dreamgan.reproduce.juit import run

    run(job)


def _styleconv(job: Experiment) -> None:
    from dreamgan.reproduce.styleconv import run

    run(job)


def _bedtime(job: Experiment) -> None:
    from dreamgan.reproduce.bedtime import run

    run(job)


EXPERIMENTS: Mapping[str, Callable[[Experiment], None]] = {
    "layers": _layers,
    "layers_scan": _layers_scan,
    "juit": _juit,
    "styleconv": _styleconv,
    "bedtime": _bedtime,
}
# Photographs that scikit-image carries, for those who give none.
SAMPLES: Mapping[str, tuple[str, ...]] = {
    "layers": ("chelsea", "coffee"),
    "layers_scan": ("chelsea", "coffee"),
    "juit": ("chelsea",),
    "styleconv": ("chelsea",),
    "bedtime": ("chelsea", "coffee"),
}


def reproduce(
    name: str,
    photos: str | None = None,
    weights: str | None = None,
    backbone: str | None = None,
    guides: str | None = None,
    out: str = "reproduced",
    steps: int | None = None,
    max_side: int = 224,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Run an experiment of one of the papers; write its figure (PNG) and its table (CSV).

    Example: dreamgan reproduce layers --weights vgg16.safetensors --out layers

    Example: dreamgan reproduce juit --photos holiday.jpg --steps 5 --out quick

    What there is:

    layers: low against high layers of VGG16, 1,000 steps each, the loss after 100, 500 and 1,000 of them (tables 2 and
    3 of Al-Khazraji, Abbas, Jamil). Wants two photos or more.

    layers_scan: the same over all that the paper leaves open (step size, scaling of gradient and photo, clamping), and
    the curves of the loss. Hours at 224 px on a CPU, one hour with --max_side 96.

    juit: the dreams of VGG16 over layers, pyramid sizes and iterations (figures 4.2 to 4.6 of Prakhar, Singh); with
    --backbone resnet50 and Places365 weights, the one of its layer3.

    styleconv: one map of one layer against all maps of several, with and without several scales (Wang, Dong).

    bedtime: guided dreams with two unlike guides; in bedtime_maps.csv and .png the most and the least active maps (Pap,
    Horvath, Gyongyossy).

    Every finished dream is kept in DIR/parts: the same command, given again after it was stopped, goes on there.

    Args:
        name: The experiment: layers, layers_scan, juit, styleconv or bedtime.
        photos: A picture, a folder of pictures, or several of them with commas between. Default: photographs that
            scikit-image carries (pip install "dreamgan[samples]").
        weights: File with the backbone's weights (.safetensors or .pth). Default: torchvision's own, from its cache
            or downloaded.
        backbone: Network to use in place of the paper's (layers, juit: vgg16; styleconv: inception_v3; bedtime:
            mobilenet_v2, the one of its three that is at hand without a download).
        guides: Guide pictures for bedtime, as --photos. Default: two photographs that scikit-image and scikit-learn
            carry.
        out: Folder for figure, table and parts.
        steps: Steps (of each octave) in place of the paper's, for shorter runs. Default: the paper's.
        max_side: Photos with a longer side are shrunk to it, in pixels.
        seed: Same seed, same dreams (on the same machine and thread count).
        device: auto, cpu, cuda, cuda:1 or mps.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    from difflib import get_close_matches

    from dreamgan.commands.flags import at_least, check_seed, out_folder
    from dreamgan.errors import UserError
    from dreamgan.images import MIN_SIDE_PX

    if name not in EXPERIMENTS:
        near = get_close_matches(name, EXPERIMENTS, n=1, cutoff=0.0)[0]
        raise UserError(f"there is no experiment {name!r}; nearest: {near!r} (known: {', '.join(EXPERIMENTS)})")
    at_least(1, steps=steps)
    at_least(MIN_SIDE_PX, max_side=max_side)
    check_seed(seed)
    folder = out_folder(out)
    _check_free(folder, name)
    given = _files(photos, folder)
    guiding = _files(guides, folder)

    from dreamgan.backbones.registry import get_spec
    from dreamgan.devices import pick_device
    from dreamgan.reproduce.report import Experiment, sample_photos

    job = Experiment(
        photos=given or sample_photos(*SAMPLES[name]),
        weights=weights,
        backbone=None if backbone is None else get_spec(backbone).name,
        out=folder,
        steps=steps,
        max_side=max_side,
        seed=seed,
        device=pick_device(device),
        guides=guiding,
    )
    EXPERIMENTS[name](job)
    print(f"{name}: figure and table in {folder}")


def _check_free(folder: Path, name: str) -> None:
    """Refuse to overwrite what dreamgan did not write: an experiment of ours has left its ``parts``.

    Raises:
        UserError: If a file has the name of a figure or table, and there are no parts.
    """
    from dreamgan.errors import UserError

    if (folder / "parts").is_dir():
        return
    for pattern in (f"{name}.*", f"{name}_*", "figure_*"):
        for file in sorted(folder.glob(pattern)):
            if file.suffix in (".csv", ".png"):
                raise UserError(f"'{file}' was not written by dreamgan; move it or give another --out")


def _files(text: str | None, out: Path) -> tuple[Path, ...]:
    """The pictures of a flag, in the order given, each once; a folder stands for all pictures in it but our own.

    Raises:
        UserError: If there is no picture.
    """
    from pathlib import Path

    from dreamgan.errors import UserError
    from dreamgan.images import list_images

    if text is None:
        return ()
    # A file name may hold a comma.
    names = [text] if Path(text).expanduser().exists() else text.split(",")
    if not all(name.strip() for name in names):
        raise UserError(f"there is an empty name among the pictures {text!r}; give pictures or folders")
    files: list[Path] = []
    for name in names:
        path = Path(name.strip()).expanduser()
        # Figures that an earlier call wrote are no photos.
        found = [file for file in list_images(path) if file == path or not file.resolve().is_relative_to(out.resolve())]
        if not found:
            raise UserError(f"all pictures in '{path}' lie under --out '{out}'; give another --out")
        files += found
    return tuple(dict.fromkeys(files))
