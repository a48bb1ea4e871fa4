from collections.abc import Callable

import pytest
import torch

from dreamgan.devices import default_batch, halving, joined, pick_device, precision_context
from dreamgan.errors import UserError


@pytest.fixture
def _bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def _two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("_bare_machine")
def test_without_an_accelerator_there_is_the_cpu() -> None:
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")


@pytest.mark.usefixtures("_two_gpus")
def test_auto_takes_the_gpu() -> None:
    assert pick_device("auto") == torch.device("cuda")
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.usefixtures("_bare_machine")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "meta"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"device '{name}' is not available on this machine; use --device auto"):
        pick_device(name)


@pytest.mark.usefixtures("_two_gpus")
@pytest.mark.parametrize("name", ["cuda:2", "mps"])
def test_a_gpu_too_many_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"device '{name}' is not available"):
        pick_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "CPU 1"])
def test_a_device_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"device '{name}' is not known; use auto, cpu, cuda") as caught:
        pick_device(name)
    assert "\n" not in str(caught.value)


def test_bf16_is_autocast_and_32_is_not() -> None:
    a = torch.ones(2, 2)
    with precision_context(torch.device("cpu"), "bf16"):
        assert (a @ a).dtype == torch.bfloat16
    with precision_context(torch.device("cpu"), "32"):
        assert (a @ a).dtype == torch.float32


def test_a_gpu_gets_more_pictures_at_a_time() -> None:
    assert 1 <= default_batch(torch.device("cpu")) < default_batch(torch.device("cuda"))


OUT_OF_MEMORY: list[Callable[[], Exception]] = [
    lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    lambda: MemoryError(),
    lambda: RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
]


class Worker:
    """Doubles its items; more than `fits` at a time are too many."""

    def __init__(self, fits: int, error: Callable[[], Exception]) -> None:
        self.fits, self.error = fits, error
        self.asked: list[tuple[int, int]] = []

    def __call__(self, part: slice) -> torch.Tensor:
        self.asked.append((part.start, part.stop))
        if part.stop - part.start > self.fits:
            raise self.error()
        return 2 * torch.arange(part.start, part.stop)


def test_what_fits_runs_in_one_go(capsys: pytest.CaptureFixture[str]) -> None:
    worker = Worker(7, OUT_OF_MEMORY[0])

    parts = halving(worker, 7)

    assert worker.asked == [(0, 7)]
    assert joined(parts).tolist() == [0, 2, 4, 6, 8, 10, 12]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "python", "cpu"])
@pytest.mark.parametrize("fits", [1, 2, 3, 6])
def test_what_does_not_fit_is_halved(
    fits: int, error: Callable[[], Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    worker = Worker(fits, error)

    parts = halving(worker, 7)

    assert joined(parts).tolist() == [0, 2, 4, 6, 8, 10, 12]
    size = 3 if fits >= 3 else 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1] == f"out of memory: going on with {size} pictures at a time"
    assert len(err.splitlines()) == (1 if size == 3 else 2)
    done = [span for span in worker.asked if span[1] - span[0] <= fits]
    assert done == [(start, min(start + size, 7)) for start in range(0, 7, size)]


def test_memory_that_runs_out_later_repeats_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[int, int]] = []

    def run(part: slice) -> int:
        start, stop = int(part.start), int(part.stop)
        asked.append((start, stop))
        if stop - start > (4 if start < 4 else 2):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return stop - start

    assert halving(run, 8) == [4, 2, 2]
    assert asked == [(0, 8), (0, 4), (4, 8), (4, 6), (6, 8)]
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "python", "cpu"])
@pytest.mark.parametrize("count", [1, 5])
def test_a_single_picture_too_large_is_said(count: int, error: Callable[[], Exception]) -> None:
    with pytest.raises(UserError, match="out of memory with a single picture; make it smaller"):
        halving(Worker(0, error), count)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("no"), KeyboardInterrupt()])
def test_other_errors_pass_through(error: BaseException) -> None:
    calls: list[slice] = []

    def run(part: slice) -> None:
        calls.append(part)
        raise error

    with pytest.raises(type(error)) as caught:
        halving(run, 4)

    assert caught.value is error
    assert len(calls) == 1
