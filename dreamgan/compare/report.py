"""The comparison as one HTML file that needs nothing beside it, and as CSV and JSON."""

from __future__ import annotations

import base64
import importlib.resources
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from dreamgan.compare.gathering import Gathered
from dreamgan.compare.measuring import Row
from dreamgan.compare.plot import speed_plot
from dreamgan.compare.way import Way
from dreamgan.errors import UserError
from dreamgan.files import write_csv, write_text
from dreamgan.images import load_image

JPEG_QUALITY = 90
COLUMNS = {
    "label": "way",
    "kind": "kind",
    "steps": "steps",
    "seconds": "seconds per picture",
    "peak_mb": "peak memory, MB",
    "agreement": "agreement",
    "referee_agreement": "referee agreement",
    "dream_gain": "dream gain",
    "content_kept": "content kept",
    "kid": "KID to dreams",
    "style_distance": "style distance",
}


def write_tables(folder: Path, rows: Sequence[Row], gathered: Gathered) -> None:
    """Write ``compare.csv`` and ``compare.json``; what does not apply is empty, or null.

    Args:
        folder: Where to.
        rows: From ``measure_ways``.
        gathered: From ``gather``.
    """
    objects = [row.as_json() for row in rows]
    write_csv(
        folder / "compare.csv", [list(objects[0]), *(["" if v is None else v for v in o.values()] for o in objects)]
    )
    content = {"ways": objects, "missing": dict(gathered.missing)}
    write_text(folder / "compare.json", json.dumps(content, indent=2, allow_nan=False) + "\n")


def write_report(
    path: Path,
    rows: Sequence[Row],
    gathered: Gathered,
    ways: Sequence[Way],
    *,
    reference: str,
    about: str,
    remarks: Sequence[str] = (),
) -> None:
    """Write the page, pictures embedded as JPEG.

    Args:
        path: Where to.
        rows: From ``measure_ways``.
        gathered: From ``gather``.
        ways: All of them, those that could not be run too.
        reference: What agreement is measured with, as the end of a sentence.
        about: What else is to be said at the top.
        remarks: Why figures are missing, a sentence each.

    Raises:
        UserError: If jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise UserError("the report needs jinja2; run: pip install jinja2") from None
    labels = {way.name: way.label for way in ways}
    template = importlib.resources.files("dreamgan.compare").joinpath("report.html").read_text(encoding="utf-8")
    # File names are anybody's: all that is filled in is escaped, but for the plot, which escapes its own text.
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(template)
    text = page.render(
        title="Dreams compared",
        about=about,
        reference=reference,
        photos=list(dict.fromkeys(made.photo for made in gathered.made)),
        rows=rows,
        # What the slider shows first beside the photo.
        shown=next((row.way for row in rows if row.kind == "one pass"), rows[-1].way),
        pictures=[
            {"photo": made.photo, "way": made.way, "label": labels[made.way], "src": _embedded(made.file)}
            for made in gathered.made
        ],
        columns=list(COLUMNS.values()),
        table=[{"role": row.role, "cells": [_cell(asdict(row)[column]) for column in COLUMNS]} for row in rows],
        remarks=list(remarks),
        plot=speed_plot(rows),
        notes=[{"label": way.label, "note": way.note, "missing": gathered.missing.get(way.name, "")} for way in ways],
    )
    write_text(path, text)


def _embedded(file: Path) -> str:
    stream = io.BytesIO()
    load_image(file).picture.save(stream, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def _cell(value: object) -> dict[str, str]:
    """What is shown, and what is sorted by; both empty where there is nothing."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return {"text": "–", "value": ""}
        return {"text": f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}", "value": repr(value)}
    return {"text": str(value), "value": str(value)}
