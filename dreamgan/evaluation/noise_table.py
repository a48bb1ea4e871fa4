"""The figures of a generator of noise as text: a Markdown table, and an answer."""

from __future__ import annotations

import math

from dreamgan.evaluation.noise_figures import SUBSETS, NetworkFigures, NoiseFigures
from dreamgan.evaluation.table import markdown, number, with_spread
from dreamgan.metrics.spread import Spread


def noise_text(found: NoiseFigures) -> str:
    """A table for each network, the objective and the categories, and in a sentence what was learnt."""
    height = found.objective
    rows = [
        ("objective", "held-out photos", "from noise", "held-out dreams"),
        ("mean +- std", *(_short(height[name]) for name in ("photos", "generated", "dreams"))),
        ("on the way from photos to dreams", "0", number(found.dream_share), "1"),
    ]
    parts = [f"style {found.style}: {found.count} pictures of each set", markdown(rows)]
    parts += [_network_text(each, found.count) for each in found.networks]
    sorting = [each for each in found.networks if each.categories]
    if sorting:
        judge = sorting[-1]
        names = list(found.trained)
        table = [
            ("category", *names),
            ("of the training dreams", *(number(found.trained[name]) for name in names)),
            ("from noise", *(number(judge.categories[name]) for name in names)),
        ]
        right = f"as a linear classifier in {judge.network} sees it, right about {judge.accuracy:.0%} of other dreams"
        parts.append(f"{markdown(table)}\n\n({right})")
    parts.append(answer(found))
    return "\n\n".join(parts)


def answer(found: NoiseFigures) -> str:
    """Dream or photo: what all networks agree on, in a sentence."""
    says = [_nearer(each) for each in found.networks]
    if len(set(says)) == 1 and says[0]:
        return f"By KID the pictures are nearer to {says[0]} than the spreads in every network."
    return "By KID the networks do not agree, or the spreads overlap: neither dreams nor photos are nearer."


def _nearer(figures: NetworkFigures) -> str:
    dreams, photos = figures.kid_dreams, figures.kid_photos
    if dreams.mean + dreams.std < photos.mean - photos.std:
        return "dreams than to photos, by more"
    if photos.mean + photos.std < dreams.mean - dreams.std:
        return "photos than to dreams, by more"
    return ""


def _network_text(m: NetworkFigures, count: int) -> str:
    rows = [
        (f"in {m.network}", "from noise", "other dreams", "photos"),
        (
            f"KID to held-out dreams ({SUBSETS} subsets of {max(2, count // 2)})",
            _short(m.kid_dreams),
            _short(m.kid_halves),
            _short(m.kid_between),
        ),
        ("KID to held-out photos", _short(m.kid_photos), _short(m.kid_between), ""),
        (
            "nearest in training / held out",
            with_spread(*m.nearest),
            with_spread(*m.nearest_halves),
            "",
        ),
        ("density", number(m.density), number(m.density_halves), ""),
        ("coverage", number(m.coverage), number(m.coverage_halves), ""),
        ("diversity", number(m.diversity), "1", ""),
    ]
    return markdown(rows)


def _short(value: Spread) -> str:
    """Three digits, of any size, and the spread."""
    if not math.isfinite(value.mean):
        return "-"
    return f"{value.mean:.3g}" + (f" +- {value.std:.2g}" if math.isfinite(value.std) else "")
