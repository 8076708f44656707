"""How a worker of the local server reaches models: its own and those of the other workers."""

import asyncio

from modelyard.domain.errors import CapacityError, ModelNotReadyError
from modelyard.domain.ports import Clock
from modelyard.domain.requests import Answer, Invoke, NextPart, Request, Unload
from modelyard.inference.service import InferenceService, UnfinishedCall
from modelyard.local.backends import RemoteWorkers
from modelyard.local.copies import Forwarded
from modelyard.local.processes.pulse import Handle
from modelyard.local.threads import CallThreads

_KEPT_S = 1.0
"""How long the answer of a call that was begun is kept for the call that is to get it."""


class ServingWorkers:
    """`InferenceBackend` of the multi-model endpoints, from inside one of the workers.

    Each model belongs to one worker. Another one that is called for it often loads a copy.
    """

    def __init__(
        self,
        here: int,
        service: InferenceService,
        threads: CallThreads,
        handle: Handle,
        others: RemoteWorkers,
        clock: Clock,
    ) -> None:
        """`here` is the shard that this process is; `handle` is that of its service."""
        self._here = here
        self._service = service
        self._threads = threads
        self._handle = handle
        self._others = others
        self._forwarded = Forwarded(clock)
        self._begun: dict[str, asyncio.Future[Answer]] = {}
        """Calls that `respond_now` began, by request id; each is made again at once."""

    @property
    def shards(self) -> int:
        """How many workers there are."""
        return self._others.shards

    def call_now(self, shard: int, request: Invoke) -> Answer | None:
        """Return the answer of a model that is loaded here and known to be fast."""
        return self.respond_now(request)

    def respond_now(self, request: Invoke) -> Answer | None:
        """Return the answer of this process if it is there at once, else None.

        A call that was begun and takes longer than expected is finished in a thread; `respond` and
        `call` then return its answer.
        """
        answer = self._service.answer_now(request, may_begin=not self._threads.are_busy)
        if isinstance(answer, UnfinishedCall):
            begun = self._threads.start(lambda call: call.finish(), answer)
            self._begun[request.request_id] = begun
            begun.add_done_callback(lambda _: self._forget_later(request.request_id))
            return None
        return answer

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        """Return the shard's answer: from this process, or from another worker.

        Raises:
            TimeoutError: no answer in time; the work continues.
            CapacityError: the shard accepts no more calls.
        """
        if isinstance(request, Unload):
            return await self._unload(request, timeout_s)
        if isinstance(request, Invoke) and request.request_id in self._begun:
            shard = self._here
        if shard != self._here:
            return await self._call_other(shard, request, timeout_s)
        async with asyncio.timeout(timeout_s):
            return await self.respond(request)

    async def respond(self, request: Request) -> Answer:
        """Return the answer of this process, from one of its threads."""
        if isinstance(request, Invoke):
            begun = self._begun.pop(request.request_id, None)
            if begun is not None:
                return await begun
        return await self._threads.run(
            self._handle, request, is_begun=isinstance(request, NextPart)
        )

    def _forget_later(self, request_id: str) -> None:
        """Drop the answer of a call that is not made again, because its client has left."""
        asyncio.get_running_loop().call_later(_KEPT_S, self._begun.pop, request_id, None)

    async def _call_other(self, shard: int, request: Request, timeout_s: float) -> Answer:
        if isinstance(request, Invoke) and self._has_or_gets_copy(request):
            async with asyncio.timeout(timeout_s):
                answer = await self._threads.run(self._service.answer_from_copy, request)
            if not isinstance(answer.error, CapacityError | ModelNotReadyError):
                return answer
            self._forwarded.refused(request.source.model_id)
        answer = await self._others.call(shard, request, timeout_s)
        if isinstance(request, Invoke) and answer.error is None and answer.timings.cache_hit:
            self._forwarded.count(request.source.model_id)
        return answer

    def _has_or_gets_copy(self, request: Invoke) -> bool:
        source = request.source
        if request.payload.takes_parts:  # further parts are asked of the model's own worker
            return False
        if self._service.holds(source):
            return True
        return source.keep_loaded and self._forwarded.is_worth_a_copy(source.model_id)

    async def _unload(self, request: Unload, timeout_s: float) -> Answer:
        """Unload a model from every worker; return an error if none had it."""
        async with asyncio.timeout(timeout_s):
            here = await self.respond(request)
        others = (
            self._others.call(other, request, timeout_s)
            for other in range(self.shards)
            if other != self._here
        )
        outcomes = [here, *await asyncio.gather(*others, return_exceptions=True)]
        answers = [answer for answer in outcomes if isinstance(answer, Answer)]
        return next((answer for answer in answers if answer.error is None), here)
