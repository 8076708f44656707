"""The threads of a process that answer calls which may wait or take long."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from modelyard.domain.errors import CapacityError

CALLS_OF_A_POOL = 4_000
"""After so many calls new threads are used. XGBoost keeps 600 bytes for each model that a thread
called, until the thread ends.
"""
Given = TypeVar("Given")
Result = TypeVar("Result")


class CallThreads:
    """Runs calls in threads, up to a limit; more are refused. Used by one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.running = 0
        """How many calls are running."""
        self._calls = 0
        self._loop = asyncio.get_running_loop()
        self._pool = self._new_pool()

    @property
    def are_busy(self) -> bool:
        """Whether as many calls are running as there may be."""
        return self.running >= self._limit

    async def run(
        self, call: Callable[[Given], Result], given: Given, *, is_begun: bool = False
    ) -> Result:
        """Return what the call returns. If this is cancelled, the call still runs to its end.

        With `is_begun`, it goes on with a call that was made before: it may wait for a thread.

        Raises:
            CapacityError: as many calls are running as there may be, or no thread can be started.
        """
        return await self.start(call, given, is_begun=is_begun)

    def start(
        self, call: Callable[[Given], Result], given: Given, *, is_begun: bool = False
    ) -> "asyncio.Future[Result]":
        """Start a call; raises what `run` raises."""
        if self.are_busy and not is_begun:
            raise CapacityError(f"too many calls in flight: {self._limit} in this process")
        outcome: asyncio.Future[Result] = self._loop.create_future()
        self.start_for(outcome, call, given)
        return outcome

    def start_for(
        self, outcome: "asyncio.Future[Result]", call: Callable[[Given], Result], given: Given
    ) -> None:
        """Go on with a call that was made before, and settle its outcome in the end.

        Raises:
            CapacityError: no thread can be started.
        """
        self._calls += 1
        if self._calls % CALLS_OF_A_POOL == 0:
            self._pool.shutdown(wait=False)
            self._pool = self._new_pool()
        self.running += 1
        try:
            self._pool.submit(self._work, call, given, outcome)
        except RuntimeError as error:
            # The call stays on the pool's queue: the next thread that is free makes it, and then
            # it is counted no longer.
            raise CapacityError("cannot start a thread for the call") from error

    def _work(
        self, call: Callable[[Given], Result], given: Given, outcome: "asyncio.Future[Result]"
    ) -> None:
        try:
            self._loop.call_soon_threadsafe(self._end, outcome.set_result, call(given), outcome)
        except BaseException as error:
            if not isinstance(error, Exception) or isinstance(error, StopIteration):
                # A future accepts no StopIteration, and SystemExit would end the event loop.
                error = RuntimeError(f"the call raised {error!r}")
            self._loop.call_soon_threadsafe(self._end, outcome.set_exception, error, outcome)

    def _end(
        self, settle: Callable[[Any], None], what: Any, outcome: "asyncio.Future[Result]"
    ) -> None:
        self.running -= 1
        if not outcome.done():
            settle(what)

    def _new_pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._limit, thread_name_prefix="call")
