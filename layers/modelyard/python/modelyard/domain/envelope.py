"""The envelope between the router and the inference side: a small JSON head and a raw body.

Requests and answers have this form on a local socket and in a Lambda payload; an answer may carry
an error. If a connection ends without an answer, the other side has crashed.
"""

import json
import logging
from dataclasses import asdict
from typing import Any, NamedTuple

import orjson

from modelyard.domain import errors
from modelyard.domain.damage import optional, reading, typed
from modelyard.domain.errors import ModelError, ModelNotReadyError, ModelyardError
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
    ModelId,
    ModelResidence,
    ModelSource,
    ModelStatus,
    Payload,
    Prediction,
    Sample,
    Signature,
    TensorSpec,
    Timings,
)

logger = logging.getLogger(__name__)


class Frame(NamedTuple):
    """A request or an answer in serialised form: JSON head and raw body."""

    head: bytes
    body: bytes = b""


def render_request(request: Request) -> Frame:
    """Return the serialised form of a request."""
    match request:
        case Invoke(source, payload, window_s, patience_s, request_id):
            head = {
                "op": "invoke",
                "source": source,
                "window_s": window_s,
                "patience_s": patience_s,
                "request_id": request_id,
                "content_type": payload.content_type,
                "accept": payload.accept,
                "custom_attributes": payload.custom_attributes,
                "takes_parts": payload.takes_parts,
            }
            return Frame(orjson.dumps(head), payload.body)
        case NextPart(source, request_id, is_abandoned):
            head = {"op": "part", "source": source, "request_id": request_id}
            head["is_abandoned"] = is_abandoned
        case Load(source, window_s, fresh):
            head = {"op": "load", "source": source, "window_s": window_s, "fresh": fresh}
        case DescribeModel(source, window_s):
            head = {"op": "signature", "source": source, "window_s": window_s}
        case Unload(source):
            head = {"op": "unload", "source": source}
        case Survey(endpoint_name, repository):
            head = {"op": "survey", "endpoint_name": endpoint_name, "repository": repository}
        case CallApi(source, query, headers, body, window_s, request_id):
            head = {"op": "call", "source": source, "query": query, "headers": headers}
            rest = {"window_s": window_s, "request_id": request_id}
            return Frame(encode_head(head | rest), body)
        case DescribeApi(endpoint_name):
            head = {"op": "describe", "endpoint_name": endpoint_name}
    return Frame(orjson.dumps(head))


def parse_request(frame: Frame) -> Request:
    """Return the request of a frame made by `render_request`.

    Raises:
        ModelyardError: the frame is damaged.
    """
    with reading("the request's envelope"):
        return _parse_request(orjson.loads(frame.head), frame.body)


def _parse_request(head: dict[str, Any], body: bytes) -> Request:
    match head["op"]:
        case "invoke" | "part":
            return _parse_invoke(head, body)
        case "load" | "signature" as op:
            source, window_s = _parse_source(head["source"]), head["window_s"]
            described = DescribeModel(source, window_s)
            return described if op == "signature" else Load(source, window_s, head["fresh"])
        case "unload":
            return Unload(_parse_source(head["source"]))
        case "survey":
            return Survey(head["endpoint_name"], head["repository"])
        case "call":
            source = _parse_source(head["source"])
            headers = _pairs(head["headers"])
            what = source, head["query"], headers, body
            return CallApi(*what, head["window_s"], head["request_id"])
        case "describe":
            return DescribeApi(head["endpoint_name"])
        case unknown:
            raise ModelyardError(f"unknown operation {unknown!r} in the envelope")


def _parse_invoke(head: dict[str, Any], body: bytes) -> Invoke | NextPart:
    source, request_id = _parse_source(head["source"]), head["request_id"]
    if head["op"] == "part":
        return NextPart(source, typed(request_id, str), typed(head["is_abandoned"], bool))
    told = head["content_type"], head["accept"], head["custom_attributes"]
    payload = Payload(body, *told, typed(head["takes_parts"], bool))
    return Invoke(source, payload, head["window_s"], head["patience_s"], request_id)


