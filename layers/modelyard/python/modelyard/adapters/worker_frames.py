"""Envelope frames on a local stream socket: two lengths, then head, then body."""

import struct
from typing import BinaryIO

from modelyard.wire.envelope import Frame

LENGTHS = struct.Struct(">II")


def pack(frame: Frame) -> bytes:
    """Return the bytes of one frame."""
    return LENGTHS.pack(len(frame.head), len(frame.body)) + frame.head + frame.body


def read_frame(stream: BinaryIO) -> Frame | None:
    """Return the next frame, or None when the other side is gone."""
    lengths = stream.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    head_bytes, body_bytes = LENGTHS.unpack(lengths)
    data = stream.read(head_bytes + body_bytes)
    if len(data) < head_bytes + body_bytes:
        return None
    return Frame(data[:head_bytes], data[head_bytes:])
