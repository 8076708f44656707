"""Turns every request of the inference side into an answer; an error is an answer, too."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from modelyard.domain.errors import ModelError, ModelyardError, PredictionError
from modelyard.domain.messages import INTERNAL_ERROR
from modelyard.domain.requests import MAX_ANSWER_BYTES, REQUEST_ID, Answer, Request
from modelyard.domain.values import Payload
from modelyard.inference.buffered_metrics import BufferedMetrics

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

INSUFFICIENT_STORAGE = 507
"""The status for lack of memory in SageMaker's container contract."""


def answered(
    handle: Callable[[Request], Answer], request: Request, metrics: BufferedMetrics
) -> Answer:
    """Call a handler and return its answer, together with the metrics recorded so far.

    Errors that the handler raises are returned in the answer; this function never raises.
    """
    token = REQUEST_ID.set(getattr(request, "request_id", ""))
    try:
        answer = handle(request)
        content = answer.prediction or answer.response
        if content is not None:
            refuse_too_large(content.body)
    except ModelyardError as error:
        answer = Answer(error=error)
    except BaseException:
        logger.exception("inference failed")
        answer = Answer(error=ModelyardError(INTERNAL_ERROR))
    finally:
        REQUEST_ID.reset(token)  # the event loop's thread answers calls, and logs other things
    samples = metrics.drain()
    return replace(answer, samples=samples) if samples else answer


def predicted(predict: Callable[[Payload], Result], payload: Payload) -> Result:
    """Return what `predict` returns for a payload.

    Raises:
        ModelyardError: the model's own error, or a ModelError for any other exception.
    """
    try:
        return predict(payload)
    except ModelyardError:
        raise
    except MemoryError as error:
        raise ModelError("the model ran out of memory", INSUFFICIENT_STORAGE) from error
    except BaseException as error:  # code in a model may raise anything, also SystemExit
        logger.exception("predictor failed")
        raise PredictionError("the model failed while predicting, see the log") from error


def refuse_too_large(body: bytes) -> None:
    """Raise ModelError if the body of an answer exceeds `MAX_ANSWER_BYTES`."""
    if len(body) > MAX_ANSWER_BYTES:
        raise ModelError(f"the model's answer is {len(body)} bytes; allowed: {MAX_ANSWER_BYTES}")
