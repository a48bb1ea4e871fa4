import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dreamgan.making import histogram
from dreamgan.making.histogram import score_histogram
from tests.finished_dataset import rows_of, write_dataset, write_split

ONE_WAY = (("bold", 1.0),)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def with_scores(out: Path, scores: Sequence[tuple[float, float]]) -> Path:
    rows = list(rows_of("train", len(scores), ONE_WAY, (), first=0, seconds=0))
    for row, (before, after) in zip(rows, scores, strict=True):
        row |= {"score_before": before, "score_after": after}
    write_split(out, "train", rows, ())
    return out


def coloured(image: Image.Image, colour: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    """Pixels of one colour in each column of a picture."""
    found = np.all(np.asarray(image) == colour, axis=-1).sum(axis=0)
    return np.asarray(found)


def test_bars_are_as_high_as_the_scores_are_many(tmp_path: Path) -> None:
    out = with_scores(tmp_path, [(1, 2)] * 4 + [(1, 8)] * 2 + [(3, 48)])
    drawn = score_histogram(out)
    ratios = coloured(drawn.crop((0, 0, drawn.width // 2, drawn.height)), histogram.RED)
    bars = [int(height) for height in ratios[ratios > 0]]
    wide = histogram.PANEL_PX[0] // histogram.BINS
    assert len(bars) == 3 * wide
    low, middle, high = bars[0], bars[wide], bars[-1]
    assert low == histogram.PANEL_PX[1] - 4
    assert (middle, high) == (round(low / 2), round(low / 4))
    # 2, 8 and 16 lie at 0, 2/3 and 1 of a logarithmic axis.
    starts = np.nonzero(np.diff(np.r_[0, ratios]) > 0)[0]
    assert (starts[1] - starts[0]) / histogram.PANEL_PX[0] == pytest.approx(2 / 3, abs=1 / histogram.BINS)
    below_the_title = histogram.MARGIN_PX + histogram.LINE_PX
    photos = coloured(drawn.crop((drawn.width // 2, below_the_title, drawn.width, drawn.height)), histogram.GREY)
    assert np.count_nonzero(photos) == 2 * wide


def test_a_histogram_does_not_depend_on_how_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = write_dataset(tmp_path)
    whole = png(score_histogram(out))
    plain = pq.ParquetFile.iter_batches
    columns_read: set[str] = set()

    def few(file: Any, *, columns: list[str]) -> Any:
        columns_read.update(columns)
        return plain(file, 2, columns=columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", few)
    assert png(score_histogram(out)) == whole
    assert columns_read == {"recipe", "score_before", "score_after"}


def test_every_recipe_has_its_row(tmp_path: Path) -> None:
    one = score_histogram(write_dataset(tmp_path / "one", ways=ONE_WAY))
    two = score_histogram(write_dataset(tmp_path / "two"))
    assert two.height == 2 * one.height


@pytest.mark.parametrize(
    ("scores", "left_out"),
    [
        ([(-1, 2), (0, 1), (1, 3)], 2),
        ([(0, 0)], 1),
        ([(float("nan"), 1), (1, float("inf")), (1, 2)], 2),
        ([(1, 1)], 0),
        ([(-2, -1)], 1),
    ],
)
def test_ratios_that_mean_nothing_are_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scores: list[tuple[float, float]], left_out: int
) -> None:
    titles: list[str] = []
    panel = histogram._panel

    def spy(title: str, *rest: Any) -> Image.Image:
        titles.append(title)
        return panel(title, *rest)

    monkeypatch.setattr(histogram, "_panel", spy)
    score_histogram(with_scores(tmp_path, scores))
    note = f" ({left_out} pairs without one)" if left_out else ""
    assert titles[0] == f"bold, {len(scores)} pairs: score after / before{note}"


@pytest.mark.parametrize(
    ("value", "text"), [(0.012345, "0.0123"), (999.4, "999"), (2019.7, "2,020"), (72345, "72,300"), (3e9, "3e+09")]
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert histogram._number(value) == text
