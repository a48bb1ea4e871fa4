"""From finished work units to a finished dataset, put together aside and then moved into place."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamgan.data.card import write_card
from dreamgan.data.pairs import compact
from dreamgan.data.photos import Reject
from dreamgan.files import write_csv
from dreamgan.images import save_png
from dreamgan.lit.dream_job import WorkUnit
from dreamgan.making.claim import CARD, DATA, FINISHED
from dreamgan.making.histogram import score_histogram
from dreamgan.making.mix import Kind
from dreamgan.making.report import contact_sheet


def finish(
    out: Path,
    work: Path,
    units: Sequence[WorkUnit],
    kinds: Sequence[Kind],
    rejects: Sequence[Reject],
    *,
    labels: Sequence[str],
    config: Mapping[str, Any],
    counts: Mapping[str, int],
) -> dict[str, int]:
    """Make the dataset of its units; until all of it is written the units stay, afterwards nothing else does.

    Args:
        out: The dataset's folder.
        work: What ``claimed`` gave; removed at the end.
        units: All of them, finished.
        kinds: Whose guides are kept.
        rejects: Photos that could not be used.
        labels: Names of the classes.
        config: What ``config.json`` holds.
        counts: "photos_found", "rejected", "duplicates" and "photographs", for the card.

    Returns:
        Pairs per split.

    Raises:
        OSError: If the disk is full; the next run tries again.
    """
    final = work / "final"
    shutil.rmtree(final, ignore_errors=True)
    rows = compact([unit.path for unit in units], final / DATA, labels=labels)
    for kind in kinds:
        for name, picture in kind.guides.items():
            save_png(picture, final / "guides" / f"{kind.teacher.recipe.name}-{name}.png")
    if rejects:
        write_csv(final / "rejects.csv", [("photo", "reason"), *((each.name, each.reason) for each in rejects)])
    save_png(contact_sheet(final), final / "sheet.png")
    save_png(score_histogram(final), final / "scores.png")
    write_card(final, config=config, counts=counts, name=out.resolve().name)
    # The card last: with it the folder passes for complete.
    for name in (DATA, "guides", *(name for name in FINISHED if name != CARD), CARD):
        _move(final / name, out / name)
    shutil.rmtree(work)
    return rows


def _move(source: Path, target: Path) -> None:
    """Put a file or folder in the place of what an earlier end, cut off, has left there: never half of it is seen."""
    if target.is_dir():
        target.replace(source.with_name(f"old-{source.name}"))  # removed file by file it would be a dataset of a part
    if source.exists():
        source.replace(target)
    else:
        target.unlink(missing_ok=True)
