"""Envelope frames on a local stream socket: a number and two lengths, then head, then body.

Many calls share a connection. An answer has the number of its request.
"""

import struct

from modelyard.domain.envelope import Frame

PREFIX = struct.Struct(">III")


def pack(number: int, frame: Frame) -> bytes:
    """Return the bytes of one frame; `number` is below 2 ** 32."""
    return PREFIX.pack(number, len(frame.head), len(frame.body)) + frame.head + frame.body


class FrameBuffer:
    """Assembles frames from bytes that arrive in arbitrary pieces."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, Frame]]:
        """Add bytes and return the frames that they complete, with their numbers."""
        self._received += data
        frames, start = [], 0
        while len(self._received) - start >= PREFIX.size:
            number, head_bytes, body_bytes = PREFIX.unpack_from(self._received, start)
            head = start + PREFIX.size
            body = head + head_bytes
            end = body + body_bytes
            if len(self._received) < end:
                break
            frame = Frame(bytes(self._received[head:body]), bytes(self._received[body:end]))
            frames.append((number, frame))
            start = end
        del self._received[:start]
        return frames
