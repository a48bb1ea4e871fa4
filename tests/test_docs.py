"""The documents: their links lead somewhere, what they name exists, and nothing is left out that they promise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dreamgan.compare.report import COLUMNS

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8"))
    assert [each for each in targets if "://" not in each and not (path.parent / each).exists()] == []


def test_every_document_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in DOCS if f"(docs/{path.name})" not in readme] == []


def test_every_column_of_the_comparison_is_explained() -> None:
    lines = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8").splitlines()
    explained = [
        name.strip() for line in lines if line.startswith("| ") for name in re.split(r", (?!MB)", line.split("|")[1])
    ]
    assert [column for column in COLUMNS.values() if column not in explained] == []
