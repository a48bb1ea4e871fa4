"""The comparison as a run of Weights & Biases: a table of the ways and one of the pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from dreamgan.compare.gathering import Gathered
from dreamgan.compare.measuring import Row
from dreamgan.errors import UserError


def log_comparison(out: Path, rows: Sequence[Row], gathered: Gathered, project: str) -> None:
    """Log the ways with their measures, and all pictures, one row per photo.

    Args:
        out: The comparison's folder; W&B keeps its own files in it.
        rows: From ``measure_ways``.
        gathered: From ``gather``.
        project: The W&B project.

    Raises:
        UserError: If W&B does not take the run.
    """
    import wandb

    ways = wandb.Table(columns=list(asdict(rows[0])), data=[list(row.as_json().values()) for row in rows])
    columns = [row.way for row in rows]
    files = {(made.photo, made.way): made.file for made in gathered.made}
    photos = list(dict.fromkeys(made.photo for made in gathered.made))
    pictures = wandb.Table(columns=["name", *columns])
    for photo in photos:
        pictures.add_data(photo, *(wandb.Image(str(files[photo, way])) for way in columns))
    summary = {f"{row.way}/agreement": row.agreement for row in rows if math.isfinite(row.agreement)}
    try:
        with wandb.init(project=project, job_type="comparison", name=out.resolve().name, dir=out) as run:
            run.log({"ways": ways, "pictures": pictures})
            run.summary.update({**summary, **{f"{row.way}/seconds": row.seconds for row in rows}})
    except Exception as error:  # its own errors and network errors share no base class
        raise UserError(
            f"the comparison in '{out}' is finished, but W&B did not take it ({type(error).__name__}: {error}); "
            "mend that (wandb login, or WANDB_MODE=offline) and give the same command again"
        ) from error
