"""application/x-npy: NumPy's array format, read without ever trusting what its header claims."""

import io
import math
import re
from typing import Any

import numpy as np

from modelyard.domain.errors import InputRejectedError

_MAGIC = b"\x93NUMPY"

# NumPy itself pads headers of plain arrays to 118 bytes; structured types are not taken here.
_MAX_HEADER_BYTES = 1024

_MOST_DIMENSIONS = 32
_LAST_CHARACTER = 0x10FFFF

# Booleans, integers, floats, bytes and text; not objects (pickles), structures or dates.
_TYPE = re.compile(r"'descr':\s*'([<>|=]?(?:b1|[iu][1248]|f[248]|[SU]\d{1,6}))'")
_ORDER = re.compile(r"'fortran_order':\s*(True|False)")
_SHAPE = re.compile(r"'shape':\s*\(([\d\s,]*)\)")


def decode(body: bytes) -> np.ndarray[Any, Any]:
    """Return the array: a view into the body that cannot be written to, if it may be one.

    Its bytes are in this machine's order: libraries that are handed its address take them so.

    Raises:
        InputRejectedError: no npy, a type that is not plain, or a size that is not the body's.
    """
    header, data = _split(body)
    dtype, order, shape = _described(header)
    claimed_bytes = math.prod(shape) * dtype.itemsize
    if claimed_bytes != len(data):
        raise InputRejectedError(
            f"the npy header claims {claimed_bytes} bytes of data, the body holds {len(data)}"
        )
    if not data:
        raise InputRejectedError("the npy body holds no values")
    array = np.frombuffer(data, dtype=dtype)
    if dtype.kind == "U":
        _require_text(array)
    native = array.astype(dtype.newbyteorder("="), copy=False)
    native.flags.writeable = False
    return native.reshape(shape, order=order)


def encode(array: np.ndarray[Any, Any]) -> bytes:
    """Return an array as npy; objects become text, never pickles."""
    plain = array.astype(np.str_) if array.dtype.hasobject else array
    sink = io.BytesIO()
    np.save(sink, plain, allow_pickle=False)
    return sink.getvalue()


def _split(body: bytes) -> tuple[str, memoryview]:
    if body[:6] != _MAGIC or len(body) < 10 or body[6] not in (1, 2, 3):
        raise InputRejectedError("the body is not npy: it has no NumPy header")
    start = 10 if body[6] == 1 else 12
    length = int.from_bytes(body[8:start], "little")
    if length > _MAX_HEADER_BYTES:
        raise InputRejectedError(
            f"the npy header is {length} bytes long, {_MAX_HEADER_BYTES} are allowed"
        )
    header = body[start : start + length].decode("utf-8", "replace")
    return header, memoryview(body)[start + length :]


def _require_text(array: np.ndarray[Any, Any]) -> None:
    """Refuse numbers that are no characters: turned into text, they are an error of NumPy's own."""
    codes = array.view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
    if ((codes > _LAST_CHARACTER) | ((codes >= 0xD800) & (codes < 0xE000))).any():
        raise InputRejectedError("the npy body holds text that is not Unicode")


def _described(header: str) -> tuple[np.dtype[Any], Any, tuple[int, ...]]:
    kind, order, shape = _TYPE.search(header), _ORDER.search(header), _SHAPE.search(header)
    if not (kind and order and shape):
        raise InputRejectedError(
            "the npy header does not describe a plain array of numbers, booleans or text"
        )
    try:
        sizes = tuple(int(size) for size in shape[1].replace(",", " ").split())
    except ValueError as error:  # more digits than Python converts
        raise InputRejectedError("the npy header claims an impossible shape") from error
    if len(sizes) > _MOST_DIMENSIONS:
        raise InputRejectedError(
            f"the npy header claims {len(sizes)} dimensions, {_MOST_DIMENSIONS} are allowed"
        )
    return np.dtype(kind[1]), "F" if order[1] == "True" else "C", sizes
