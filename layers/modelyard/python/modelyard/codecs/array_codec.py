"""Arrays in and out of the general content types; shared by the runtimes that compute on arrays."""

from typing import Any

import numpy as np

from modelyard.codecs import csv_codec, json_codec, npy_codec
from modelyard.codecs.media_types import CSV, JSON, JSON_LINES, NPY
from modelyard.errors import InputRejectedError

TYPES = (JSON, CSV, NPY, JSON_LINES)


def decode(body: bytes, media_type: str) -> np.ndarray[Any, Any]:
    """Return the array of a body of one of `TYPES`.

    Raises:
        InputRejectedError: the body is malformed or not rectangular.
    """
    if media_type == NPY:
        return npy_codec.decode(body)
    return from_values(decode_values(body, media_type))


def decode_values(body: bytes, media_type: str) -> Any:
    """Return the plain Python value of a body of one of `TYPES` but npy."""
    if media_type == CSV:
        return csv_codec.decode(body)
    return json_codec.decode_lines(body) if media_type == JSON_LINES else json_codec.decode(body)


def from_values(values: Any) -> np.ndarray[Any, Any]:
    """Return nested lists as an array of numbers, booleans or text; null is NaN among numbers.

    Raises:
        InputRejectedError: ragged lists, or values of several kinds.
    """
    try:
        array = np.array(values)
        return array.astype(np.float64) if array.dtype.hasobject else array
    except (ValueError, TypeError, OverflowError) as error:
        raise InputRejectedError(
            "the values are not an array: rows of equal length, all numbers or all text"
        ) from error


def cast(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return the array as `dtype`, exactly for integers and as near as possible for floats.

    Raises:
        InputRejectedError: values that the type cannot hold.
    """
    if dtype == array.dtype:
        return array
    if (array.dtype.kind in "US") != (dtype.kind in "OUS"):
        raise InputRejectedError(f"the values are {array.dtype.name}, the model takes {dtype.name}")
    with np.errstate(all="ignore"):
        converted = array.astype(dtype)
        if dtype.kind in "biu" and not np.array_equal(converted, array):
            raise InputRejectedError(f"the values do not fit {dtype.name}")
    return converted


def encode(array: np.ndarray[Any, Any], media_type: str) -> bytes:
    """Return an array as a body of one of `TYPES`; CSV has one line per row."""
    if media_type == NPY:
        return npy_codec.encode(array)
    values = array.tolist()
    if media_type == JSON:
        return json_codec.encode(values)
    rows = values if isinstance(values, list) else [values]
    return csv_codec.encode(rows) if media_type == CSV else json_codec.encode_lines(rows)
