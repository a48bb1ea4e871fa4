"""Imports go one way: the table below is the whole rule, and every file of the package is held to it."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "dreamgan"

# Room (file or folder of dreamgan/) -> rooms that it may import, besides itself and `errors`.
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "errors": set(),
    "files": set(),
    "settings": set(),
    "devices": set(),
    "decoding": set(),
    "images": {"files", "decoding"},
    "views": set(),
    "losses": set(),
    "augment": set(),
    "backbones": {"files"},
    "networks": {"backbones"},
    "dream": {"settings", "images", "backbones"},
    "style": {"images", "backbones"},
    "data": {"files", "images"},
    "metrics": {"images", "backbones", "views", "dream", "style"},
    "exports": {"files"},
    "latents": set(),
    "sampling": {"files", "images", "networks", "exports"},
    "noise_sampling": {"networks", "exports", "latents"},
    "generators": {"networks", "sampling", "noise_sampling"},
    "classifying": {"files", "images", "backbones", "data"},
    "claims": {"files", "images", "backbones", "data", "dream", "metrics", "classifying"},
}
# Training ends by writing what sampling reads.
MAY_IMPORT["lit"] = set(MAY_IMPORT) - {"__init__"}
MAY_IMPORT["compare"] = set(MAY_IMPORT) - {"__init__", "lit", "losses"}
MAY_IMPORT["exporting"] = {"networks", "sampling"}
# The way in: what the scripts and the console command run. Each may import all that stands above it.
for entrance in ("making", "evaluation", "reproduce", "commands", "bench", "quickstart", "cli"):
    MAY_IMPORT[entrance] = set(MAY_IMPORT) - {"__init__"}

# These run wherever torch does: no training framework, no logger, no data set library.
TORCH_ONLY = {
    "errors",
    "files",
    "settings",
    "devices",
    "decoding",
    "images",
    "views",
    "losses",
    "augment",
    "backbones",
    "networks",
    "dream",
    "style",
    "exports",
    "latents",
    "sampling",
    "noise_sampling",
    "exporting",
    "generators",
}
HEAVY = {"pytorch_lightning", "lightning", "lightning_fabric", "wandb", "datasets"}


def imported_modules(code: str, module: str, *, is_package: bool) -> set[str]:
    """Absolute names of all that the code imports, at any depth; `from a import b` gives `a` and `a.b`."""
    parents = module.split(".") if is_package else module.split(".")[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            stem = parents[: len(parents) - node.level + 1] if node.level else []
            origin = ".".join([*stem, *([node.module] if node.module else [])])
            found.add(origin)
            found.update(f"{origin}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "importlib.import_module",
            "import_module",
            "__import__",
        ):
            found.update(a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))
    return found


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms_in(modules: set[str]) -> set[str]:
    """Rooms among the modules; the package itself (`from dreamgan import __version__`) is open to all."""
    parts = [module.split(".") for module in modules]
    return {part[1] for part in parts if part[0] == "dreamgan" and len(part) > 1} & set(MAY_IMPORT)


def imports_of(file: Path) -> set[str]:
    names = list(file.relative_to(PACKAGE.parent).with_suffix("").parts)
    is_package = names[-1] == "__init__"
    return imported_modules(file.read_text(), ".".join(names[:-1] if is_package else names), is_package=is_package)


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_one_way(file: Path) -> None:
    room = room_of(file)
    assert room in MAY_IMPORT, f"room {room!r} is not in the table of this test: decide what it may import"
    modules = imports_of(file)
    allowed = MAY_IMPORT[room] | {room, "errors"}
    assert rooms_in(modules) <= allowed, f"{room} may import {sorted(allowed)} only"
    if room in TORCH_ONLY:
        assert not {module.split(".")[0] for module in modules} & HEAVY


def test_the_table_has_no_way_back() -> None:
    order = list(TopologicalSorter(MAY_IMPORT).static_order())
    assert set(order) == set(MAY_IMPORT), "the table names a room that it does not list"
    assert "dream" not in MAY_IMPORT["data"]


@pytest.mark.parametrize(
    ("code", "room"),
    [
        ("import dreamgan.data.pairs as pairs", "data"),
        ("from dreamgan import data", "data"),
        ("from dreamgan.data import pairs", "data"),
        ("from ..data import pairs", "data"),
        ("from .. import data", "data"),
        ("def later():\n    from ..data.pairs import write", "data"),
        ("import importlib\nimportlib.import_module('dreamgan.data')", "data"),
        ("from . import octaves", "dream"),
        ("from .octaves import split", "dream"),
    ],
)
def test_every_form_of_import_is_seen(code: str, room: str) -> None:
    assert rooms_in(imported_modules(code, "dreamgan.dream.engine", is_package=False)) == {room}


def test_relative_imports_of_a_package_start_at_itself() -> None:
    modules = imported_modules("from .engine import dream\nfrom ..data import x", "dreamgan.dream", is_package=True)
    assert rooms_in(modules) == {"dream", "data"}


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = sorted({"torch", "numpy", "PIL"} | HEAVY)
    code = f"import sys, dreamgan; sys.exit(','.join(m for m in {heavy!r} if m in sys.modules) or 0)"
    finished = subprocess.run(
        [sys.executable, "-c", code], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
