"""Route a call to its shard; queue a warm message when the model is not loaded in time."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from modelyard.domain import messages
from modelyard.domain import metrics as metric_table
from modelyard.domain.endpoints import Endpoint, EndpointTable
from modelyard.domain.errors import (
    CapacityError,
    DependencyError,
    ModelError,
    ModelNotReadyError,
    ModelyardError,
)
from modelyard.domain.ports import Clock, Metrics, WarmQueue
from modelyard.domain.requests import (
    Answer,
    CallApi,
    DescribeApi,
    DescribeModel,
    InferenceBackend,
    Invoke,
    Load,
    Request,
    Unload,
)
from modelyard.domain.values import (
    ApiCall,
    HttpResponse,
    Invocation,
    ModelSource,
    Prediction,
    Sample,
    Signature,
    TargetModel,
    Timings,
    WarmRequest,
)
from modelyard.router.parts import call_in_parts
from modelyard.router.rendezvous import rank_shards
from modelyard.sagemaker.statuses import call_status, invoke_status

logger = logging.getLogger(__name__)

NoteCall = Callable[[Invocation | ApiCall, Answer, float], None]
"""Is told of a call, its answer, and how long that took in seconds."""
_MICROSECONDS = 1e6
ANSWER_TIMEOUT_S = 55.0
"""How long a call may take in total: SDKs stop waiting after 60 s and retry."""
CALL_TIMEOUT_S = 300.0
"""How long the class of a Cortex API may take; Cortex itself had no limit."""
PREDICT_TIMEOUT_S = 30.0
"""How long a model may take to predict after a load that took the whole window."""


class Router:
    """Sends calls to the inference side, records their metrics and queues warm messages."""

    def __init__(
        self,
        *,
        endpoints: EndpointTable,
        backend_of: Callable[[str], InferenceBackend],
        warm_queue: WarmQueue,
        metrics: Metrics,
        clock: Clock,
        watchers: Sequence[NoteCall] = (),
    ) -> None:
        """The `watchers` are told of each call, besides metrics and log."""
        self.endpoints = endpoints
        self._watchers = watchers
        self._backend_of = backend_of
        self._warm_queue = warm_queue
        self._metrics = metrics
        self._clock = clock

    def invoke_now(self, invocation: Invocation) -> Prediction | None:
        """Return the model's prediction if it can be had without an event loop, else None.

        Raises:
            As `invoke`.
        """
        started_at = self._clock.monotonic()
        endpoint = self.endpoints.find(invocation.endpoint_name)
        request = _invoke(endpoint, invocation)
        try:
            answer = self._ask_shards_now(request)
        except ModelyardError as error:
            answer = _failed(error)
        if answer is None:
            return None
        self._metrics.record(*answer.samples)
        self._note(invocation, answer, _status(answer), started_at)
        if isinstance(answer.error, ModelNotReadyError):
            self._warm(request.source, answer.error)
        if answer.error is not None:
            raise answer.error
        return answer.prediction

    async def invoke(self, invocation: Invocation, timeout_s: float | None = None) -> Prediction:
        """Return the model's prediction, within `timeout_s` if it is given.

        Raises:
            UnknownEndpointError: no endpoint has this name.
            ModelNotReadyError: the model is loading; a warm message was queued.
            ModelyardError: the error in the answer of the inference side.
        """
        started_at = self._clock.monotonic()
        endpoint = self.endpoints.find(invocation.endpoint_name)
        request = _invoke(endpoint, invocation, timeout_s)
        limit_s = timeout_s or answer_timeout_s(request.window_s)
        answer = await self._call(request.source, request, limit_s)
        self._note(invocation, answer, _status(answer), started_at)
        await self._raise_error(request.source, answer)
        assert answer.prediction is not None
        return answer.prediction

    async def call(self, call: ApiCall) -> HttpResponse:
        """Return the response of the class of a Cortex API.

        Raises:
            UnknownEndpointError: no API has this name.
            ModelyardError: the error in the answer; ModelError if there was no answer in time.
        """
        started_at = self._clock.monotonic()
        endpoint = self.endpoints.find(call.endpoint_name)
        source = endpoint.source(call.target_model)
        window_s = endpoint.sync_window_s
        request = CallApi(source, call.query, call.headers, call.body, window_s, call.request_id)
        answer = await self._call(source, request, CALL_TIMEOUT_S)
        status = answer.response.status if answer.response else call_status(answer.error)
        self._note(call, answer, status, started_at)
        await self._raise_error(source, answer)
        assert answer.response is not None
        return answer.response

    async def describe(self, endpoint_name: str, timeout_s: float) -> HttpResponse:
        """Return the summary of a Cortex API. The first call waits until the class is initialised.

        Raises:
            ConfigurationError: the class cannot be initialised.
            ModelyardError: as `call`.
        """
        source = self.endpoints.find(endpoint_name).source(TargetModel(""))
        answer = await self._call(source, DescribeApi(endpoint_name), timeout_s)
        await self._raise_error(source, answer)
        assert answer.response is not None
        return answer.response

    async def load(self, endpoint_name: str, target_model: TargetModel, *, fresh: bool) -> None:
        """Load a model within the endpoint's window.

        Raises:
            ModelAlreadyLoadedError: `fresh` is set and the model is loaded already.
            ModelyardError: as `invoke`.
        """
        endpoint = self.endpoints.find(endpoint_name)
        window_s = endpoint.sync_window_s
        source = endpoint.source(target_model)
        request = Load(source, window_s, fresh)
        answer = await self._call(source, request, answer_timeout_s(window_s))
        await self._raise_error(source, answer)

    async def signature(self, endpoint_name: str, target_model: TargetModel) -> Signature:
        """Return what a model takes and returns. It is loaded within the endpoint's window.

        Raises:
            ModelyardError: as `invoke`.
        """
        endpoint = self.endpoints.find(endpoint_name)
        source = endpoint.source(target_model)
        request = DescribeModel(source, endpoint.sync_window_s)
        answer = await self._call(source, request, answer_timeout_s(endpoint.sync_window_s))
        await self._raise_error(source, answer)
        assert answer.signature is not None
        return answer.signature

    async def unload(self, endpoint_name: str, target_model: TargetModel) -> None:
        """Unload a model.

        Raises:
            ModelNotLoadedError: the model is not loaded.
        """
        endpoint = self.endpoints.find(endpoint_name)
        source = endpoint.source(target_model)
        timeout_s = answer_timeout_s(endpoint.sync_window_s)
        await self._raise_error(source, await self._call(source, Unload(source), timeout_s))

    async def _call(self, source: ModelSource, request: Request, timeout_s: float) -> Answer:
        try:
            answer = await self._ask_shards(source, request, timeout_s)
        except TimeoutError:
            return _failed(ModelError(messages.MODEL_TIMED_OUT, original_status=0))
        except ModelyardError as error:
            return _failed(error)
        if answer.samples:
            self._metrics.record(*answer.samples)
        return answer

    async def _ask_shards(self, source: ModelSource, request: Request, timeout_s: float) -> Answer:
        """Call the model's first shard, or its second if the first accepts no more calls."""
        backend = self._backend_of(source.endpoint_name)
        first, *others = rank_shards(source.model_id, backend.shards)
        try:
            return await _ask(backend, first, request, timeout_s)
        except CapacityError:
            if not others:
                raise
            return await _ask(backend, others[0], request, timeout_s)

    def _ask_shards_now(self, request: Invoke) -> Answer | None:
        """Do what `_ask_shards` does if that needs no event loop, else return None."""
        backend = self._backend_of(request.source.endpoint_name)
        first, *others = rank_shards(request.source.model_id, backend.shards)
        try:
            return backend.call_now(first, request)
        except CapacityError:
            if not others:
                raise
            return backend.call_now(others[0], request)

    async def _raise_error(self, asked: ModelSource, answer: Answer) -> None:
        if isinstance(answer.error, ModelNotReadyError):
            await asyncio.to_thread(self._warm, asked, answer.error)
        if answer.error is not None:
            raise answer.error

    def _warm(self, asked: ModelSource, error: ModelNotReadyError) -> None:
        """Send a warm message; this waits for the queue."""
        # The class of a Cortex API chooses its models; the error names the one that is missing.
        target_model = TargetModel(error.target_model) or asked.target_model
        request = WarmRequest(asked.endpoint_name, target_model)
        try:
            self._warm_queue.send(request)
        except (
            DependencyError
        ) as error:  # the load continues; only its repetition after a crash is lost
            logger.error("warm message lost", extra={"target": target_model, "reason": str(error)})

    def _note(
        self, call: Invocation | ApiCall, answer: Answer, status: int, started_at: float
    ) -> None:
        """Record the metrics of a call, write its log line, and tell the watchers."""
        elapsed_s = self._clock.monotonic() - started_at
        self._record(call.endpoint_name, answer, status, elapsed_s)
        _log(call, answer, elapsed_s)
        for watch in self._watchers:
            watch(call, answer, elapsed_s)

    def _record(self, endpoint_name: str, answer: Answer, status: int, elapsed_s: float) -> None:
        values = {
            metric_table.INVOCATIONS.name: 1.0,
            metric_table.INVOCATION_4XX_ERRORS.name: float(400 <= status < 500),
            metric_table.INVOCATION_5XX_ERRORS.name: float(status >= 500),
            metric_table.INVOCATION_MODEL_ERRORS.name: float(isinstance(answer.error, ModelError)),
            metric_table.NOT_READY.name: float(isinstance(answer.error, ModelNotReadyError)),
        }
        if answer.error is None:
            values |= _latencies(answer.timings, elapsed_s)
        self._metrics.record(
            *[Sample(name, value, endpoint_name) for name, value in values.items()]
        )


