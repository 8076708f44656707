"""The local inference backend: worker processes as shards, replaced when they exit."""

import asyncio
import itertools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from modelyard.domain import messages
from modelyard.domain.envelope import Frame, parse_answer, render_request
from modelyard.domain.errors import (
    CapacityError,
    ModelCrashedError,
    ModelNotReadyError,
    ModelyardError,
)
from modelyard.domain.ports import Clock
from modelyard.domain.requests import Answer, DescribeApi, Request, Survey
from modelyard.domain.values import ModelId, TargetModel
from modelyard.local.workers.worker_process import WorkerCommand, WorkerProcess
from modelyard.router.suspects import Suspects

logger = logging.getLogger(__name__)

MAX_IN_FLIGHT = 256
"""The default number of calls that a worker accepts at a time; each needs a thread."""
MAX_TRIES = 5
DROPPED_CALL_S = 2.0
STOP_TIMEOUT_S = 30.0


class WorkerPool:
    """`InferenceBackend` over worker processes on this machine."""

    def __init__(
        self,
        commands: Sequence[WorkerCommand],
        folder: Path,
        clock: Clock,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> None:
        """`max_in_flight` is how many calls each worker accepts at a time; more are refused."""
        self._workers = [
            WorkerProcess(index, folder, command) for index, command in enumerate(commands)
        ]
        self._clock = clock
        self._max_in_flight = max_in_flight
        self._suspects = Suspects()
        self._unnamed = itertools.count(1)
        self._keepers: list[asyncio.Task[None]] = []

    @property
    def shards(self) -> int:
        """How many workers there are."""
        return len(self._workers)

    @property
    def pids(self) -> list[int | None]:
        """The pid of each worker."""
        return [worker.pid for worker in self._workers]

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(worker.start() for worker in self._workers))
        self._keepers = [
            asyncio.create_task(worker.keep_running(self._blame)) for worker in self._workers
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        # Cancel the restarts first: a process that is just starting would outlive the pool.
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(worker.stop(STOP_TIMEOUT_S) for worker in self._workers))

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        """Return the worker's answer. A call whose worker exits is tried again.

        Raises:
            TimeoutError: no answer in time; the worker continues its work.
            ModelCrashedError: the model makes its worker exit.
            CapacityError: the worker has too many calls in flight.
        """
        worker = self._workers[shard]
        frame = render_request(request)
        with self._suspected(request) as model_id:
            async with asyncio.timeout(timeout_s):
                for _ in range(1 if isinstance(request, DescribeApi) else MAX_TRIES):
                    answer = await self._attempt(worker, model_id, frame)
                    if answer is not None:
                        return answer
        raise ModelCrashedError(messages.MODEL_PROCESS_EXITED)

    @contextmanager
    def _suspected(self, request: Request) -> Iterator[ModelId | None]:
        """Yield the model to blame if the worker exits; a call without one gets its own name."""
        if isinstance(request, Survey | DescribeApi):
            yield None
        elif request.source.target_model:
            yield request.source.model_id
        else:
            target_model = TargetModel(f"call {next(self._unnamed)}")
            model_id = ModelId(request.source.endpoint_name, target_model)
            try:
                yield model_id
            finally:
                self._suspects.clear(model_id)

    async def _attempt(
        self, worker: WorkerProcess, model_id: ModelId | None, frame: Frame
    ) -> Answer | None:
        if model_id is None or not self._suspects.is_suspect(model_id):
            return await self._exchange(worker, model_id, frame)
        self._suspects.refuse_if_barred(model_id, self._clock.monotonic())
        async with worker.trial:
            self._suspects.refuse_if_barred(model_id, self._clock.monotonic())
            # Another call of this model may have been answered while this one waited.
            if self._suspects.is_suspect(model_id):
                worker.on_trial = model_id
                try:
                    return await self._exchange(worker, model_id, frame)
                finally:
                    worker.on_trial = None
        return await self._exchange(worker, model_id, frame)

    async def _exchange(
        self, worker: WorkerProcess, model_id: ModelId | None, frame: Frame
    ) -> Answer | None:
        """Return the answer, or None if the worker exited without one."""
        if worker.in_flight.total() >= self._max_in_flight:
            raise CapacityError(f"too many calls in flight: {self._max_in_flight} on this worker")
        exits = worker.exits
        if model_id is not None:
            worker.in_flight[model_id] += 1
        try:
            answer = parse_answer(await worker.exchange(frame))
        except ConnectionError:
            await self._confirm_exit(worker, exits)
            return None
        except BaseException:
            if model_id is not None:
                worker.unfinished.add(model_id)
            raise
        finally:
            if model_id is not None:
                worker.leave(model_id)
        if model_id is not None:
            self._judge(worker, model_id, answer)
        return answer

    def _judge(self, worker: WorkerProcess, model_id: ModelId, answer: Answer) -> None:
        if isinstance(answer.error, ModelNotReadyError):
            worker.unfinished.add(model_id)
        else:
            worker.unfinished.discard(model_id)
            self._suspects.clear(model_id)

    async def _confirm_exit(self, worker: WorkerProcess, exits: int) -> None:
        try:
            async with asyncio.timeout(DROPPED_CALL_S):
                await worker.wait_for_exit(after=exits)
        except TimeoutError:
            raise ModelyardError("internal error: the worker dropped the call") from None

    def _blame(self, worker: WorkerProcess) -> None:
        in_flight = frozenset(worker.in_flight) | worker.unfinished
        logger.warning(
            "calls were in flight",
            extra={"worker": worker.name, "models": sorted(map(str, in_flight))},
        )
        self._suspects.crashed(in_flight, worker.on_trial, self._clock.monotonic())
