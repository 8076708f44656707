"""Outputs of SavedModels as the flat lists of Cortex's TensorFlow client (Cortex v0.24 predictor).

The values are those of TensorFlow Serving's response in protobuf's JSON mapping. Cortex failed on
(u)int8, (u)int16, uint32, uint64, bfloat16 and empty tensors. Here such integers are ints,
bfloat16 are raw 16-bit integers like float16, and an empty tensor is an empty list.
"""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def encode(flat: Array) -> list[Any]:
    """Return the values of a one-dimensional array.

    int64 are decimal strings, bytes are base64 strings, float16 are raw 16-bit integers, complex
    numbers two floats each, floats that are not finite the strings NaN, Infinity, -Infinity.
    """
    return _ENCODERS.get(flat.dtype.name, _plain)(flat)


def _plain(flat: Array) -> list[Any]:
    values: list[Any] = flat.tolist()
    return values


def _decimals(flat: Array) -> list[str]:
    return [str(value) for value in flat.tolist()]


def _base64(flat: Array) -> list[str]:
    return [base64.b64encode(value).decode("ascii") for value in flat]


def _raw(flat: Array) -> list[int]:
    return _plain(flat.view(np.uint16))


def _doubles(flat: Array) -> list[Any]:
    values = _plain(flat)
    if np.isfinite(flat).all():
        return values
    return [_NOT_FINITE.get(str(value), value) for value in values]


def _floats(flat: Array) -> list[Any]:
    """Return float32 as their shortest decimals: 0.1, not 0.10000000149011612."""
    return _doubles(flat.astype(np.str_).astype(np.float64))


_ENCODERS: dict[str, Callable[[Array], list[Any]]] = {
    "bfloat16": _raw,
    "complex128": lambda flat: _doubles(flat.view(np.float64)),
    "complex64": lambda flat: _floats(flat.view(np.float32)),
    "float16": _raw,
    "float32": _floats,
    "float64": _doubles,
    "int64": _decimals,
    "object": _base64,
}