def _invoke(endpoint: Endpoint, invocation: Invocation, window_s: float | None = None) -> Invoke:
    source = endpoint.source(invocation.target_model)
    window_s = window_s or endpoint.sync_window_s
    patience_s = window_s * invocation.retry.attempts_left
    return Invoke(source, invocation.payload, window_s, patience_s, invocation.request_id)


def answer_timeout_s(window_s: float) -> float:
    """Return how long to wait for the answer of the inference side, in seconds."""
    return max(ANSWER_TIMEOUT_S, window_s + PREDICT_TIMEOUT_S)


async def _ask(backend: InferenceBackend, shard: int, request: Request, timeout_s: float) -> Answer:
    if isinstance(request, Invoke) and request.payload.takes_parts:
        return await call_in_parts(backend, shard, request, timeout_s)
    return await backend.call(shard, request, timeout_s)


def _status(answer: Answer) -> int:
    return 200 if answer.error is None else invoke_status(answer.error).status


def _failed(error: ModelyardError) -> Answer:
    return Answer(error=error, timings=Timings(cache_hit=False))


def _latencies(timings: Timings, elapsed_s: float) -> dict[str, float]:
    values = {
        metric_table.MODEL_CACHE_HIT.name: float(timings.cache_hit),
        metric_table.MODEL_LATENCY.name: timings.predict_s * _MICROSECONDS,
        metric_table.OVERHEAD_LATENCY.name: (elapsed_s - timings.predict_s) * _MICROSECONDS,
    }
    if not timings.cache_hit:
        values[metric_table.MODEL_LOADING_WAIT_TIME.name] = timings.wait_s * _MICROSECONDS
    return values


def _log(invocation: Invocation | ApiCall, answer: Answer, elapsed_s: float) -> None:
    timings = answer.timings
    logger.info(
        "invocation",
        extra={
            "endpoint": invocation.endpoint_name,
            "target": invocation.target_model,
            "outcome": outcome(answer),
            "total_ms": round(elapsed_s * 1e3, 2),
            "wait_ms": round(timings.wait_s * 1e3, 2),
            "predict_ms": round(timings.predict_s * 1e3, 2),
            **({} if timings.cache_hit else _parts_of_wait(timings)),
            "request_id": invocation.request_id,
            **({"reason": answer.error.message} if answer.error is not None else {}),
        },
    )


def _parts_of_wait(timings: Timings) -> dict[str, float]:
    return {
        "stage_ms": round(timings.stage_s * 1e3, 2),
        "load_ms": round(timings.load_s * 1e3, 2),
    }


def outcome(answer: Answer) -> str:
    """Return `hit`, `miss` or what went wrong."""
    if answer.error is not None:
        return type(answer.error).__name__
    if answer.response is not None and answer.response.status >= 400:
        return f"status {answer.response.status}"
    return "hit" if answer.timings.cache_hit else "miss"
