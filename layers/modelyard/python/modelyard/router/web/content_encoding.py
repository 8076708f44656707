"""Decode the bodies of requests that a client compressed."""

import zlib
from collections.abc import Mapping

from modelyard.domain.errors import InvalidRequestError
from modelyard.router.web.exchange import too_large

HEADER = "content-encoding"
_PLAIN = ("", "identity")
_GZIP, _ZLIB, _RAW = 31, 15, -15
"""How zlib calls the three formats."""


def is_encoded(headers: Mapping[str, str]) -> bool:
    """Return whether a body has to be decoded. Names in `headers` must be in lower case."""
    encoding = headers.get(HEADER)
    return encoding is not None and encoding.strip().lower() not in _PLAIN


def decoded(headers: Mapping[str, str], body: bytes, limit: int) -> bytes:
    """Return the body as it was before it was compressed; never more than `limit` bytes.

    Raises:
        InvalidRequestError: the encoding is not supported, or the body is not valid in it.
        PayloadTooLargeError: the decoded body is longer than `limit`.
    """
    encoding = headers[HEADER].strip().lower()
    if encoding in ("gzip", "x-gzip"):
        formats = [_GZIP]
    elif encoding == "deflate":  # clients disagree about what it means
        formats = [_ZLIB, _RAW]
    else:
        raise InvalidRequestError(
            f"Content-Encoding {encoding[:40]} is not supported; allowed: gzip, deflate, identity"
        )
    for number in formats:
        try:
            return _decompressed(body, number, limit)
        except zlib.error:
            continue
    raise InvalidRequestError(f"the body is not valid {encoding}, as Content-Encoding says it is")


def _decompressed(body: bytes, number: int, limit: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    while body:
        member = zlib.decompressobj(number)
        parts.append(member.decompress(body, limit + 1 - total))
        total += len(parts[-1])
        if total > limit:
            raise too_large(limit)
        if not member.eof:
            raise zlib.error("the end is missing")
        body = member.unused_data
    return b"".join(parts)
