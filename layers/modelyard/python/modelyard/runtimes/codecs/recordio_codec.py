"""application/x-recordio-protobuf: rows as SageMaker's algorithms store and send them.

A body is a row of records: a magic number, a length, a message in protobuf and padding to four
bytes. The message, `aialgs.data.Record`, has the tensor `values` of one row among its features.
https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-training.html has both definitions.
"""

import math
import struct
from collections.abc import Iterator

import numpy as np

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs.libsvm_codec import SparseRows

_MAGIC = 0xCED7230A
_HEADER = struct.Struct("<II")
_WHOLE_RECORD_BYTES = 1 << 29
"""Lengths from here on mark the parts of a record that was split; those bodies are not taken."""
_ALIGNMENT = 4

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
"""Wire types of protobuf."""
_FEATURES = 1
_KEY, _VALUE = 1, 2
_TENSORS = {2: "<f4", 3: "<f8", 7: None}
"""Fields of a value, and how their numbers are stored: float32, float64, and int32 as varints."""
_VALUES, _KEYS, _SHAPE = 1, 2, 3
_MOST_VARINT_BITS = 64

Fields = Iterator[tuple[int, int | memoryview]]


def decode(body: bytes) -> SparseRows:
    """Return the rows of a body; a dense row has a cell in each column from 0.

    Labels and other features are ignored. Dense rows say how many columns they have, and sparse
    rows if they have a shape, as those of SageMaker's SDK.

    Raises:
        InputRejectedError: the body is damaged, a record has no tensor `values`, a key stands
            twice in a row, or the shape is another one; the message names the record.
    """
    rows = SparseRows()
    for number, record in enumerate(_records(memoryview(body)), start=1):
        try:
            values, keys, width = _row(record)
        except (IndexError, ValueError, struct.error) as error:
            raise InputRejectedError(
                f"record {number} of the recordio body is not a row: {error}"
            ) from error
        rows.values.extend(values)
        rows.columns.extend(keys)
        rows.row_starts.append(len(rows.values))
        if width is not None:
            rows.widths.add(width)
    if not rows.values:
        raise InputRejectedError("the recordio body holds no values")
    return rows


def _records(body: memoryview) -> Iterator[memoryview]:
    place = 0
    while place < len(body):
        header = body[place : place + _HEADER.size]
        magic, length = _HEADER.unpack(header) if len(header) == _HEADER.size else (0, 0)
        start = place + _HEADER.size
        if magic != _MAGIC or length >= _WHOLE_RECORD_BYTES or start + length > len(body):
            raise InputRejectedError(f"the body is not recordio at byte {place}")
        yield body[start : start + length]
        place = start + -(-length // _ALIGNMENT) * _ALIGNMENT


def _row(record: memoryview) -> tuple[list[float], list[int], int | None]:
    """Return the numbers of a row, their columns, and how many columns it has, if it says that.

    Raises:
        ValueError, IndexError: the record is not one.
    """
    for entry in _messages(record, _FEATURES):
        fields = dict(_fields(entry))
        name, value = fields.get(_KEY), fields.get(_VALUE)
        if not isinstance(name, memoryview) or not isinstance(value, memoryview):
            continue
        if bytes(name) != b"values":
            continue
        for tensor, content in _fields(value):
            if tensor in _TENSORS and isinstance(content, memoryview):
                return _cells(content, _TENSORS[tensor])
    raise ValueError("it has no numbers by the name 'values'")


def _cells(tensor: memoryview, dtype: str | None) -> tuple[list[float], list[int], int | None]:
    packed = b"".join(_messages(tensor, _VALUES))
    keys = _varints(b"".join(_messages(tensor, _KEYS)))
    shape = _varints(b"".join(_messages(tensor, _SHAPE)))
    width = math.prod(shape) if shape else None
    if dtype is None:
        whole = np.array(_varints(packed), np.uint64)
        values = whole.astype(np.int64).astype(np.int32).tolist()  # negative ones have 64 bits
    else:
        values = np.frombuffer(packed, dtype).tolist()
    if not keys and values:
        if width not in (None, len(values)):
            raise ValueError(f"it has {len(values)} values for the shape {shape}")
        return values, list(range(len(values))), len(values)
    if len(keys) != len(values):
        raise ValueError(f"it has {len(keys)} keys for {len(values)} values")
    if len(set(keys)) < len(keys):
        raise ValueError("one key stands twice")
    if width is not None and max(keys, default=-1) >= width:
        raise ValueError(f"it has the key {max(keys)} for the shape {shape}")
    return values, keys, width


def _messages(message: memoryview, field: int) -> list[memoryview]:
    """Return the contents of a field that is a message, a text or packed numbers."""
    found = [content for number, content in _fields(message) if number == field]
    if not all(isinstance(content, memoryview) for content in found):
        raise ValueError(f"field {field} is not packed")
    return [content for content in found if isinstance(content, memoryview)]


def _fields(message: memoryview) -> Fields:
    """Yield the number and the content of each field."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        wire = tag & 7
        if wire == _VARINT:
            value, place = _varint(message, place)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            size, place = _varint(message, place)
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            size = 8 if wire == _EIGHT_BYTES else 4
        else:
            raise ValueError(f"wire type {wire}")
        if size > len(message) - place:
            raise ValueError("a field is longer than its message")
        yield tag >> 3, message[place : place + size]
        place += size


def _varints(packed: bytes) -> list[int]:
    data, found, place = memoryview(packed), [], 0
    while place < len(data):
        value, place = _varint(data, place)
        found.append(value)
    return found


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, _MOST_VARINT_BITS, 7):
        if place >= len(data):
            raise ValueError("a number ends too early")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, place
    raise ValueError("a number has too many bits")
