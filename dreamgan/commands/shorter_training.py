"""`dreamgan shorter_training`: do dreams among the training photos of a classifier shorten its training?"""

from __future__ import annotations


def shorter_training(
    photos: str,
    weights: str | None = None,
    arms: str | None = None,
    out: str = "runs/shorter_training",
) -> None:
    """Put to the test that dreams among the training photos shorten the training of a classifier.

    Runs what docs/classifiers.md registered: from scratch and fine-tuning, with 0, 25 and 50 % dreams, and with as many
    duplicates, noisy and blurred copies. Finished runs and dreams are kept: the same command, given again after it was
    stopped, goes on. When all 108 runs are there, it writes table.md and table.json.

    Example: dreamgan shorter_training cats_dogs --out runs/shorter_training

    Example: dreamgan shorter_training cats_dogs --arms photos,dreams-50

    Args:
        photos: Folder with train and val, each with a folder of at least 200 photos per class.
        weights: File of MobileNetV2. Default: torchvision's own.
        arms: Run only these, with commas: photos, dreams-25, dreams-50, duplicates-25 ... Default: all.
        out: Folder for dreams, runs and tables.

    Raises:
        UserError: If something given is wrong; the message says what and what to do.
    """
    from dreamgan.claims.shorter import run
    from dreamgan.commands.flags import out_folder
    from dreamgan.data.loading import names_of

    folder = out_folder(out)
    text = run(photos, folder, weights=weights, arms=names_of(arms), tell=lambda line: print(line, flush=True))
    if text is not None:
        print(f"\n{text}\ntable.md and table.json in {folder}")
