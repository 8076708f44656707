"""Every request that reaches the inference side gets an answer: errors are part of it."""

import logging
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Protocol

from modelyard.domain.errors import ModelError, ModelyardError
from modelyard.domain.requests import Answer, Request
from modelyard.domain.values import Sample

logger = logging.getLogger(__name__)

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The request that is being answered here, for the log."""


MAX_ANSWER_BYTES = 64 << 20
"""Of one answer's body: the server holds it whole, and everybody's answers pass through there."""


class SampleSource(Protocol):
    """Metrics gathered since they were last drained."""

    def drain(self) -> tuple[Sample, ...]:
        """Return and forget them."""
        ...


def answered(
    handle: Callable[[Request], Answer], request: Request, samples: SampleSource
) -> Answer:
    """Return the answer of a handler, or its error as one, with the metrics gathered so far."""
    REQUEST_ID.set(getattr(request, "request_id", ""))
    try:
        answer = _limited(handle(request))
    except ModelyardError as error:
        answer = Answer(error=error)
    except BaseException:
        logger.exception("inference failed")
        answer = Answer(error=ModelyardError("internal error, see the log"))
    return replace(answer, samples=samples.drain())


def _limited(answer: Answer) -> Answer:
    content = answer.prediction or answer.response
    if content is None or len(content.body) <= MAX_ANSWER_BYTES:
        return answer
    size_bytes = len(content.body)
    raise ModelError(f"the model's answer is {size_bytes} bytes; allowed: {MAX_ANSWER_BYTES}")
