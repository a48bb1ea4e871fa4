import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dreamgan.decoding.budget import Budget


def test_threads_never_hold_more_than_there_is_and_small_ones_go_side_by_side() -> None:
    budget, lock = Budget(10), threading.Lock()
    held, most, side_by_side = 0, 0, 0

    def hold(amount: int) -> None:
        nonlocal held, most, side_by_side
        with budget.take(amount):
            with lock:
                held += amount
                most = max(most, held)
                side_by_side += held > amount
            threading.Event().wait(0.002)
            with lock:
                held -= amount

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hold, [6, 3, 1, 10, 2, 2, 7, 5] * 8))
    assert held == 0
    assert most <= 10
    assert side_by_side


def test_what_was_held_comes_back_after_an_error() -> None:
    budget = Budget(10)
    with pytest.raises(RuntimeError, match="broken"), budget.take(10):
        raise RuntimeError("broken")
    with budget.take(10):
        pass


def test_more_than_there_is_would_be_waited_for_for_ever() -> None:
    with pytest.raises(ValueError, match="11 bytes of 10 wanted"), Budget(10).take(11):
        pass
