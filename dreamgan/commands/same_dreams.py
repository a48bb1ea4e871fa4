"""`dreamgan same_dreams`: does fine-tuning a network change what it dreams?"""

from __future__ import annotations


def same_dreams(
    photos: str,
    tuned: str | None = None,
    weights: str | None = None,
    referee_weights: str | None = None,
    photos_per_class: int = 60,
    out: str = "runs/same_dreams",
) -> None:
    """Put to the test that fine-tuning a network makes no significant difference to its dreams.

    Dreams the first validation photos of each class twice with the original and once with the fine-tuned network, as
    docs/classifiers.md registered it, and lets a referee network say whether the fine-tuned one's dreams are further
    from the original's than a second dream is. Writes table.md, a JSON file and a sheet of pictures per network. Dreams
    are kept: the same command, given again after it was stopped, goes on.

    Example: dreamgan same_dreams cats_dogs --tuned mobilenet_v2=runs/tuned/backbone.safetensors

    Args:
        photos: Folder with train and val, each with a folder of photos per class.
        tuned: Fine-tuned weights, as NETWORK=FILE with commas between; must be given.
        weights: Those of the originals, as NETWORK=FILE with commas between. Default: torchvision's own.
        referee_weights: File of the referee (VGG16, features are enough; InceptionV3 for dreams of a VGG). Default:
            torchvision's own, if they are in its cache.
        photos_per_class: Photos of each class.
        out: Folder for dreams, pictures and tables.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    from dreamgan.backbones.files import named_files
    from dreamgan.backbones.registry import get_spec
    from dreamgan.claims.same import compare, first_photos, markdown
    from dreamgan.commands.flags import at_least, out_folder
    from dreamgan.errors import UserError
    from dreamgan.files import write_text
    from dreamgan.metrics.referee import load_referee

    at_least(2, photos_per_class=photos_per_class)
    folder = out_folder(out)
    if tuned is None:
        raise UserError("--tuned must be given, as NETWORK=FILE, like mobilenet_v2=runs/tuned/backbone.safetensors")
    if "=" not in tuned:
        raise UserError(f"--tuned: {tuned!r} is not NETWORK=FILE, like mobilenet_v2=runs/tuned/backbone.safetensors")
    networks = [part.partition("=")[0].strip() for part in tuned.split(",")]
    files, originals = named_files(tuned, "tuned"), named_files(weights, "weights")
    judges = {}
    for network in networks:
        referee, reason = load_referee(get_spec(network).name, referee_weights)
        if referee is None:
            raise UserError(reason)
        judges[network] = referee
    pictures, names = first_photos(photos, photos_per_class, folder)
    rows = [
        compare(
            pictures,
            names,
            get_spec(network).name,
            files(network) or "",
            judges[network],
            folder,
            weights=originals(network),
        )
        for network in networks
    ]
    text = markdown(rows)
    write_text(folder / "table.md", text)
    print(f"{text}\ntable.md and pictures in {folder}")
