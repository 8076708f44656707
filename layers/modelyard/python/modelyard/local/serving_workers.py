"""How a worker of the local server reaches models: its own and those of the other workers."""

import asyncio
from functools import partial

from modelyard.domain.errors import CapacityError, ModelNotReadyError
from modelyard.domain.ports import Clock
from modelyard.domain.requests import Answer, Invoke, NextPart, Request, Unload
from modelyard.inference.service import InferenceService, UnfinishedCall
from modelyard.inference.workload import QUANTUM_S
from modelyard.local.backends import RemoteWorkers
from modelyard.local.copies import Forwarded
from modelyard.local.processes.pulse import Pulse
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
        pulse: Pulse,
        others: RemoteWorkers,
        clock: Clock,
    ) -> None:
        """`here` is the shard that this process is."""
        self._here = here
        self._service = service
        self._threads = threads
        self._handle = pulse.counting(service.handle)
        self._answer = pulse.counting(service.finish)
        self._others = others
        self._forwarded = Forwarded(clock)
        self._begun: dict[str, asyncio.Future[Answer]] = {}
        """Calls that `respond_now` began, by request id; each is made again at once."""
        self._loop = asyncio.get_running_loop()
        self._next_turns: asyncio.TimerHandle | None = None

    @property
    def shards(self) -> int:
        """How many workers there are."""
        return self._others.shards

    def call_now(self, shard: int, request: Invoke) -> Answer | None:
        """Return the answer of a model that is loaded here and known to be fast."""
        return self.respond_now(request)

    def respond_now(self, request: Invoke) -> Answer | None:
        """Return the answer of this process if it is there at once, else None.

        A call that has to wait, or takes longer than expected, is begun: `respond` and `call` then
        return its answer. It has a thread only when it has its turn: threads that wait would take
        the interpreter from the event loop.
        """
        call = self._service.answer_now(request, may_begin=not self._threads.are_busy)
        if not isinstance(call, UnfinishedCall):
            return call
        begun = self._begun[request.request_id] = self._loop.create_future()
        begun.add_done_callback(lambda _: self._forget_later(request.request_id))
        if not call.turn.has_begun:
            finish = partial(self._loop.call_soon_threadsafe, self._finish, call, begun)
            self._service.when_begun(call, finish)
            self._give_turns_later()
        else:
            self._finish(call, begun)
        return None

    def _finish(self, call: UnfinishedCall, begun: "asyncio.Future[Answer]") -> None:
        """Finish a call in a thread, or give up the turn of one whose client has left."""
        try:
            if begun.cancelled():
                self._threads.start(self._service.abandon, call, is_begun=True)
            else:
                self._threads.start_for(begun, self._answer, call)
        except CapacityError as error:
            if not begun.done():
                begun.set_result(Answer(error=error))

    def _give_turns_later(self) -> None:
        if self._next_turns is None:
            self._next_turns = self._loop.call_later(QUANTUM_S, self._give_turns)

    def _give_turns(self) -> None:
        self._next_turns = None
        if self._service.give_turns():
            self._give_turns_later()

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
        self._loop.call_later(_KEPT_S, self._begun.pop, request_id, None)

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
