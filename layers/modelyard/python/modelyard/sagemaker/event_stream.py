"""The response of SageMaker's InvokeEndpointWithResponseStream, in AWS's event stream encoding.

A message is the length of the message and of its headers, a CRC32 of both, the headers, the
payload, and a CRC32 of all of that. Numbers are big-endian.
"""

import struct
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import orjson

from modelyard.domain import messages
from modelyard.domain.errors import ModelError, ModelyardError
from modelyard.domain.parts import Parts
from modelyard.domain.values import HttpResponse, Prediction
from modelyard.sagemaker.responses import render_prediction

PART_BYTES = 1 << 20
"""The longest part; botocore accepts messages of up to 16 MiB."""
_TEXT = 7
"""The type of a header whose value is text."""


def render_stream(prediction: Prediction) -> HttpResponse:
    """Return the 200 response with a prediction, in events of at most 1 MiB.

    The further parts of the prediction are events, too, and so is the error that ends them.

    Raises:
        ModelError: the model set a header value that HTTP does not allow.
    """
    plain = render_prediction(prediction)
    headers = dict(plain.headers)
    if "content-type" in headers:
        headers["x-amzn-sagemaker-content-type"] = headers["content-type"]
    headers["content-type"] = "application/vnd.amazon.eventstream"
    more = None if prediction.more is None else _further_events(prediction.more)
    return HttpResponse(200, tuple(headers.items()), b"".join(_events(plain.body)), more)


async def _further_events(parts: Parts) -> AsyncGenerator[bytes, None]:
    async with aclosing(parts):
        try:
            async for part in parts:
                yield b"".join(_events(part))
        except ModelyardError as error:
            yield _exception(error)


def _events(content: bytes) -> Iterator[bytes]:
    """Yield the messages of events `PayloadPart`; none for empty content."""
    for start in range(0, len(content), PART_BYTES):
        part = content[start : start + PART_BYTES]
        yield _message(b"event", b"PayloadPart", b"application/octet-stream", part)


def _exception(error: ModelyardError) -> bytes:
    """Return the message with which a stream ends in the middle."""
    if not isinstance(error, ModelError):
        failure = orjson.dumps({"Message": error.message})
        return _message(b"exception", b"InternalStreamFailure", b"application/json", failure)
    is_late = error.message.startswith(messages.MODEL_TIMED_OUT)
    code = "ModelInvocationTimeExceeded" if is_late else "StreamBroken"
    text = error.message.encode(errors="replace").decode()  # JSON carries no unpaired surrogates
    failure = orjson.dumps({"Message": text, "ErrorCode": code})
    return _message(b"exception", b"ModelStreamError", b"application/json", failure)


def _message(kind: bytes, name: bytes, content_type: bytes, content: bytes) -> bytes:
    """Return the message of one event or exception."""
    headers = b"".join(
        (
            _header(b":message-type", kind),
            _header(b":%b-type" % kind, name),
            _header(b":content-type", content_type),
        )
    )
    lengths = struct.pack("!II", 16 + len(headers) + len(content), len(headers))
    message = lengths + _checksum(lengths) + headers + content
    return message + _checksum(message)


def _header(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack("!BH", _TEXT, len(value)) + value


def _checksum(data: bytes) -> bytes:
    return struct.pack("!I", zlib.crc32(data))
