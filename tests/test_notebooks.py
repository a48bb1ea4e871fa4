"""The notebooks: sound as they are stored, and run from top to bottom."""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_BYTES = 400_000
PICTURES = {"01_dream": 7, "02_make_dataset_and_train": 3, "03_compare": 3}
# Where files lie on somebody's machine, and what progress bars leave.
LITTER = re.compile(r"/(?:home|root|tmp|work|usr|opt|Users|private)/|[A-Z]:\\|site-packages|\d+%\||it/s\]")

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def pictures(notebook: Any) -> int:
    kinds = ("image/png", "image/jpeg", "image/svg+xml")
    return sum(any(kind in output.get("data", {}) for kind in kinds) for output in outputs(notebook))


def test_all_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == list(PICTURES)


@each
def test_stored_notebook(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size < MOST_BYTES
    assert all(cell.execution_count == count for count, cell in enumerate(code_cells(notebook), start=1))
    assert not any(output.output_type == "error" for output in outputs(notebook))
    assert pictures(notebook) >= PICTURES[path.stem]
    text = [
        str(part)
        for output in outputs(notebook)
        for part in [output.get("text", ""), *(v for k, v in output.get("data", {}).items() if "jpeg" not in k)]
    ]
    assert [
        found for part in [*text, *(cell.source for cell in notebook.cells)] for found in LITTER.findall(part)
    ] == []


@each
def test_code_calls_the_package_and_defines_nothing(path: Path) -> None:
    for cell in code_cells(read(path)):
        tree = ast.parse(cell.source)
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)]


@each
def test_links_lead_somewhere(path: Path) -> None:
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.slow
@each
# jupyter_client says so of every kernel that is reached by TCP, which here is all of them.
@pytest.mark.filterwarnings("ignore:.*[Ee]ncrypt.*")
def test_runs_from_top_to_bottom(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (Path(torch.hub.get_dir()) / "checkpoints" / "mobilenet_v2-b0353104.pth").is_file():
        pytest.skip("needs the default weights: run `make setup`")
    pytest.importorskip("skimage")
    from scripts.run_notebooks import run

    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    notebook = read(path)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    asked = nbformat.v4.new_code_cell("import sys; print(sys.executable)")
    notebook.cells.append(asked)

    run(notebook, tmp_path)

    assert outputs(notebook)[-1].text.strip() == sys.executable
    assert not any(output.output_type == "error" for output in outputs(notebook))
    assert pictures(notebook) >= PICTURES[path.stem]
