"""Read the requests of the Open Inference Protocol v2 (REST) and of its extensions."""

from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.domain import protocol_bodies
from modelyard.domain.errors import InvalidRequestError
from modelyard.domain.values import Payload

JSON_BYTES = "inference-header-content-length"
"""The header that says how long the JSON part of a body with binary tensors is."""


def parse_payload(headers: Mapping[str, str], body: bytes) -> Payload:
    """Return the payload of an inference request. Names in `headers` must be in lower case.

    Raises:
        InvalidRequestError: the length of its JSON part is not valid.
    """
    json_bytes = _json_bytes(headers, len(body))
    return Payload(body, protocol_bodies.content_type(json_bytes))


def wants_ready_only(body: bytes) -> bool:
    """Return whether a request for the repository index asks for ready models only.

    Raises:
        InvalidRequestError: the body is not valid.
    """
    return bool(_object(body).get("ready", False))


def check_load(body: bytes) -> None:
    """Return if a request to load or unload a model asks for nothing else.

    Raises:
        InvalidRequestError: it carries a configuration or files of the model.
    """
    parameters = _object(body).get("parameters") or {}
    unknown = [name for name in parameters if name != "unload_dependents"]
    if unknown:
        raise InvalidRequestError(
            f"the parameter {str(unknown[0])[:40]!r} is not supported: the repository has the model"
        )


def _json_bytes(headers: Mapping[str, str], body_bytes: int) -> int:
    text = headers.get(JSON_BYTES)
    if text is None:
        return body_bytes
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > body_bytes:
        raise InvalidRequestError(
            f"Inference-Header-Content-Length must be a number up to {body_bytes},"
            " the length of the body"
        )
    return int(text)


def _object(body: bytes) -> Mapping[str, Any]:
    if not body.strip():
        return {}
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("parameters") or {}, dict):
        raise InvalidRequestError("the body must be a JSON object, and so must its parameters")
    return found
