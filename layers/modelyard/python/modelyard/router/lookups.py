"""Look things up where an answer may take long, such as in a key store or a repository."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from modelyard.domain.errors import CapacityError

MOMENT_S = 0.25
"""How long a call waits for news while there is an older answer."""
OLDEST_S = 60.0
"""How long an answer may be used after its time, while nothing newer arrives."""
_THREADS = 8
_MOST_WAITING = 256

K = TypeVar("K")
V = TypeVar("V")


class Lookups(Generic[K, V]):
    """Makes lookups in threads of its own, one at a time for each key. Used by one event loop.

    So calls that need no lookup, or can do with an older answer, do not wait for a slow source.
    """

    def __init__(self, name: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._monotonic = monotonic
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix=name)
        self._running: dict[K, tuple[float, Future[V]]] = {}

    async def find(
        self, key: K, look_up: Callable[[], V], *, has_older: bool
    ) -> tuple[V, float] | None:
        """Return what `look_up` returned, and when it was asked.

        With an older answer at hand, wait for a moment only, and not at all while an earlier
        lookup of the key is running: then return None.

        Raises:
            CapacityError: too many lookups are running.
        """
        known = self._running.get(key)
        asked_at, lookup = known or self._start(key, look_up)
        waiting = asyncio.wrap_future(lookup)
        waiting.add_done_callback(_seen)
        wait_s = (0.0 if known else MOMENT_S) if has_older else None
        await asyncio.wait({waiting}, timeout=wait_s)
        if not waiting.done():
            return None
        if self._running.get(key) == (asked_at, lookup):
            del self._running[key]
        return waiting.result(), asked_at

    def _start(self, key: K, look_up: Callable[[], V]) -> tuple[float, Future[V]]:
        if len(self._running) >= _MOST_WAITING:
            self._running = {name: one for name, one in self._running.items() if not one[1].done()}
        if len(self._running) >= _MOST_WAITING:
            raise CapacityError(f"too many calls wait for: {self._name}")
        started = self._running[key] = self._monotonic(), self._pool.submit(look_up)
        return started


def _seen(waiting: "asyncio.Future[V]") -> None:
    """Tell asyncio that the exception was read: the next caller of the lookup gets it."""
    if not waiting.cancelled():
        waiting.exception()
