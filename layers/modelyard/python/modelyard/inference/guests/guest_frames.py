"""What a worker and a guest send each other: calls, answers, and the further parts of an output.

The head of a call and of an answer is a JSON list. The head of an error is that of the envelope.
"""

from typing import NamedTuple

import orjson

from modelyard.domain.damage import optional, typed
from modelyard.domain.envelope import (
    Frame,
    encode_head,
    parse_answer,
    parse_signature,
    render_answer,
)
from modelyard.domain.errors import ModelError, ModelyardError, PredictionError
from modelyard.domain.ports import Predictor
from modelyard.domain.requests import Answer
from modelyard.domain.values import Payload, Prediction, Signature

NEXT_PART = Frame(b"next")
"""Asks for the next part of the output of the call before."""
STOP = Frame(b"stop")
"""Says that nobody wants the other parts."""


def render_loaded(predictor: Predictor) -> Frame:
    """Return the frame of the answer to a request to load a model."""
    loaded = {"needs_files": predictor.needs_files, "signature": predictor.signature}
    return Frame(orjson.dumps(loaded))


def parse_loaded(frame: Frame) -> tuple[bool, Signature]:
    """Return whether a loaded model needs its files, and its signature.

    Raises:
        ModelyardError: the error in the answer.
        KeyError, TypeError, ValueError: it is damaged.
    """
    head = orjson.loads(frame.head)
    if "error" in head:
        raise _error_in(frame)
    return bool(head["needs_files"]), parse_signature(head["signature"])


class Part(NamedTuple):
    """The output of a call, or a part of it."""

    prediction: Prediction
    has_more: bool = False
    predict_s: float = 0.0
    """How long the model took, in the guest."""
    alone_s: float = 0.0
    """How long it would have taken if other processes had not used the processors."""
    cpu_s: float = 0.0
    """The processor time that it used."""


def render_call(payload: Payload, request_id: str) -> Frame:
    """Return the frame of a call."""
    told = payload.content_type, payload.accept, payload.custom_attributes, payload.takes_parts
    return Frame(orjson.dumps((*told, request_id)), payload.body)


def parse_call(frame: Frame) -> tuple[Payload, str]:
    """Return the payload and the request id of a call."""
    *told, request_id = orjson.loads(frame.head)
    return Payload(frame.body, *told), request_id


def render_part(part: Part) -> Frame:
    """Return the frame of an answer."""
    prediction, *told = part
    head = prediction.content_type, prediction.custom_attributes, *told
    return Frame(encode_head(head), prediction.body)


def render_error(error: ModelyardError) -> Frame:
    """Return the frame of an answer that is an error."""
    return render_answer(Answer(error=error))


def parse_part(frame: Frame) -> Part:
    """Return the answer in a frame, which may be damaged: the model's code can write it.

    Raises:
        ModelError: the error in the answer.
        ValueError, TypeError: it is damaged.
    """
    head = orjson.loads(frame.head)
    if isinstance(head, dict):
        error = _error_in(frame)
        is_of_model = isinstance(error, ModelError)
        raise error if is_of_model else PredictionError("the model failed while predicting")
    content_type, attributes, has_more, predict_s, alone_s, cpu_s = head
    prediction = Prediction(frame.body, optional(content_type, str), optional(attributes, str))
    times = typed(predict_s, float), typed(alone_s, float), typed(cpu_s, float)
    return Part(prediction, typed(has_more, bool), *times)


def _error_in(frame: Frame) -> ModelyardError:
    try:
        error = parse_answer(frame).error
    except ModelyardError as damage:
        raise ValueError("the error cannot be read") from damage
    if error is None:
        raise ValueError("an answer without an error")
    return error
