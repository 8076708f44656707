"""What a Cortex API does: call its class, load and unload its models, describe itself.

The class runs in a pool of `threads_per_process` threads, because it may rely on never running
more often at once. The model that a query names (`?model=...&version=...`) is loaded before the
class gets a thread, so that a cold model does not block one.
"""

import json
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qsl, urlencode

from modelyard.cortex.clients.call_scope import CallScope, entered
from modelyard.cortex.clients.models import ClientModels
from modelyard.cortex.user_class.request_view import ResponseInParts
from modelyard.domain.errors import (
    CapacityError,
    InvalidRequestError,
    ModelAlreadyLoadedError,
    ModelError,
    ModelNotLoadedError,
    ModelyardError,
    UnsupportedOperationError,
)
from modelyard.domain.ports import Clock, Resident
from modelyard.domain.requests import (
    Answer,
    CallApi,
    DescribeApi,
    DescribeModel,
    Invoke,
    Load,
    NextPart,
    Request,
    Survey,
    Unload,
)
from modelyard.domain.values import (
    HttpResponse,
    ModelSource,
    Payload,
    Prediction,
    TargetModel,
    Timings,
)
from modelyard.inference.answering import answered
from modelyard.inference.buffered_metrics import BufferedMetrics
from modelyard.inference.open_outputs import OpenOutputs, Parts
from modelyard.inference.residence.residence import Residence

logger = logging.getLogger(__name__)

TURN_TIMEOUT_S = 55.0
"""How many seconds a call waits for a thread of the class."""
MESSAGE = "make a prediction by sending a POST request with a JSON body to this endpoint"

Result = TypeVar("Result")
Afterwards = Callable[[], None]
Model = tuple[str | None, str | None]
"""Name and version of a model; None for what a request leaves out."""


class ApiClass(Protocol):
    """The user's class, constructed and ready for calls."""

    def answer(
        self, query: str, headers: tuple[tuple[str, str], ...], body: bytes
    ) -> tuple[HttpResponse, Afterwards | None]:
        """Return the reply of `predict`, and `post_predict` if there is one."""
        ...


