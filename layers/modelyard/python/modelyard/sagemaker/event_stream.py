"""The response of SageMaker's InvokeEndpointWithResponseStream, in AWS's event stream encoding.

A message is the length of the message and of its headers, a CRC32 of both, the headers, the
payload, and a CRC32 of all of that. Numbers are big-endian.
"""

import struct
import zlib

from modelyard.domain.values import HttpResponse, Prediction
from modelyard.sagemaker.responses import render_prediction

PART_BYTES = 1 << 20
"""The longest part; botocore accepts messages of up to 16 MiB."""
_TEXT = 7
"""The type of a header whose value is text."""


def render_stream(prediction: Prediction) -> HttpResponse:
    """Return the 200 response with a prediction, in parts of at most 1 MiB.

    Raises:
        ModelError: the model set a header value that HTTP does not allow.
    """
    plain = render_prediction(prediction)
    headers = dict(plain.headers)
    if "content-type" in headers:
        headers["x-amzn-sagemaker-content-type"] = headers["content-type"]
    headers["content-type"] = "application/vnd.amazon.eventstream"
    body = plain.body
    parts = (body[start : start + PART_BYTES] for start in range(0, len(body), PART_BYTES))
    return HttpResponse(200, tuple(headers.items()), b"".join(map(_payload_part, parts)))


def _payload_part(content: bytes) -> bytes:
    """Return the message of one event `PayloadPart`."""
    headers = b"".join(
        _header(name, value)
        for name, value in (
            (b":message-type", b"event"),
            (b":event-type", b"PayloadPart"),
            (b":content-type", b"application/octet-stream"),
        )
    )
    lengths = struct.pack("!II", 16 + len(headers) + len(content), len(headers))
    message = lengths + _checksum(lengths) + headers + content
    return message + _checksum(message)


def _header(name: bytes, value: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack("!BH", _TEXT, len(value)) + value


def _checksum(data: bytes) -> bytes:
    return struct.pack("!I", zlib.crc32(data))
