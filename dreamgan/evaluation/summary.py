"""The styles of a generator taken together: the mean over them, with one of them beside it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from dreamgan.evaluation.measuring import Result
from dreamgan.evaluation.table import markdown, number, with_spread
from dreamgan.metrics.spread import MISSING, Spread

HEADLINE_BACKBONE = "inception_v3"
HEADS = (
    "pairs",
    "of",
    "agreement",
    "referee agreement",
    "robust gain",
    "over the wrong photo",
    "universal share, times the dreams'",
)
DECIMALS = (2, 2, 2, 3, 2)
TEXT = "All styles; +- is the standard error over photos, of a mean that of its styles in quadrature."


def summary_text(results: Sequence[Result]) -> str | None:
    """A table with the mean over styles for each split, strength and label; None where there is a single style.

    Below each mean stand the first style of InceptionV3 without a guide, if there is one, and a second dream.
    """
    if len({result.group.style for result in results}) < 2:
        return None
    alike: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        group = result.group
        label = "" if group.label is None else f", {group.label or 'no label'}"
        alike[f"{group.split}, strength {group.strength:g}{label}"].append(result)
    rows = [HEADS, ("", "photo (floor)", *["0"] * len(DECIMALS))]
    for what, members in alike.items():
        figures = [figures_of(result) for result in members]
        means = [mean_of(column) for column in zip(*figures, strict=True)]
        rows.append((what, _title(members), *_cells(means)))
        single = next((k for k, result in enumerate(members) if _is_headline(result)), None)
        if single is not None:
            rows.append(("", members[single].group.recipe, *_cells(figures[single])))
        rows.append(("", "second dream (ceiling)", *_ceilings(members, means)))
    return f"{TEXT}\n\n{markdown(rows)}"


def figures_of(result: Result) -> list[Spread]:
    """The figures of a row of the summary: each with its standard error over photos in place of the deviation."""
    m = result.measures
    return [
        Spread(mean, std / m.n**0.5)
        for mean, std in (
            (m.agreement, m.agreement_std),
            (m.referee_agreement, m.referee_agreement_std),
            (m.robust_gain, m.robust_gain_std),
            (m.over_wrong_photo, m.over_wrong_photo_std),
            (m.universal_ratio, m.universal_ratio_std),
        )
    ]


def mean_of(figures: Sequence[Spread]) -> Spread:
    """Mean of figures and its standard error, theirs combined in quadrature; missing where one of them is."""
    if not all(math.isfinite(figure.mean) for figure in figures):
        return MISSING
    return Spread(
        sum(figure.mean for figure in figures) / len(figures),
        math.hypot(*(figure.std for figure in figures)) / len(figures),
    )


def _cells(figures: Sequence[Spread]) -> list[str]:
    return [with_spread(*figure, places) for figure, places in zip(figures, DECIMALS, strict=True)]


def _ceilings(members: Sequence[Result], means: Sequence[Spread]) -> list[str]:
    """1 by definition, but for the difference to the wrong photo; of the universal share the dreams' own."""
    agreement, referee, robust, _, ratio = ("1" if math.isfinite(mean.mean) else "-" for mean in means)
    over = mean_of([Spread(result.measures.second_over_wrong_photo, 0.0) for result in members])
    return [agreement, referee, robust, number(over.mean, DECIMALS[3]), ratio]


def _title(members: Sequence[Result]) -> str:
    counts = sorted({result.measures.n for result in members})
    pairs = f"{counts[0]} pairs each" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} pairs"
    untrained = sum(not result.group.trained for result in members)
    note = f", {untrained} of them not trained on this strength" if untrained else ""
    return f"mean of {', '.join(result.group.recipe for result in members)} ({pairs}{note})"


def _is_headline(result: Result) -> bool:
    yardstick = result.yardstick
    return yardstick.extractor.backbone == HEADLINE_BACKBONE and not yardstick.recipe.objective.guides
