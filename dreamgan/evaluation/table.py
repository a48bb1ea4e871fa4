"""The result of an evaluation as text: Markdown tables that can be read as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dreamgan.evaluation.measuring import Result
from dreamgan.metrics.kid import SUBSET, SUBSETS
from dreamgan.metrics.measures import Measures
from dreamgan.metrics.spread import Spread

LEGEND = (
    "+- is the standard deviation over photos (of KID: over subsets); - stands where there is nothing to measure. "
    "docs/measures.md explains each figure."
)


CHEAT_HEADS = (
    "what",
    "dream gain",
    "robust gain",
    "feature cosine",
    "agreement",
    "referee agreement",
    "over the wrong photo",
    "universal share",
    "equivalent steps",
    "KID x 1000",
)


def result_text(result: Result) -> str:
    """One group's figures, each with the photo itself (floor) and a second dream (ceiling) beside it."""
    m, yardstick = result.measures, result.yardstick
    network = f"{yardstick.extractor.backbone} {yardstick.layer}"
    referee = "none" if yardstick.referee is None else yardstick.referee.label
    ceiling = number(1 if math.isfinite(m.agreement) else math.nan)
    total = sum(yardstick.recipe.steps_per_octave)
    steps = f"equivalent steps of {total}" + (f" ({result.steps_photos} photos)" if result.steps_photos else "")
    rows = [
        ("measure", "photo (floor)", "one pass", "second dream (ceiling)"),
        ("agreement", "0", with_spread(m.agreement, m.agreement_std), ceiling),
        (f"referee agreement ({referee})", "0", with_spread(m.referee_agreement, m.referee_agreement_std), ceiling),
        (
            f"feature cosine ({network})",
            with_spread(m.floor_cosine, m.floor_cosine_std, 3),
            with_spread(m.feature_cosine, m.feature_cosine_std, 3),
            with_spread(m.ceiling_cosine, m.ceiling_cosine_std, 3),
        ),
        (
            "the referee's cosine",
            *(number(getattr(m, f"referee_{name}_cosine"), 3) for name in ("floor", "feature", "ceiling")),
        ),
        (
            f"wrong-photo cosine ({number(m.over_wrong_photo, 3)} below one pass's)",
            "",
            with_spread(m.wrong_photo_cosine, m.wrong_photo_cosine_std, 3),
            number(m.ceiling_cosine - m.second_over_wrong_photo, 3),
        ),
        ("dream gain", "0", with_spread(m.dream_gain, m.dream_gain_std), number(m.second_dream_gain)),
        ("robust gain, of a second dream's", "0", with_spread(m.robust_gain, m.robust_gain_std), ceiling),
        (steps, "0", with_spread(*result.steps, 1), ""),
        (
            "universal share (last: of the dreams)",
            "",
            number(m.universal_share, 3),
            number(m.dream_universal_share, 3),
        ),
        (
            f"KID x 1000 ({network}, {SUBSETS} subsets of {SUBSET})",
            _three_digits(1000 * m.kid_floor),
            _three_digits(1000 * m.kid) + (f" +- {1000 * m.kid_std:.3g}" if math.isfinite(m.kid_std) else ""),
            _three_digits(1000 * m.kid_ceiling),
        ),
    ]
    lines = [f"{result.group.title}: {m.n} pairs", "", markdown(rows)]
    return "\n".join([*lines, *_notes(result)])


def _notes(result: Result) -> list[str]:
    group, notes = result.group, []
    if not group.has_second:
        notes.append("These pairs have no second dream: no ceiling, so no agreement and no robust gain.")
    elif result.measures.n < group.pairs:
        notes.append(f"{result.measures.n} of {group.pairs} pairs were measured, all of them with a second dream.")
    if result.yardstick.no_referee and group.has_second:
        notes.append(f"No referee agreement: {result.yardstick.no_referee}.")
    if math.isnan(result.measures.kid):
        notes.append(f"No KID: it takes at least {SUBSET} pairs.")
    return ["", *notes] if notes else []


def cheats_text(measured: Sequence[tuple[str, Measures, Spread]]) -> str:
    """Figures of pictures that pretend to be dreams, one line each.

    Args:
        measured: Name, measures and equivalent steps.
    """
    rows: list[tuple[str, ...]] = [CHEAT_HEADS]
    for name, m, steps in measured:
        rows.append(
            (
                name,
                number(m.dream_gain),
                number(m.robust_gain),
                number(m.feature_cosine, 3),
                with_spread(m.agreement, m.agreement_std),
                with_spread(m.referee_agreement, m.referee_agreement_std),
                number(m.over_wrong_photo, 3),
                number(m.universal_share, 3),
                number(steps.mean, 1),
                _three_digits(1000 * m.kid),
            )
        )
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table with its columns aligned; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows]
    return "\n".join([lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]])


def number(value: float, decimals: int = 2) -> str:
    """A figure, - where there is none."""
    return f"{value:.{decimals}f}" if math.isfinite(value) else "-"


def _three_digits(value: float) -> str:
    """A figure of any size, as the kernel of features that are not of about 1 gives it."""
    return f"{value:.3g}" if math.isfinite(value) else "-"


def with_spread(mean: float, std: float, decimals: int = 2) -> str:
    """A figure and how far it spreads."""
    return number(mean, decimals) + (f" +- {std:.{decimals}f}" if math.isfinite(mean) and math.isfinite(std) else "")
