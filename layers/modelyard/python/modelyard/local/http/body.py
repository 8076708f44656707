"""The body of an HTTP/1.1 request: of a stated length, or in chunks (RFC 9112, section 7)."""

import re

from modelyard.local.http.request_head import MalformedRequestError, RequestHead

MAX_LINE_BYTES = 4 << 10
"""The longest line between chunks: a size with its extensions, or a trailer."""
MAX_TRAILER_BYTES = 16 << 10
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*|[ \t]*)")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_CRLF = b"\r\n"


class BodyReader:
    """Takes the bytes of one body out of what was received."""

    def __init__(self, head: RequestHead) -> None:
        self._is_chunked = head.is_chunked
        self._left = 0 if head.is_chunked else head.content_length
        """Bytes that are left of the body, or of the chunk that is being read."""
        self._is_in_chunk = False
        self._is_in_trailers = False
        self._trailer_bytes = 0
        self.is_complete = not head.is_chunked and head.content_length == 0

    def take(self, received: bytearray) -> bytes:
        """Remove the bytes of the body that are there and return them, decoded.

        `is_complete` says whether the body ended with them; what is left belongs to the next
        request.

        Raises:
            MalformedRequestError: the chunks are not valid.
        """
        if not self._is_chunked:
            return self._take_data(received)
        parts = []
        while not self.is_complete:
            if self._is_in_chunk and self._left:
                if not received:
                    break
                parts.append(self._take_data(received))
            elif not self._take_line(received):
                break
        return b"".join(parts)

    def _take_data(self, received: bytearray) -> bytes:
        if len(received) <= self._left:
            data = bytes(received)
            received.clear()
        else:
            data = bytes(received[: self._left])
            del received[: self._left]
        self._left -= len(data)
        self.is_complete = not self._is_chunked and self._left == 0
        return data

    def _take_line(self, received: bytearray) -> bool:
        """Read one of the lines between chunks; returns whether it was there."""
        end = received.find(_CRLF, 0, MAX_LINE_BYTES)
        if end < 0:
            if len(received) >= MAX_LINE_BYTES:
                raise MalformedRequestError("malformed HTTP: a line between chunks is too long")
            return False
        line = bytes(received[:end])
        del received[: end + 2]
        if self._is_in_trailers:
            self._end_trailer(line)
        elif self._is_in_chunk:
            if line:
                raise MalformedRequestError("malformed HTTP: a chunk is longer than its size")
            self._is_in_chunk = False
        else:
            self._begin_chunk(line)
        return True

    def _begin_chunk(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            raise MalformedRequestError("malformed HTTP: the size of a chunk is not a number")
        self._left = int(match[1], 16)
        self._is_in_chunk = self._left > 0
        self._is_in_trailers = self._left == 0

    def _end_trailer(self, line: bytes) -> None:
        """Skip a trailer: nothing here reads one. An empty line ends the body."""
        if line and _TRAILER.fullmatch(line) is None:
            raise MalformedRequestError("malformed HTTP: a trailer is not valid")
        self._trailer_bytes += len(line)
        if self._trailer_bytes > MAX_TRAILER_BYTES:
            raise MalformedRequestError("the trailers of the body are too long", status=431)
        self.is_complete = not line
