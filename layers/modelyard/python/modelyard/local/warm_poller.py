"""Processes the local warm queue inside the server, as Lambda's SQS trigger does on AWS."""

import asyncio
import logging

from modelyard.domain.errors import DependencyError, ModelyardError
from modelyard.domain.messages import INTERNAL_ERROR
from modelyard.local.sqlite_queue import SqliteQueue
from modelyard.router.warming import Warmer

logger = logging.getLogger(__name__)

POLL_S = 0.25
UNUSABLE_POLL_S = 5.0
"""How long to wait for a queue that cannot be used, for example because its disk is full."""
MAX_CONCURRENT = 4


class WarmPoller:
    """Receives warm messages and loads their models, a few at a time, until it is cancelled."""

    def __init__(self, queue: SqliteQueue, warmer: Warmer) -> None:
        self._queue = queue
        self._warmer = warmer

    async def run(self) -> None:
        """Poll until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(MAX_CONCURRENT):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            pause_s = POLL_S
            try:
                pause_s = 0.0 if await self._process_one() else POLL_S
            except DependencyError as error:  # waiting messages are not lost
                logger.warning("warm queue failed", extra={"reason": error.message})
                pause_s = UNUSABLE_POLL_S
            except Exception:
                logger.exception("warm queue failed")
            if pause_s:
                await asyncio.sleep(pause_s)

    async def _process_one(self) -> bool:
        """Process the next message; return whether there was one."""
        delivery = await asyncio.to_thread(self._queue.receive)
        if delivery is None:
            return False
        try:
            error = await self._warmer.warm(delivery)
        except Exception:
            logger.exception("warming failed", extra={"target": delivery.request.target_model})
            error = ModelyardError(INTERNAL_ERROR)
        await asyncio.to_thread(self._warmer.settle, delivery, error)
        return True
