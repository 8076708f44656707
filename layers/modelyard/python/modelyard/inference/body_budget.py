"""Bounds the memory that decoded bodies take, all calls of a process together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from modelyard.domain.errors import CapacityError

SMALL_BODY_BYTES = 64 << 10
"""Bodies up to this size do not count."""
LIMIT_BYTES = 1 << 30
"""The memory for decoded bodies of one process."""
_TEXT_BYTES = 3
_ROW_BYTES = 200
_VALUE_BYTES = 100
_SEPARATORS = (b",", b";", b"\t", b"|", b" ", b":")
PATIENCE_S = 0.25
"""How long a call waits for others with large bodies before it is refused."""


class BodyBudget:
    """Lets calls with large bodies in while there is room. Safe to share between threads."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES, patience_s: float = PATIENCE_S) -> None:
        self._limit_bytes = limit_bytes
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._used_bytes = 0

    @contextmanager
    def room_for(self, body: bytes) -> Iterator[None]:
        """Hold the memory that a body may take while it is answered.

        One call always gets in: bodies have a limit of their own.

        Raises:
            CapacityError: others hold the memory, and keep it for longer than the patience.
        """
        if len(body) <= SMALL_BODY_BYTES:
            yield
            return
        needed_bytes = decoded_bytes(body)
        with self._changed:
            if not self._changed.wait_for(lambda: self._has_room(needed_bytes), self._patience_s):
                raise CapacityError("too many large bodies are being answered; try again")
            self._used_bytes += needed_bytes
        try:
            yield
        finally:
            with self._changed:
                self._used_bytes -= needed_bytes
                self._changed.notify_all()

    def _has_room(self, needed_bytes: int) -> bool:
        return not self._used_bytes or self._used_bytes + needed_bytes <= self._limit_bytes


def decoded_bytes(body: bytes) -> int:
    """Return about how much memory a body takes when it is decoded: its text, values and rows.

    In text, each separator stands for one value, and each line or bracket for one row. In other
    bodies a few bytes look like separators, which does no harm.
    """
    rows = body.count(b"\n") + body.count(b"[")
    values = sum(body.count(separator) for separator in _SEPARATORS)
    return len(body) * _TEXT_BYTES + rows * _ROW_BYTES + values * _VALUE_BYTES
