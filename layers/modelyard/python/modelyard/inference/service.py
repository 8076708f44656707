"""The requests that a worker answers: invoke, load, unload and survey models."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace

from modelyard.domain import requests
from modelyard.domain.errors import (
    CapacityError,
    ModelAlreadyLoadedError,
    ModelEndedError,
    ModelNotLoadedError,
    ModelyardError,
    UnsupportedOperationError,
)
from modelyard.domain.ports import Clock, Predictor
from modelyard.domain.requests import (
    Answer,
    DescribeModel,
    Invoke,
    Load,
    NextPart,
    Request,
    Survey,
    Unload,
)
from modelyard.domain.values import ModelId, ModelSource, Payload, Prediction, Timings
from modelyard.inference.answering import answered, predicted
from modelyard.inference.body_budget import SMALL_BODY_BYTES, BodyBudget
from modelyard.inference.buffered_metrics import BufferedMetrics
from modelyard.inference.guests.guest_predictor import GuestCall, GuestPredictor
from modelyard.inference.open_outputs import OpenOutputs, Parts
from modelyard.inference.residence.model_cache import LoadedModel
from modelyard.inference.residence.residence import Residence
from modelyard.inference.workload import Turn, Workload

PREDICT_LIMIT_S = 60.0
"""How long a prediction may take at least: longer than callers wait whose window is short."""
BRIEF_S = 0.004
"""How long an event loop waits for a guest whose last calls took half of it at most."""
PREDICT_AFTER_WINDOW_S = 35.0
"""How much longer than its window a call may take; callers wait for 30 s of it."""
GUEST_COST_S = 0.005
"""How long a call of a guest is expected to take at least: nobody knows what its code does next."""
_HIT = Timings()


@dataclass(frozen=True, slots=True)
class UnfinishedCall:
    """A call of a loaded model that is not answered yet.

    Once its turn has begun, `finish` or `abandon` of the service must be called, in a thread that
    may wait.
    """

    request: Invoke
    model: LoadedModel[Predictor]
    turns: Workload
    turn: Turn
    guest_call: GuestCall | None = None
    """Set if a guest answers it already; then it may not be abandoned."""


class InferenceService:
    """Answers requests about the models of one worker. Safe to share between threads."""

    def __init__(
        self,
        residence: Residence[Predictor],
        metrics: BufferedMetrics,
        clock: Clock,
        processors: int,
    ) -> None:
        """`processors` is how many of the machine's processors this process may use."""
        self._residence = residence
        self._metrics = metrics
        self._clock = clock
        self._bodies = BodyBudget()
        self._workload = Workload(processors, clock)
        self._guests = Workload(processors + 1, clock, is_here=False)
        """A guest computes nothing until the answer before was passed on: one more fills that."""
        self._outputs = OpenOutputs(clock)

    def handle(self, request: Request) -> Answer:
        """Return the answer to a request. Errors are returned in it, never raised."""
        return answered(self._handle, request, self._metrics)

    def answer_from_copy(self, request: Invoke) -> Answer:
        """Return the answer of a model that belongs to another worker.

        It is loaded into free memory only: CapacityError is the answer when there is none.
        """
        return answered(lambda _: self._invoke(request, as_copy=True), request, self._metrics)

    def holds(self, source: ModelSource) -> bool:
        """Return whether a model is loaded."""
        return self._residence.is_loaded(source.model_id)

    def answer_now(self, request: Invoke, *, may_begin: bool) -> Answer | UnfinishedCall | None:
        """Return the answer of a loaded model if it is known to be fast, else the unfinished call.

        None is returned if the model is not loaded. An event loop may call this: it waits only for
        a guest, and only a few milliseconds. Without `may_begin`, guests are not called. A call
        that would have to wait too long for the processor is refused.
        """
        model = self._residence.lease_loaded(request.source)
        if model is None:
            return None
        call: UnfinishedCall | None = None
        try:
            body_bytes = len(request.payload.body)
            is_fast = body_bytes <= SMALL_BODY_BYTES and model.speed.is_fast_for(body_bytes)
            guest = model.resident if isinstance(model.resident, GuestPredictor) else None
            if guest is None and is_fast:
                return answered(lambda _: self._answer(model, request), request, self._metrics)
            if request.payload.takes_parts:
                return None
            turns = self._turns_of(model)
            turn = turns.queue(model, _cost_s(model, body_bytes))
            call = UnfinishedCall(request, model, turns, turn)
            if guest is not None and is_fast and may_begin and turn.has_begun:
                began = self._begin(guest, request)
                if began is not None:
                    call = UnfinishedCall(request, model, turns, turn, began)
                    return self.finish(call) if began.is_answered(BRIEF_S) else call
            return call
        except CapacityError as error:
            return Answer(error=error)
        finally:
            if call is None:
                self._residence.release(model, request.source)

    def finish(self, call: UnfinishedCall) -> Answer:
        """Return the answer to a call that a guest answers, or whose turn has begun."""

        def finish(_: Request) -> Answer:
            try:
                return self._finish(call)
            except ModelEndedError:  # its process ended before this call's turn
                return self._invoke_once(call.request, as_copy=call.model.is_copy)

        return answered(finish, call.request, self._metrics)

    def abandon(self, call: UnfinishedCall) -> None:
        """Give up the turn of a call whose client has left."""
        with self._residence.holding(call.model, call.request.source):
            call.turns.give_up(call.turn)

    def when_begun(self, call: UnfinishedCall, tell: Callable[[], object]) -> None:
        """Call `tell` once the turn of a call has begun, from any thread; it must not wait."""
        call.turns.when_begun(call.turn, tell)

    def give_turns(self) -> bool:
        """Let calls begin whose predecessors hold their places for too long.

        It has to be called every `QUANTUM_S` while calls wait; returns whether some still do.
        """
        return self._guests.give_turns() | self._workload.give_turns()

    def loaded(self) -> list[ModelId]:
        """Return the models in memory that are no copies, the one used last at the end."""
        return self._residence.loaded()

    def unload_idle(self) -> None:
        """Unload the models that were not called for as long as their endpoints say."""
        self._residence.unload_idle()

    def finish_loads(self, timeout_s: float) -> None:
        """Wait until the loads in progress have ended, but no longer than `timeout_s`."""
        self._residence.wait_for_loads(timeout_s)

    def _handle(self, request: Request) -> Answer:
        match request:
            case Invoke():
                return self._invoke(request)
            case NextPart(_, request_id, is_abandoned):
                return self._outputs.answer(request_id, is_abandoned)
            case Load():
                return self._load(request)
            case DescribeModel():
                return self._describe(request)
            case Unload(source):
                return self._unload(source)
            case Survey(endpoint_name, repository):
                return Answer(residences=tuple(self._residence.survey(endpoint_name, repository)))
            case _:
                raise UnsupportedOperationError("only a Cortex API can be called or described")

    def _invoke(self, request: Invoke, *, as_copy: bool = False) -> Answer:
        try:
            return self._invoke_once(request, as_copy=as_copy)
        except ModelEndedError:  # its process ended while it was idle, or before this call's turn
            return self._invoke_once(request, as_copy=as_copy)

    def _invoke_once(self, request: Invoke, *, as_copy: bool) -> Answer:
        if request.payload.takes_parts:
            return self._outputs.begin(request.request_id, self._parts(request))
        with self._leased(request, as_copy=as_copy) as (model, timings):
            return self._answer_in_turn(model, request, timings)

    def _parts(self, request: Invoke) -> Parts:
        """Yield the answer of a model in parts, if it makes its output in parts."""
        with self._leased(request) as (model, timings):
            guest = model.resident
            if not isinstance(guest, GuestPredictor):
                yield self._answer_in_turn(model, request, timings)
                return
            place = self._place_for(model, len(request.payload.body))
            with place, closing(guest.parts(request.payload)) as parts:
                for prediction, has_more in parts:
                    spent = replace(timings, predict_s=guest.last_predict_s)
                    yield Answer(prediction=prediction, has_more=has_more, timings=spent)

    @contextmanager
    def _leased(
        self, request: Invoke, *, as_copy: bool = False
    ) -> Iterator[tuple[LoadedModel[Predictor], Timings]]:
        """Lease the model of a call; yield it, and how long that took."""
        _set_predict_limit(request)
        asked_at = self._clock.monotonic()
        with self._residence.lease(
            request.source,
            window_s=request.window_s,
            patience_s=request.patience_s,
            as_copy=as_copy,
        ) as (model, is_hit):
            yield model, _HIT if is_hit else _miss(model, self._clock.monotonic() - asked_at)

    def _answer_in_turn(
        self, model: LoadedModel[Predictor], request: Invoke, timings: Timings
    ) -> Answer:
        body = request.payload.body
        asked_at = self._clock.monotonic()
        with self._place_for(model, len(body)), self._bodies.room_for(body):
            queue_s = self._clock.monotonic() - asked_at
            return self._answer(model, request, replace(timings, queue_s=queue_s))

    def _place_for(
        self, model: LoadedModel[Predictor], body_bytes: int
    ) -> AbstractContextManager[None]:
        return self._turns_of(model).place_for(model, _cost_s(model, body_bytes))

    def _turns_of(self, model: LoadedModel[Predictor]) -> Workload:
        """Return who gives the turns. Guests that mostly wait for something have their own."""
        guest = model.resident
        if not isinstance(guest, GuestPredictor):
            return self._workload
        return self._guests if guest.is_cpu_bound else guest.turns

    def _finish(self, call: UnfinishedCall) -> Answer:
        model, request, guest_call = call.model, call.request, call.guest_call
        with call.turns.holding(call.turn), self._residence.holding(model, request.source):
            if guest_call is not None:
                return self._predicted(model, request, lambda _: guest_call.finish())
            with self._bodies.room_for(request.payload.body):
                return self._answer(model, request)

    def _begin(self, guest: GuestPredictor, request: Invoke) -> GuestCall | None:
        _set_predict_limit(request)
        requests.REQUEST_ID.set(request.request_id)
        try:
            return guest.begin(request.payload)
        except ModelyardError:
            return None  # it ended: a call that may wait loads it again

    def _answer(
        self, model: LoadedModel[Predictor], request: Invoke, timings: Timings = _HIT
    ) -> Answer:
        _set_predict_limit(request)
        return self._predicted(model, request, model.resident.predict, timings)

    def _predicted(
        self,
        model: LoadedModel[Predictor],
        request: Invoke,
        predict: Callable[[Payload], Prediction],
        timings: Timings = _HIT,
    ) -> Answer:
        began_at, cpu_at = self._clock.monotonic(), time.thread_time()
        prediction = predicted(predict, request.payload)
        predict_s = self._clock.monotonic() - began_at
        if isinstance(model.resident, GuestPredictor):
            cpu_s = model.resident.last_alone_s
        else:
            cpu_s = time.thread_time() - cpu_at
        model.speed.learn(len(request.payload.body), predict_s, cpu_s)
        if timings is _HIT:
            return Answer(prediction=prediction, timings=Timings(predict_s=predict_s))
        return Answer(prediction=prediction, timings=replace(timings, predict_s=predict_s))

    def _load(self, request: Load) -> Answer:
        window_s = request.window_s
        with self._residence.lease(request.source, window_s=window_s, patience_s=window_s) as (
            _,
            is_hit,
        ):
            if is_hit and request.fresh:
                raise ModelAlreadyLoadedError(
                    f"Model {request.source.target_model} is already loaded."
                )
        return Answer()

    def _describe(self, request: DescribeModel) -> Answer:
        window_s = request.window_s
        with self._residence.lease(request.source, window_s=window_s, patience_s=window_s) as (
            model,
            _,
        ):
            return Answer(signature=model.resident.signature)

    def _unload(self, source: ModelSource) -> Answer:
        if not self._residence.unload(source):
            raise ModelNotLoadedError(f"Model not found: {source.target_model} is not loaded.")
        return Answer()


def _cost_s(model: LoadedModel[Predictor], body_bytes: int) -> float:
    """Return the time that a call is expected to take, which decides how many may wait."""
    cost_s = model.speed.cost_s(body_bytes)
    return max(cost_s, GUEST_COST_S) if isinstance(model.resident, GuestPredictor) else cost_s


def _miss(model: LoadedModel[Predictor], wait_s: float) -> Timings:
    """Return what a call waited for; another call may have begun the load before."""
    load_s = min(wait_s, model.load_s)
    stage_s = min(wait_s - load_s, model.stage_s)
    return Timings(cache_hit=False, wait_s=wait_s, stage_s=stage_s, load_s=load_s)


def _set_predict_limit(request: Invoke) -> None:
    """Tell guests how long the call may take."""
    requests.PREDICT_LIMIT_S.set(max(PREDICT_LIMIT_S, request.window_s + PREDICT_AFTER_WINDOW_S))