class RealtimeApi:
    """Answers the requests for one API; called from many threads at once."""

    def __init__(
        self,
        *,
        construct_class: Callable[[], ApiClass],
        models: ClientModels[Resident] | None,
        residence: Residence[Resident],
        metrics: BufferedMetrics,
        clock: Clock,
        threads: int,
    ) -> None:
        self._construct_class = construct_class
        self._models = models
        self._residence = residence
        self._metrics = metrics
        self._clock = clock
        self._threads = threads
        self._class_threads = ThreadPoolExecutor(threads, thread_name_prefix="predict")
        self._class: ApiClass | None = None
        self._failure: ModelyardError | None = None
        self._looks_ahead = True
        self._later: set[Future[None]] = set()
        self._outputs = OpenOutputs(clock)

    def start(self) -> None:
        """Construct the class; if that fails, every request is answered with the error."""
        try:
            self._class = self._class_threads.submit(self._construct_class).result()
        except ModelyardError as error:
            logger.error("cannot construct the class", extra={"reason": error.message})
            self._failure = error

    def refresh(self) -> None:
        """Unload versions that are no longer in the repository; never raises."""
        if self._models is None:
            return
        try:
            self._models.refresh()
        except Exception:
            logger.exception("cannot refresh the models")

    def finish(self, timeout_s: float) -> None:
        """Wait for work that runs after its call, as `post_predict` does, at most `timeout_s`."""
        wait(list(self._later), timeout_s)

    def finish_loads(self, timeout_s: float) -> None:
        """Wait until no load is running, at most `timeout_s`."""
        self._residence.wait_for_loads(timeout_s)

    def handle(self, request: Request) -> Answer:
        """Return the answer; errors are part of it."""
        return answered(self._handle, request, self._metrics)

    def _handle(self, request: Request) -> Answer:
        if self._failure is not None:
            raise self._failure
        match request:
            case CallApi(_, query, headers, body, window_s, _):
                return _only(self._answers(query, headers, body, window_s, window_s))
            case Invoke() | NextPart():
                return self._invoke(request)
            case Load():
                return self._load(request)
            case Unload(source):
                return self._unload(source)
            case Survey(endpoint_name, repository):
                return Answer(residences=tuple(self._residence.survey(endpoint_name, repository)))
            case DescribeApi():
                return Answer(response=self._summary())
            case DescribeModel():
                raise UnsupportedOperationError("the class of a Cortex API uses its models")

    def _answers(
        self,
        query: str,
        headers: tuple[tuple[str, str], ...],
        body: bytes,
        window_s: float,
        patience_s: float,
        *,
        takes_parts: bool = False,
    ) -> Parts:
        """Yield the answer of the class; in parts if it makes some and the caller takes them."""
        assert self._class is not None
        asked_at = self._clock.monotonic()
        with self._scope(window_s, patience_s) as scope:
            if scope is not None:
                self._look_ahead(scope, query)
            call = partial(self._class.answer, query, headers, body)
            reply, afterwards = self._take_turn(call)
            if isinstance(reply, ResponseInParts) and takes_parts:
                yield from self._further_parts(reply, self._timings(scope, asked_at))
                reply = HttpResponse(reply.status)
            elif isinstance(reply, ResponseInParts):
                reply = self._take_turn(partial(_finished, reply.collected))
        if afterwards is not None:
            self._do_later(afterwards)
        if scope is not None and _is_success(reply) and not scope.used_all:
            # The class uses the parameters `model` and `version` for something else.
            self._looks_ahead = False
        yield Answer(response=reply, timings=self._timings(scope, asked_at))

    def _further_parts(self, reply: ResponseInParts, timings: Timings) -> Parts:
        try:
            yield Answer(response=reply, has_more=True, timings=timings)
            while part := self._take_turn(partial(_finished, partial(next, reply.parts, None))):
                yield Answer(response=HttpResponse(reply.status, body=part), has_more=True)
        finally:
            self._take_turn(partial(_finished, reply.parts.close))

    def _timings(self, scope: CallScope[Resident] | None, asked_at: float) -> Timings:
        wait_s = scope.wait_s if scope is not None else 0.0
        return Timings(
            cache_hit=scope is None or scope.cache_hit,
            wait_s=wait_s,
            predict_s=self._clock.monotonic() - asked_at - wait_s,
        )

    @contextmanager
    def _scope(self, window_s: float, patience_s: float) -> Iterator[CallScope[Resident] | None]:
        if self._models is None:
            yield None
            return
        scope = self._models.new_scope(window_s, patience_s)
        try:
            with entered(scope):
                yield scope
        finally:
            scope.close()

    def _look_ahead(self, scope: CallScope[Resident], query: str) -> None:
        """Load the model that the query names, if any; errors of the model are left to the class.

        Raises:
            ModelNotReadyError, CapacityError, DependencyError: the model is not available now.
        """
        assert self._models is not None
        if not self._looks_ahead:
            return
        asked = dict(parse_qsl(query))
        name, version = asked.get("model"), asked.get("version")
        try:
            self._models.look_ahead(scope, name, version)
        except (InvalidRequestError, ModelError):
            return

    def _take_turn(self, work: Callable[[], Result]) -> Result:
        """Return what the work returns, which is done in a thread of the class."""
        turn = self._class_threads.submit(copy_context().run, work)
        try:
            return turn.result(TURN_TIMEOUT_S)
        except TimeoutError:
            if turn.cancel():
                raise CapacityError(
                    f"all {self._threads} threads of the class were busy for"
                    f" {TURN_TIMEOUT_S:.0f} s: raise threads_per_process"
                ) from None
        return turn.result()

    def _do_later(self, afterwards: Afterwards) -> None:
        work = self._class_threads.submit(copy_context().run, afterwards)
        self._later.add(work)
        work.add_done_callback(self._later.discard)

    def _invoke(self, request: Invoke | NextPart) -> Answer:
        if isinstance(request, NextPart):
            return self._outputs.answer(request.request_id, request.is_abandoned)
        answers = self._predictions(request)
        if request.payload.takes_parts:
            return self._outputs.begin(request.request_id, answers)
        return _only(answers)

    def _predictions(self, request: Invoke) -> Parts:
        """Yield the answer to InvokeEndpoint: the target is `name`, `name/version`, or empty."""
        payload = request.payload
        name, version = _model(request.source.target_model)
        if self._models is not None and name is not None:
            self._models.index.candidates(name, version)
        named = {"model": name, "version": version}
        asked = {key: value for key, value in named.items() if value is not None}
        call = urlencode(asked), _headers(payload), payload.body
        times = request.window_s, request.patience_s
        answers = self._answers(*call, *times, takes_parts=payload.takes_parts)
        with closing(answers):
            for answer in answers:
                assert answer.response is not None
                yield replace(answer, prediction=_prediction(answer.response), response=None)

    def _load(self, request: Load) -> Answer:
        models = self._configured_models()
        scope = models.new_scope(request.window_s, request.window_s)
        try:
            models.hold_in(scope, *_model(request.source.target_model))
            if scope.cache_hit and request.fresh:
                target = request.source.target_model
                raise ModelAlreadyLoadedError(f"Model {target} is already loaded.")
        finally:
            scope.close()
        return Answer()

    def _unload(self, source: ModelSource) -> Answer:
        targets = self._configured_models().index.candidates(*_model(source.target_model))
        unloaded = [self._unload_version(source, target) for target in targets]
        if not any(unloaded):
            raise ModelNotLoadedError(f"Model not found: {source.target_model} is not loaded.")
        return Answer()

    def _unload_version(self, source: ModelSource, target: TargetModel) -> bool:
        return self._residence.unload(ModelSource(source.endpoint_name, target, source.repository))

    def _configured_models(self) -> ClientModels[Resident]:
        if self._models is None:
            raise UnsupportedOperationError(
                "this API has no configured models: its class loads them itself"
            )
        return self._models

    def _summary(self) -> HttpResponse:
        summary: dict[str, Any] = {"message": MESSAGE}
        if self._models is not None:
            summary["model_metadata"] = self._models.index.metadata()
        headers = (("content-type", "application/json"),)
        return HttpResponse(200, headers, json.dumps(summary).encode())