def render_answer(answer: Answer) -> Frame:
    """Return the serialised form of an answer, without its empty members."""
    head: dict[str, Any] = {"timings": answer.timings}
    body = b""
    if answer.error is not None:
        head["error"] = {"type": type(answer.error).__name__, "facts": answer.error.facts()}
    if answer.prediction is not None:
        body = answer.prediction.body
        head["content_type"] = answer.prediction.content_type
        head["custom_attributes"] = answer.prediction.custom_attributes
    if answer.response is not None:
        body = answer.response.body
        head["reply"] = {"status": answer.response.status, "headers": answer.response.headers}
    if answer.has_more:
        head["has_more"] = True
    if answer.residences:
        head["residences"] = answer.residences
    if answer.signature is not None:
        head["signature"] = answer.signature
    if answer.samples:
        head["samples"] = [sample._asdict() for sample in answer.samples]
    return Frame(encode_head(head), body)


def parse_answer(frame: Frame) -> Answer:
    """Return the answer of a frame made by `render_answer`.

    Raises:
        ModelyardError: the frame is damaged.
    """
    with reading("the answer's envelope"):
        return _parse_answer(orjson.loads(frame.head), frame.body)


def _parse_answer(head: dict[str, Any], body: bytes) -> Answer:
    return Answer(
        error=_parse_error(head["error"]) if "error" in head else None,
        prediction=_parse_prediction(head, body) if "content_type" in head else None,
        has_more=typed(head.get("has_more", False), bool),
        response=_parse_response(head["reply"], body) if "reply" in head else None,
        residences=tuple(_parse_residence(item) for item in head.get("residences", ())),
        signature=parse_signature(head["signature"]) if "signature" in head else None,
        timings=Timings(**head["timings"]),
        samples=tuple(_parse_sample(item) for item in head.get("samples", ())),
    )


def encode_head(head: Any) -> bytes:
    """Return a head as JSON."""
    try:
        return orjson.dumps(head)
    except TypeError:
        # File names and messages of models may have unpaired surrogates; UTF-8 cannot carry them.
        return json.dumps(head, default=asdict, ensure_ascii=False).encode(errors="replace")


def _parse_source(data: dict[str, Any]) -> ModelSource:
    source = ModelSource(**data)
    for name in (source.endpoint_name, source.target_model, source.repository):
        typed(name, str)
    typed(source.allow_code, bool)
    optional(source.output, str)
    return source


def _parse_prediction(head: dict[str, Any], body: bytes) -> Prediction:
    attributes = optional(head["custom_attributes"], str)
    return Prediction(body, optional(head["content_type"], str), attributes)


def _parse_response(data: dict[str, Any], body: bytes) -> HttpResponse:
    return HttpResponse(typed(data["status"], int), _pairs(data["headers"]), body)


def _pairs(items: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((typed(name, str), typed(value, str)) for name, value in items)


def _parse_sample(item: dict[str, Any]) -> Sample:
    return Sample(typed(item["name"], str), item["value"] + 0.0, typed(item["endpoint_name"], str))


def _parse_residence(item: dict[str, Any]) -> ModelResidence:
    item["model_id"] = ModelId(**item["model_id"])
    item["status"] = ModelStatus(item["status"])
    return ModelResidence(**item)


def parse_signature(data: dict[str, Any]) -> Signature:
    """Return the signature that `orjson` made the mapping of.

    Raises:
        KeyError, TypeError: it is something else.
    """
    inputs, outputs = (tuple(map(_parse_tensor, data[name])) for name in ("inputs", "outputs"))
    return Signature(typed(data["platform"], str), inputs, outputs)


def _parse_tensor(data: dict[str, Any]) -> TensorSpec:
    shape = tuple(typed(size, int) for size in data["shape"])
    return TensorSpec(typed(data["name"], str), typed(data["datatype"], str), shape)


def _parse_error(data: dict[str, Any]) -> ModelyardError:
    error = _ERRORS.get(data["type"], ModelyardError)(**data["facts"])
    typed(error.message, str)
    if isinstance(error, ModelError):
        optional(error.original_status, int)
    if isinstance(error, ModelNotReadyError):
        typed(error.target_model, str)
        typed(error.retry_after_s + 0.0, float)  # TypeError unless it is a number
    return error


def _family(root: type[ModelyardError]) -> dict[str, type[ModelyardError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _family(child)
    return found


_ERRORS = {
    name: kind
    for name, kind in _family(ModelyardError).items()
    if kind.__module__ == errors.__name__
}
