"""Rows as SageMaker's algorithms send them, written without protobuf's package."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np


def recordio(
    row: Sequence[float] | Mapping[int, float], dtype: str = "<f4", shape: Sequence[int] = ()
) -> bytes:
    """Return a record of one row: of all its values, or of some by their columns.

    `dtype` is `<f4`, `<f8` or `<i4`.
    """
    values = list(row.values()) if isinstance(row, Mapping) else list(row)
    keys = list(row) if isinstance(row, Mapping) else []
    if dtype == "<i4":  # numbers of seven bits a byte; negative ones have 64 bits
        packed = b"".join(_varint(int(value) & (1 << 64) - 1) for value in values)
    else:
        packed = np.array(values, dtype).tobytes()
    tensor = _field(1, packed) + (_field(2, b"".join(map(_varint, keys))) if keys else b"")
    tensor += _field(3, b"".join(map(_varint, shape))) if shape else b""
    value = _field({"<f4": 2, "<f8": 3, "<i4": 7}[dtype], tensor)
    return framed(_field(1, _field(1, b"values") + _field(2, value)))


def framed(message: bytes) -> bytes:
    """Return a message as a record."""
    return struct.pack("<II", 0xCED7230A, len(message)) + message + bytes(-len(message) % 4)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
