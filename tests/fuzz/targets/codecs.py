"""Bodies of every content type, to arrays and back."""

import io
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from modelyard.runtimes.codecs import array_codec, csv_codec, libsvm_codec, npy_codec
from modelyard.runtimes.codecs.media_types import CSV, JSON, JSON_LINES, NPY

TYPES = {b"c": CSV, b"j": JSON, b"l": JSON_LINES, b"n": NPY}
DTYPES = [np.dtype(name) for name in ("f4", "f8", "i8", "u1", "?", "f2", "i4", "O")]


def target(data: bytes) -> None:
    choice, dtype, body = data[:1], DTYPES[(data[1:2] or b"0")[0] % len(DTYPES)], data[2:]
    if choice not in TYPES:
        _check_libsvm(body)
        return
    array = array_codec.decode(body, TYPES[choice])
    if choice == b"n":
        _check_against_numpy(array, body)
    if choice == b"c":
        _check_csv(body)
    for media_type in TYPES.values():
        array_codec.encode(array, media_type)
    assert array_codec.cast(array, dtype).dtype == dtype


def _check_libsvm(body: bytes) -> None:
    rows = libsvm_codec.decode(body)
    assert len(rows.values) == len(rows.columns) == rows.row_starts[-1]
    assert min(rows.columns, default=0) >= 0


def _check_csv(body: bytes) -> None:
    rows = csv_codec.decode(body)
    assert len({len(row) for row in rows}) == 1
    again = csv_codec.decode(csv_codec.encode(rows))
    assert [[_nan_as_none(cell) for cell in row] for row in again] == [
        [_nan_as_none(cell) for cell in row] for row in rows
    ]


def _nan_as_none(cell: float) -> float | None:
    return None if math.isnan(cell) else cell


def _check_against_numpy(array: np.ndarray[Any, Any], body: bytes) -> None:
    """What we take, NumPy's own reader reads to the same values, if it takes it, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = np.load(io.BytesIO(body), allow_pickle=False)
        except Exception:
            return
    np.testing.assert_array_equal(array, expected)


def _npy(shape: str, dtype: str, data: bytes) -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


def seeds() -> Iterator[bytes]:
    yield b"c0" + b"1,2.5,\n-3,nan,1e9\n"
    yield b"c1" + b"1;2\n3;4"
    yield b"j0" + b'[[1, 2.5, null], [true, NaN, "x"]]'
    yield b"j7" + b'["a", "bc"]'
    yield b"j7" + b'["\\ud800", "' + b"x" * 300 + b'"' + b', "a"' * 300 + b"]"
    yield b"n7" + _npy("1," * 70, "<f4", b"\0\0\0\0")
    yield b"n7" + _npy("1,", "<U1", b"\xff\xff\xff\xff")
    yield b"n7" + _npy("2,", "|S2", b"\xff\0ab")
    yield b"l2" + b"[1,2]\n[3,4]\n"
    yield b"s0" + b"1 1:0.5 3:2\n0 2:1\n"
    for array in (np.ones((2, 3), "f4"), np.array(["a", "b"]), np.asfortranarray([[1, 2], [3, 4]])):
        yield b"n3" + npy_codec.encode(array)
