"""The requests that a worker answers: invoke, load, unload and survey models."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from modelyard.domain.errors import (
    ModelAlreadyLoadedError,
    ModelError,
    ModelNotLoadedError,
    ModelyardError,
    PredictionError,
    UnsupportedOperationError,
)
from modelyard.domain.ports import Clock, Predictor
from modelyard.domain.requests import Answer, Invoke, Load, Request, Survey, Unload
from modelyard.domain.values import ModelSource, Payload, Prediction, Timings
from modelyard.inference.answering import answered
from modelyard.inference.buffered_metrics import BufferedMetrics
from modelyard.inference.residence.residence import Residence

logger = logging.getLogger(__name__)

MAX_SLOT_WAIT_S = 0.25
"""How long a call waits for a slot before it predicts without one."""
MAX_SLOT_HOLD_S = 2.0
"""A prediction that takes longer no longer counts as holding its slot: it may never end."""
INSUFFICIENT_STORAGE = 507
"""The status for lack of memory in SageMaker's container contract."""


class PredictSlots:
    """Limit how many threads predict at once, without letting slow models block the others."""

    def __init__(self, slots: int, clock: Clock) -> None:
        self._slots = slots
        self._clock = clock
        self._left = threading.Condition()
        self._taken: dict[int, float] = {}
        """When each thread that holds a slot took it, by thread id."""

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a slot; go on without one when none becomes free within `MAX_SLOT_WAIT_S`."""
        thread = threading.get_ident()
        with self._left:
            if self._left.wait_for(self._is_one_free, MAX_SLOT_WAIT_S):
                self._taken[thread] = self._clock.monotonic()
        try:
            yield
        finally:
            with self._left:
                self._taken.pop(thread, None)
                self._left.notify()

    def _is_one_free(self) -> bool:
        if len(self._taken) < self._slots:
            return True
        oldest = self._clock.monotonic() - MAX_SLOT_HOLD_S
        return sum(since > oldest for since in self._taken.values()) < self._slots


class InferenceService:
    """Answers requests about the models of one worker. Safe to share between threads."""

    def __init__(
        self,
        residence: Residence[Predictor],
        metrics: BufferedMetrics,
        clock: Clock,
        *,
        predict_slots: int,
    ) -> None:
        self._residence = residence
        self._metrics = metrics
        self._clock = clock
        self._slots = PredictSlots(predict_slots, clock)

    def handle(self, request: Request) -> Answer:
        """Return the answer to a request. Errors are returned in it, never raised."""
        return answered(self._handle, request, self._metrics)

    def finish_loads(self, timeout_s: float) -> None:
        """Wait until the loads in progress have ended, but no longer than `timeout_s`."""
        self._residence.wait_for_loads(timeout_s)

    def _handle(self, request: Request) -> Answer:
        match request:
            case Invoke():
                return self._invoke(request)
            case Load():
                return self._load(request)
            case Unload(source):
                return self._unload(source)
            case Survey(endpoint_name, repository):
                return Answer(residences=tuple(self._residence.survey(endpoint_name, repository)))
            case _:
                raise UnsupportedOperationError("only a Cortex API can be called or described")

    def _invoke(self, request: Invoke) -> Answer:
        asked_at = self._clock.monotonic()
        with self._residence.lease(
            request.source, window_s=request.window_s, patience_s=request.patience_s
        ) as (model, is_hit):
            ready_at = self._clock.monotonic()
            with self._slots.one():
                prediction = _predict(model.resident.predict, request.payload)
            timings = Timings(
                cache_hit=is_hit,
                wait_s=0.0 if is_hit else ready_at - asked_at,
                predict_s=self._clock.monotonic() - ready_at,
            )
        return Answer(prediction=prediction, timings=timings)

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

    def _unload(self, source: ModelSource) -> Answer:
        if not self._residence.unload(source):
            raise ModelNotLoadedError(f"Model not found: {source.target_model} is not loaded.")
        return Answer()


def _predict(predict: Callable[[Payload], Prediction], payload: Payload) -> Prediction:
    try:
        return predict(payload)
    except ModelyardError:
        raise
    except MemoryError as error:
        raise ModelError("the model ran out of memory", INSUFFICIENT_STORAGE) from error
    except BaseException as error:  # code in a model may raise anything, also SystemExit
        logger.exception("predictor failed")
        raise PredictionError("the model failed while predicting, see the log") from error
