"""Threads that decode at the same time share what one may cost."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """Bytes that threads take and give back; who wants more than is left waits.

    Args:
        total_bytes: all that there are.
    """

    def __init__(self, total_bytes: int) -> None:
        self._left_bytes = self._total_bytes = total_bytes
        self._changed = threading.Condition()

    @contextmanager
    def take(self, wanted_bytes: int) -> Iterator[None]:
        """Hold some of the bytes as long as the block lasts; a thread that holds some must not take more.

        Raises:
            ValueError: if they are more than there are: nobody could ever have them.
        """
        if wanted_bytes > self._total_bytes:
            raise ValueError(f"{wanted_bytes} bytes of {self._total_bytes} wanted")
        with self._changed:
            self._changed.wait_for(lambda: wanted_bytes <= self._left_bytes)
            self._left_bytes -= wanted_bytes
        try:
            yield
        finally:
            with self._changed:
                self._left_bytes += wanted_bytes
                self._changed.notify_all()
