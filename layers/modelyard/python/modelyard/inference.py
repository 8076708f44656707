"""The use cases beside the models: invoke, load, unload, survey. Every request gets an answer."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from modelyard.answering import SampleSource, answered
from modelyard.errors import (
    ModelAlreadyLoadedError,
    ModelError,
    ModelNotLoadedError,
    ModelyardError,
    PredictionError,
    UnsupportedOperationError,
)
from modelyard.ports import Clock, Predictor
from modelyard.residence.residence import Residence
from modelyard.types import ModelSource, Payload, Prediction, Timings
from modelyard.wire.envelope import Answer, Invoke, Load, Request, Survey, Unload

logger = logging.getLogger(__name__)

MAX_SLOT_WAIT_S = 0.25
INSUFFICIENT_STORAGE = 507
"""What SageMaker's container contract answers when memory runs out."""


class InferenceService:
    """Answers the requests of an envelope; called from many threads at once."""

    def __init__(
        self,
        residence: Residence[Predictor],
        samples: SampleSource,
        clock: Clock,
        *,
        predict_slots: int,
    ) -> None:
        self._residence = residence
        self._samples = samples
        self._clock = clock
        self._predicting = threading.BoundedSemaphore(predict_slots)

    def handle(self, request: Request) -> Answer:
        """Return the answer; errors are part of it."""
        return answered(self._handle, request, self._samples)

    def finish_loads(self, timeout_s: float) -> None:
        """Wait until no load is on its way any more, but no longer than `timeout_s`."""
        self._residence.wait_until_landed(timeout_s)

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
            with self._predict_slot():
                prediction = _predict(model.resident.predict, request.payload)
            timings = Timings(
                cache_hit=is_hit,
                wait_s=0.0 if is_hit else ready_at - asked_at,
                predict_s=self._clock.monotonic() - ready_at,
            )
        return Answer(prediction=prediction, timings=timings)

    @contextmanager
    def _predict_slot(self) -> Iterator[None]:
        """Keep the threads that predict few, but let no slow model hold up the others."""
        is_ours = self._predicting.acquire(timeout=MAX_SLOT_WAIT_S)
        try:
            yield
        finally:
            if is_ours:
                self._predicting.release()

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


class _Predict(Protocol):
    def __call__(self, payload: Payload) -> Prediction: ...


def _predict(predict: _Predict, payload: Payload) -> Prediction:
    try:
        return predict(payload)
    except ModelyardError:
        raise
    except MemoryError as error:
        raise ModelError("the model ran out of memory", INSUFFICIENT_STORAGE) from error
    except Exception as error:
        logger.exception("predictor failed")
        raise PredictionError("the model failed while predicting, see the log") from error
