"""The invoke use case on the public side: choose the shard, ask it, turn "too slow" into a warm."""

import asyncio
import logging
from typing import Protocol

from modelyard.errors import (
    CapacityError,
    DependencyError,
    ModelError,
    ModelNotReadyError,
    ModelyardError,
)
from modelyard.ports import Clock, Metrics, WarmQueue
from modelyard.routing.endpoints import Endpoint, EndpointTable
from modelyard.routing.rendezvous import rank_shards
from modelyard.types import (
    Invocation,
    ModelSource,
    Prediction,
    Sample,
    TargetModel,
    Timings,
    WarmRequest,
)
from modelyard.wire.envelope import Answer, Invoke, Load, Request, Unload
from modelyard.wire.statuses import invoke_status

logger = logging.getLogger(__name__)

_MICROSECONDS = 1e6
ANSWER_TIMEOUT_S = 55.0
"""How long a call may take in all: SDKs hang up after 60 s, and then try again."""
PREDICT_TIMEOUT_S = 30.0
"""How long a model may at least take to answer after a load that used up the window."""

_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the"
    " latency metrics of the model and the time it takes to answer."
)


class InferenceBackend(Protocol):
    """How the router reaches the inference side."""

    @property
    def shards(self) -> int:
        """How many shards there are."""
        ...

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        """Return the shard's answer.

        Raises:
            TimeoutError: no answer in time; the shard goes on with what it began.
            ModelCrashedError: the model takes its process down.
            CapacityError: the shard takes no more calls.
        """
        ...


class Router:
    """Answers invocations by way of an inference backend."""

    def __init__(
        self,
        *,
        endpoints: EndpointTable,
        backend: InferenceBackend,
        warm_queue: WarmQueue,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.endpoints = endpoints
        self._backend = backend
        self._warm_queue = warm_queue
        self._metrics = metrics
        self._clock = clock

    async def invoke(self, invocation: Invocation) -> Prediction:
        """Return the model's prediction.

        Raises:
            UnknownEndpointError: no such endpoint.
            ModelNotReadyError: it is being loaded; a warm message is on the queue.
            ModelyardError: whatever the inference side answered.
        """
        started_at = self._clock.monotonic()
        endpoint = self.endpoints.find(invocation.endpoint_name)
        answer = await self._ask(endpoint, invocation)
        elapsed_s = self._clock.monotonic() - started_at
        self._record(endpoint.name, answer, elapsed_s)
        _log(invocation, answer, elapsed_s)
        if isinstance(answer.error, ModelNotReadyError):
            await self._warm(endpoint.name, invocation.target_model)
        if answer.error is not None:
            raise answer.error
        assert answer.prediction is not None
        return answer.prediction

    async def load(self, endpoint_name: str, target_model: TargetModel, *, fresh: bool) -> None:
        """Load a model within the endpoint's window; with `fresh`, loaded already is an error.

        Raises:
            ModelAlreadyLoadedError: `fresh` and it is loaded.
            ModelyardError: as `invoke`.
        """
        endpoint = self.endpoints.find(endpoint_name)
        window_s = endpoint.sync_window_s
        source = endpoint.source(target_model)
        answer = await self._call(source, Load(source, window_s, fresh), window_s)
        if isinstance(answer.error, ModelNotReadyError):
            await self._warm(endpoint.name, target_model)
        if answer.error is not None:
            raise answer.error

    async def unload(self, endpoint_name: str, target_model: TargetModel) -> None:
        """Take a model out of memory.

        Raises:
            ModelNotLoadedError: it is not loaded.
        """
        endpoint = self.endpoints.find(endpoint_name)
        source = endpoint.source(target_model)
        answer = await self._call(source, Unload(source), endpoint.sync_window_s)
        if answer.error is not None:
            raise answer.error

    async def _ask(self, endpoint: Endpoint, invocation: Invocation) -> Answer:
        window_s = endpoint.sync_window_s
        patience_s = window_s * invocation.retry.attempts_left
        source = endpoint.source(invocation.target_model)
        request = Invoke(source, invocation.payload, window_s, patience_s)
        return await self._call(source, request, window_s)

    async def _call(self, source: ModelSource, request: Request, window_s: float) -> Answer:
        try:
            answer = await self._ask_shards(source, request, answer_timeout_s(window_s))
        except TimeoutError:
            return _failed(ModelError(_TIMED_OUT, original_status=0))
        except ModelyardError as error:
            return _failed(error)
        for sample in answer.samples:
            self._metrics.record(sample)
        return answer

    async def _ask_shards(self, source: ModelSource, request: Request, timeout_s: float) -> Answer:
        """Ask the model's shard, or its second choice when the first takes no more calls."""
        first, *others = rank_shards(source.model_id, self._backend.shards)
        try:
            return await self._backend.call(first, request, timeout_s)
        except CapacityError:
            if not others:
                raise
            return await self._backend.call(others[0], request, timeout_s)

    async def _warm(self, endpoint_name: str, target_model: TargetModel) -> None:
        request = WarmRequest(endpoint_name, target_model)
        try:
            await asyncio.to_thread(self._warm_queue.send, request)
        except DependencyError as error:  # the load goes on; only its insurance is missing
            logger.error("warm message lost", extra={"target": target_model, "reason": str(error)})

    def _record(self, endpoint_name: str, answer: Answer, elapsed_s: float) -> None:
        status = 200 if answer.error is None else invoke_status(answer.error).status
        values = {
            "Invocations": 1.0,
            "Invocation4XXErrors": float(400 <= status < 500),
            "Invocation5XXErrors": float(status >= 500),
            "InvocationModelErrors": float(isinstance(answer.error, ModelError)),
        }
        if answer.error is None:
            values |= _latencies(answer.timings, elapsed_s)
        for name, value in values.items():
            self._metrics.record(Sample(name, value, endpoint_name))


def answer_timeout_s(window_s: float) -> float:
    """Return how long the inference side gets for an answer."""
    return max(ANSWER_TIMEOUT_S, window_s + PREDICT_TIMEOUT_S)


def _failed(error: ModelyardError) -> Answer:
    return Answer(error=error, timings=Timings(cache_hit=False))


def _latencies(timings: Timings, elapsed_s: float) -> dict[str, float]:
    values = {
        "ModelCacheHit": float(timings.cache_hit),
        "ModelLatency": timings.predict_s * _MICROSECONDS,
        "OverheadLatency": (elapsed_s - timings.predict_s) * _MICROSECONDS,
    }
    if not timings.cache_hit:
        values["ModelLoadingWaitTime"] = timings.wait_s * _MICROSECONDS
    return values


def _log(invocation: Invocation, answer: Answer, elapsed_s: float) -> None:
    timings = answer.timings
    logger.info(
        "invocation",
        extra={
            "endpoint": invocation.endpoint_name,
            "target": invocation.target_model,
            "outcome": _outcome(answer),
            "total_ms": round(elapsed_s * 1e3, 2),
            "wait_ms": round(timings.wait_s * 1e3, 2),
            "predict_ms": round(timings.predict_s * 1e3, 2),
            "request_id": invocation.request_id,
            **({"reason": answer.error.message} if answer.error is not None else {}),
        },
    )


def _outcome(answer: Answer) -> str:
    if answer.error is not None:
        return type(answer.error).__name__
    return "hit" if answer.timings.cache_hit else "miss"
