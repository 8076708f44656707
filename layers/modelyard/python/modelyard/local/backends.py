"""How a process of the local server reaches the inference side of each endpoint."""

import asyncio
from collections.abc import Sequence

from modelyard.domain import messages
from modelyard.domain.errors import CapacityError, ModelCrashedError
from modelyard.domain.requests import Answer, Invoke, Request, Survey
from modelyard.inference.service import InferenceService
from modelyard.local.envelopes.remote import RemoteProcess
from modelyard.local.envelopes.server import Respond
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


class ServingWorkers:
    """`InferenceBackend` of the multi-model endpoints, from inside one of the workers."""

    def __init__(
        self, here: int, service: InferenceService, respond: Respond, others: RemoteWorkers
    ) -> None:
        """`here` is the shard that this process is; `respond` answers its requests."""
        self._here = here
        self._service = service
        self._respond = respond
        self._others = others

    @property
    def shards(self) -> int:
        """How many workers there are."""
        return self._others.shards

    def call_now(self, shard: int, request: Invoke) -> Answer | None:
        """Return the answer of a model that is loaded here and known to be fast."""
        return self._service.answer_now(request)

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        """Return the shard's answer: from this process, or from another worker.

        Raises:
            TimeoutError: no answer in time; the work continues.
            CapacityError: the shard accepts no more calls.
        """
        if shard != self._here:
            return await self._others.call(shard, request, timeout_s)
        answer = self._respond(request)
        if isinstance(answer, Answer):
            return answer
        async with asyncio.timeout(timeout_s):
            return await answer


class ApiProcess:
    """`InferenceBackend` of one Cortex API: the process that runs its class."""

    shards = 1

    def __init__(self, name: str, process: RemoteProcess) -> None:
        self._name = name
        self._process = process

    def call_now(self, shard: int, request: Invoke) -> Answer | None:
        """Return None: another process has to answer."""
        return None

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        """Return the answer of the class.

        A call during which the process ends is not made again: it may have had effects.

        Raises:
            TimeoutError: no answer in time; the class continues its work.
            ModelCrashedError: the process ended, and no other call was running.
            CapacityError: the process ended while several calls were running, or has too many.
        """
        async with asyncio.timeout(timeout_s):
            try:
                return await self._process.call(request)
            except ConnectionRefusedError as error:
                raise CapacityError(f"the process of {self._name} is being replaced") from error
            except ConnectionError as error:
                if self._process.in_flight:
                    raise CapacityError(
                        f"the process of {self._name} ended while several calls were running"
                    ) from error
                raise ModelCrashedError(messages.MODEL_PROCESS_EXITED) from error