def _only(answers: Parts) -> Answer:
    """Return the answer of a call whose caller takes no parts."""
    with closing(answers):
        return next(answers)


def _finished(work: Callable[[], Result]) -> Result:
    """Return what work with what `predict` yielded returns.

    Raises:
        ModelError: the class failed.
    """
    try:
        return work()
    except ModelyardError:
        raise
    except BaseException as error:  # the class may raise anything
        logger.exception("predict failed")
        raise ModelError("internal server error", original_status=500) from error


def _model(target_model: TargetModel) -> Model:
    name, _, version = target_model.rpartition("/")
    is_version = version.isdecimal() or version == "latest"
    return (name, version) if name and is_version else (target_model or None, None)


def _headers(payload: Payload) -> tuple[tuple[str, str], ...]:
    named = (
        ("content-type", payload.content_type),
        ("accept", payload.accept),
        ("x-amzn-sagemaker-custom-attributes", payload.custom_attributes),
    )
    return tuple((name, value) for name, value in named if value is not None)


def _is_success(reply: HttpResponse) -> bool:
    return 200 <= reply.status < 300


def _prediction(reply: HttpResponse) -> Prediction:
    if not _is_success(reply):
        raise ModelError(reply.body.decode(errors="replace"), original_status=reply.status)
    headers = {name.lower(): value for name, value in reply.headers}
    attributes = headers.get("x-amzn-sagemaker-custom-attributes")
    return Prediction(reply.body, headers.get("content-type"), attributes)
