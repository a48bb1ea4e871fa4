"""Run the notebooks from top to bottom and store them: python scripts/run_notebooks.py [NOTEBOOK ...]

Each runs with this very Python, in a folder that is removed afterwards. What is stored is for readers
on a forge: pictures as JPEG, neither times nor versions.
"""

import base64
import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
JPEG_QUALITY = 75
CELL_TIMEOUT_S = 600


def run(notebook: Any, folder: Path) -> None:
    """Run all cells in place, in a folder.

    Raises:
        nbclient.exceptions.CellExecutionError: Of the first cell that fails.
    """
    # Without folders of kernels there is but the one of this Python, whatever the user has installed.
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(
        notebook,
        km=manager,
        timeout=CELL_TIMEOUT_S,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(cleanup_kc=True)  # a manager that is given would else keep its kernel


def make_small(notebook: Any) -> None:
    """Keep one form of each output, pictures as JPEG, and nothing of this machine."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            png = data.pop("image/png", None)
            if png is not None:
                with Image.open(io.BytesIO(base64.b64decode(png))) as picture, io.BytesIO() as stream:
                    picture.convert("RGB").save(stream, "JPEG", quality=JPEG_QUALITY, optimize=True)
                    data["image/jpeg"] = base64.b64encode(stream.getvalue()).decode()


def main(names: list[str]) -> int:
    os.environ.setdefault("WANDB_MODE", "disabled")
    for path in [Path(name) for name in names] or sorted(NOTEBOOKS.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            run(notebook, Path(folder))
        make_small(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
