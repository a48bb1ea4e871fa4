"""The page of the comparison in a real browser, at the width of a desk and of a phone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dreamgan.compare.gathering import gather
from dreamgan.compare.measuring import Row
from dreamgan.compare.report import write_report
from dreamgan.compare.way import Way
from dreamgan.compare.ways import missing, photo
from tests.compare.browser import Browser, chromium

pytestmark = pytest.mark.slow
WIDTHS = {"desktop": (1280, 900), "phone": (390, 844)}
NAN = float("nan")


def brighter(percent: int) -> Way:
    return Way(
        f"brighter-{percent}",
        f"direct dream, brighter by {percent} per cent, with a label that is longer than a phone is wide",
        "direct dream",
        "Adds light.",
        lambda: lambda image, name: (image + percent / 100).clamp(0, 1),
        {"percent": percent},
        percent,
        "light",
    )


def measured(way: Way, place: int) -> Row:
    return Row(
        way=way.name,
        label=way.label,
        kind=way.kind,
        steps=way.steps,
        photos=2,
        series=way.series,
        role="floor" if place == 0 else "",
        seconds=0.01 * 8**place,
        peak_mb=NAN if place == 2 else 1000.0 - 300 * place,
        agreement=0.3 * place,
        referee_agreement=NAN,
        dream_gain=0.3 * place,
        content_kept=1 - 0.1 * place,
        kid=NAN,
        style_distance=NAN,
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    slope = torch.linspace(0, 0.6, 96).expand(1, 3, 64, 96)
    photos = {"first": slope, "second, of a long name": slope.flip(3)}
    ways = [photo(), *(brighter(percent) for percent in (10, 20, 30)), missing("gone", "a style", "pip install it")]
    found = gather(photos, ways, folder / "pictures", lambda line: None)
    rows = [measured(way, place) for place, way in enumerate(ways[:4])]
    write_report(folder / "report.html", rows, found, ways, reference="brightness", about="Made for a test.")
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with Browser(program, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_by_keyboard(page: Path, browser: Browser, width: str) -> None:
    browser.open(page, *WIDTHS[width])
    # Nothing but what may be scrolled is wider than the screen, and pictures are there.
    # (innerWidth is no measure: a phone zooms out until all of a page that is too wide is on it.)
    assert browser.value("document.documentElement.scrollWidth") <= WIDTHS[width][0]
    assert browser.value("[...document.querySelectorAll('.slider img')].every(img => img.naturalWidth === 96)")
    # The slider.
    cut = "document.getElementById('slider').style.getPropertyValue('--cut')"
    browser.value("document.getElementById('cut').focus()")
    browser.press("ArrowRight")
    assert browser.value(cut) == "51%"
    browser.press("End")
    assert browser.value(cut) == "100%"
    # Another picture under it.
    before = browser.value("document.getElementById('after').alt")
    browser.value("document.getElementById('right').focus()")
    browser.press("Home")
    assert browser.value("document.getElementById('after').alt") == "first: photo" != before
    # The filter.
    shown = "[...document.querySelectorAll('#grid figure')].filter(f => f.offsetParent).length"
    assert browser.value(shown) == 8
    browser.value("document.querySelector('.way').focus()")
    browser.press(" ")
    assert browser.value(shown) == 6
    browser.value("document.getElementById('only').focus()")
    browser.press("ArrowDown")
    assert browser.value(shown) == 3
    # The table: by peak memory, what is missing last both times.
    column = "[...document.querySelectorAll('#table tbody tr')].map(r => r.cells[4].textContent)"
    browser.value("document.querySelectorAll('#table th button')[4].focus()")
    browser.press("Enter")
    assert browser.value(column) == ["100", "700", "1000", "–"]
    browser.press("Enter")
    assert browser.value(column) == ["1000", "700", "100", "–"]
    # All of it can be reached with Tab alone.
    wanted = "document.querySelectorAll('select, input, #table button').length"
    browser.open(page, *WIDTHS[width])
    reached = set()
    for _ in range(60):
        browser.press("Tab")
        reached.add(browser.value("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
    assert len(reached) >= browser.value(wanted)


def test_texts_are_readable_on_a_phone(page: Path, browser: Browser) -> None:
    browser.open(page, *WIDTHS["phone"])
    sizes = "[...document.querySelectorAll('p, li, td, dd, label, figcaption')].map(e => getComputedStyle(e).fontSize)"
    assert all(float(size.removesuffix("px")) >= 12 for size in browser.value(sizes))
    # The plot keeps a size at which its text can be read, and is scrolled.
    assert browser.value("document.querySelector('svg').getBoundingClientRect().width >= 540")
