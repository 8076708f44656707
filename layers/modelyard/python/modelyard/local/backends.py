"""How a process of the local server reaches models in other processes."""

import asyncio
from collections.abc import Sequence

from modelyard.domain import messages
from modelyard.domain.errors import CapacityError, ModelCrashedError
from modelyard.domain.requests import Answer, Invoke, Request, Survey
from modelyard.local.envelopes.remote import RemoteProcess
from modelyard.local.processes.health import Health, ProcessState

_TRIES = 2
"""A worker that ended is replaced; the model that it may have been ended by is then a guest."""


class RemoteWorkers:
    """`InferenceBackend` of the multi-model endpoints, from outside the workers."""

    def __init__(
        self, names: Sequence[str], processes: Sequence[RemoteProcess], health: Health
    ) -> None:
        self._names = names
        self._processes = processes
        self._health = health

    @property
    def shards(self) -> int:
        """How many workers there are."""
        return len(self._processes)

    def call_now(self, shard: int, request: Invoke) -> Answer | None:
        """Return None: another process has to answer."""
        return None

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        """Return the worker's answer. If the worker ends, the call is made once more.

        Raises:
            TimeoutError: no answer in time; the worker continues its work.
            CapacityError: the worker ended again, cannot be started, or has too many calls.
        """
        if self._health.of(self._names[shard]) is ProcessState.FAILED:
            raise CapacityError(f"{self._names[shard]} cannot be started")
        async with asyncio.timeout(timeout_s):
            for _ in range(1 if isinstance(request, Survey) else _TRIES):
                try:
                    return await self._processes[shard].call(request)
                except ConnectionError:
                    continue
        raise CapacityError(f"{self._names[shard]} ended")


class ApiProcess:
    """`InferenceBackend` of one Cortex API: the process that runs its class."""

    shards = 1

    def __init__(self, name: str, process: RemoteProcess, health: Health) -> None:
        """`name` is that of the process."""
        self._name = name
        self._process = process
        self._health = health

    def call_now(self, shard: int, request: Invoke) -> Answer | None:
        """Return None: another process has to answer."""
        return None

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        """Return the answer of the class.

        A call during which the process ends is not made again: it may have had effects.

        Raises:
            TimeoutError: no answer in time; the class continues its work.
            ModelCrashedError: the process ended, and no other call was running.
            CapacityError: the process cannot be started, has too many calls, or ended while
                several calls were running.
        """
        if self._health.of(self._name) is ProcessState.FAILED:
            raise CapacityError(f"{self._name} cannot be started")
        try:
            async with asyncio.timeout(timeout_s):
                return await self._process.call(request)
        except ConnectionError as error:
            if self._process.in_flight:
                raise CapacityError(f"{self._name} ended while several calls ran") from error
            raise ModelCrashedError(messages.MODEL_PROCESS_EXITED) from error
