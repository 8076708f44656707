"""Arrays in and out of the general content types; shared by the runtimes that compute on arrays."""

from itertools import chain
from typing import Any

import numpy as np

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import (
    answer_size,
    csv_codec,
    foreign_bodies,
    json_codec,
    npy_codec,
)
from modelyard.runtimes.codecs.media_types import CSV, JSON, JSON_LINES, NPY

_MOST_TEXT_BYTES = 256 * 1024 * 1024
_CHARACTER_BYTES = 4
_NUMBER_CHARACTERS = 32

TYPES = (JSON, CSV, NPY, JSON_LINES)


def decode(body: bytes, media_type: str, *, casts_to_text: bool = False) -> np.ndarray[Any, Any]:
    """Return the array of a body of one of `TYPES`; `casts_to_text` is that of `from_values`.

    Raises:
        InputRejectedError: the body is malformed, not rectangular, or another server's format.
    """
    if media_type == NPY:
        return npy_codec.decode(body)
    values = decode_values(body, media_type)
    if what := foreign_bodies.what(values):
        raise InputRejectedError(f"{what}: this model takes rows alone, [[1, 2], [3, 4]], or {CSV}")
    array = from_values(values, casts_to_text=casts_to_text)
    # A line of JSON Lines is a row, also when it holds one value.
    return array.reshape(-1, 1) if media_type == JSON_LINES and array.ndim == 1 else array


def decode_values(body: bytes, media_type: str) -> Any:
    """Return the plain Python value of a body of one of `TYPES` but npy.

    Raises:
        InputRejectedError: the body is malformed; the message of JSON says if it looks like CSV.
    """
    if media_type == CSV:
        return csv_codec.decode(body)
    try:
        is_lines = media_type == JSON_LINES
        return json_codec.decode_lines(body) if is_lines else json_codec.decode(body)
    except InputRejectedError as error:
        raise InputRejectedError(error.message + csv_codec.hint(body)) from error


def from_values(values: Any, *, casts_to_text: bool = False) -> np.ndarray[Any, Any]:
    """Return nested lists as an array of numbers, booleans or text; null is NaN among numbers.

    With `casts_to_text`, numbers beside text become text, as NumPy does it.

    Raises:
        InputRejectedError: ragged lists, values of several kinds, or texts of such different
            lengths that the array, which has room for the longest in every place, is too large.
    """
    try:
        _require_room(values)
        array = np.array(values)
        if array.dtype.kind == "U" and not (casts_to_text or _are_texts(values)):
            raise ValueError("numbers beside text")
        if not array.dtype.hasobject:
            return array
        texts = [value for value in array.flat if isinstance(value, str)]
        if texts and not (casts_to_text and all(map(csv_codec.is_plain, texts))):
            raise ValueError("null beside text")
        return array.astype(np.float64)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InputRejectedError(
            "the values are not an array: rows of equal length, all numbers or all text"
        ) from error


def _are_texts(values: Any) -> bool:
    return all(map(_are_texts, values)) if isinstance(values, list) else isinstance(values, str)


def cast(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return the array as `dtype`, exactly for integers and as near as possible for floats.

    Raises:
        InputRejectedError: values that the type cannot hold, also floats that would be infinite.
    """
    if dtype == array.dtype:
        return array
    if (array.dtype.kind in "US") != (dtype.kind in "OUS"):
        given, taken = ("text" if one.kind in "OUS" else one.name for one in (array.dtype, dtype))
        raise InputRejectedError(f"the values are {given}, the model takes {taken}")
    with np.errstate(all="ignore", over="raise"):
        converted = _as(array, dtype)
        if dtype.kind in "biu" and not np.array_equal(converted, array):
            raise InputRejectedError(f"the values do not fit {dtype.name}")
    return converted


def encode(array: np.ndarray[Any, Any], media_type: str) -> bytes:
    """Return an array as a body of one of `TYPES`; CSV has one line per row.

    Raises:
        InputRejectedError: the array has too many values for an answer.
    """
    if media_type == NPY:
        answer_size.refuse_values(array.size, array.itemsize)
        return npy_codec.encode(array)
    answer_size.refuse_texts(array)
    values = array.tolist()
    if media_type == JSON:
        return json_codec.encode(values)
    rows = values if isinstance(values, list) else [values]
    return csv_codec.encode(rows) if media_type == CSV else json_codec.encode_lines(rows)


def _require_room(values: Any) -> None:
    places, longest = _text_in(values)
    size_bytes = places * max(longest, _NUMBER_CHARACTERS) * _CHARACTER_BYTES if longest else 0
    if size_bytes > _MOST_TEXT_BYTES:
        raise InputRejectedError(
            f"the values are texts of up to {longest} characters in {places} places: as an array "
            f"they would take {size_bytes} bytes, {_MOST_TEXT_BYTES} are allowed"
        )


def _text_in(values: Any) -> tuple[int, int]:
    """Return how many values nested lists hold, and the length of the longest text in them."""
    places = longest = 0
    level = [values]
    while level:  # depth by depth: a call for each row would take longer than NumPy does
        kinds = set(map(type, level))
        if str in kinds:
            longest = max(longest, *(len(value) for value in level if isinstance(value, str)))
        if list not in kinds:
            return places + len(level), longest
        lists = [value for value in level if isinstance(value, list)] if len(kinds) > 1 else level
        places += len(level) - len(lists)
        level = list(chain.from_iterable(lists))
    return places, longest


def _as(array: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    try:
        return array.astype(dtype)
    except (ValueError, ArithmeticError) as error:
        raise InputRejectedError(f"the values do not fit {dtype.name}") from error
