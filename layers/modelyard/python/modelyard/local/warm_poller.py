"""Works off the local warm queue inside the server, as an SQS trigger does on AWS."""

import asyncio
import logging
from typing import Protocol

from modelyard.domain.errors import ModelyardError
from modelyard.domain.messages import INTERNAL_ERROR
from modelyard.domain.ports import WarmQueue
from modelyard.domain.values import WarmDelivery

logger = logging.getLogger(__name__)

POLL_S = 0.25
SIDE_BY_SIDE = 4


class Warms(Protocol):
    """The warm use case."""

    async def warm(self, delivery: WarmDelivery) -> ModelyardError | None:
        """Load the model; returns why that failed."""
        ...

    def settle(self, delivery: WarmDelivery, error: ModelyardError | None) -> bool:
        """Forget the message or keep it; returns whether it is forgotten."""
        ...


class WarmPoller:
    """Takes messages and has them warmed, a few at a time, until it is cancelled."""

    def __init__(self, queue: WarmQueue, warmer: Warms) -> None:
        self._queue = queue
        self._warmer = warmer

    async def run(self) -> None:
        """Poll for ever."""
        async with asyncio.TaskGroup() as group:
            for _ in range(SIDE_BY_SIDE):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            try:
                is_idle = not await self._work_off_one()
            except Exception:  # the disk of the queue is full, say: what waits is not lost
                logger.exception("warm queue failed")
                is_idle = True
            if is_idle:
                await asyncio.sleep(POLL_S)

    async def _work_off_one(self) -> bool:
        """Warm the next message; returns whether there was one."""
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
