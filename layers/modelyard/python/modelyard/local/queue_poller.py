"""Processes the messages of a local queue, as Lambda's SQS trigger does on AWS."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from modelyard.domain.errors import DependencyError
from modelyard.domain.values import Delivery
from modelyard.local.sqlite_queue import SqliteQueue

logger = logging.getLogger(__name__)

T = TypeVar("T")

POLL_S = 0.25
UNUSABLE_POLL_S = 5.0
"""How long to wait for a queue that cannot be used, for example because its disk is full."""
MAX_CONCURRENT = 4


class QueuePoller(Generic[T]):
    """Receives messages and processes them, a few at a time, until it is cancelled."""

    def __init__(
        self, queue: SqliteQueue[T], process: Callable[[Delivery[T]], Awaitable[object]]
    ) -> None:
        """`process` also deletes the message, or lets it be delivered again later."""
        self._queue = queue
        self._process = process
        self._places = asyncio.Semaphore(MAX_CONCURRENT)

    async def run(self) -> None:
        """Poll until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._places.acquire()
                group.create_task(self._work(await self._next()))

    async def _next(self) -> Delivery[T]:
        """Return the next message, when there is one."""
        while True:
            pause_s = POLL_S
            try:
                delivery = await asyncio.to_thread(self._queue.receive)
                if delivery is not None:
                    return delivery
            except DependencyError as error:  # waiting messages are not lost
                logger.warning("queue failed", extra={"reason": error.message})
                pause_s = UNUSABLE_POLL_S
            except Exception:
                logger.exception("queue failed")
                pause_s = UNUSABLE_POLL_S
            await asyncio.sleep(pause_s)

    async def _work(self, delivery: Delivery[T]) -> None:
        """Process one message; whatever fails, it is delivered again."""
        try:
            await self._process(delivery)
        except DependencyError as error:
            logger.warning("queue failed", extra={"reason": error.message})
        except Exception:
            logger.exception("message not processed")
        finally:
            self._places.release()
