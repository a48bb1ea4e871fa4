"""A config from elsewhere chooses no code and no address."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamgan.cli import main
from tests.lit.runs import SMOKE, fit

FOREIGN = """
import pathlib, pytorch_lightning
pathlib.Path({trace!r}).touch()
class Callback(pytorch_lightning.Callback):
    pass
"""


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module ``foreign_code`` that can be imported; the file is there once it was."""
    trace = tmp_path / "imported"
    (tmp_path / "foreign_code.py").write_text(FOREIGN.format(trace=str(trace)))
    monkeypatch.syspath_prepend(str(tmp_path))
    return trace


@pytest.mark.parametrize(
    "content",
    [
        "trainer:\n  callbacks:\n    - class_path: foreign_code.Callback",
        "trainer:\n  callbacks: foreign_code.Callback",
        "trainer.callbacks: foreign_code.Callback",
        "trainer:\n  strategy:\n    class_path: foreign_code.Callback",
        "trainer: other.yaml",
        "trainer: other.txt",
        'trainer: \'{"callbacks": [{"class_path": "foreign_code.Callback"}]}\'',
        "model: foreign_code.Callback",
        "data:\n  class_path: foreign_code.Callback",
    ],
)
def test_a_config_imports_nothing_but_our_classes(
    dataset: Path, tmp_path: Path, foreign: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("other.yaml", "other.txt"):
        (tmp_path / name).write_text("callbacks:\n  - class_path: foreign_code.Callback\n")
    config = tmp_path / "c.yaml"
    config.write_text(content + "\n")
    assert fit(dataset, tmp_path / "run", "--config", str(config)) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert "'foreign_code.Callback' is not trusted" in captured.err.splitlines()[-1]
    assert not foreign.exists()
    assert not (tmp_path / "run").exists()


def test_a_trusted_module_is_no_way_to_others(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(dataset, tmp_path / "run", "--trainer.callbacks", "pytorch_lightning.cli.os.system") == 2
    assert "is not trusted" in capsys.readouterr().err.splitlines()[-1]


def test_a_nested_config_of_our_classes_is_read(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.yaml").write_text(
        "accelerator: cpu\ndevices: 1\nmax_epochs: 1\nlogger: false\nenable_progress_bar: false\n"
        "enable_model_summary: false\n"
        "callbacks:\n  - class_path: pytorch_lightning.callbacks.ModelSummary\n"
    )
    config = tmp_path / "c.yaml"
    config.write_text("trainer: other.yaml\n")
    assert fit(dataset, tmp_path / "run", "--config", str(config)) == 0


def test_a_config_at_an_address_is_not_read(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import fsspec  # type: ignore[import-untyped]

    with fsspec.open("memory://trainer.yaml", "w") as file:
        file.write("max_epochs: 1\n")
    config = tmp_path / "c.yaml"
    config.write_text("trainer: memory://trainer.yaml\n")
    assert fit(dataset, tmp_path / "run", "--config", str(config)) == 2
    assert "memory://trainer.yaml" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("command", ["fit", "validate"])
@pytest.mark.parametrize("path", ["some.jpg", "https://example.org/last.ckpt", "s3://bucket/last.ckpt", "best"])
def test_a_checkpoint_in_a_config(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, path: str
) -> None:
    (tmp_path / "some.jpg").write_text("no picture either")
    config = tmp_path / "c.yaml"
    config.write_text(f"ckpt_path: {tmp_path / path if path == 'some.jpg' else path}\n")
    flags = ["--data.dataset", str(dataset), "--run_dir", str(tmp_path / "run"), "--config", str(config)]
    assert main(["train", command, "--config", SMOKE, *flags]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert ("is no checkpoint" if path == "some.jpg" else "there is no checkpoint") in last
