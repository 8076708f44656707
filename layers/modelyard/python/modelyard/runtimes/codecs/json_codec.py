"""application/json and application/jsonlines."""

import json
import math
import re
from collections.abc import Iterable
from typing import Any

import orjson

from modelyard.domain.errors import InputRejectedError, PredictionError

_MAY_HOLD_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def decode(body: bytes) -> Any:
    """Return the value of a JSON body; NaN and Infinity are understood as Python writes them.

    Raises:
        InputRejectedError: it is no JSON, with the line and column.
    """
    return _decode(body, "the body")


def decode_lines(body: bytes) -> list[Any]:
    """Return the values of a JSON Lines body, one per line that is not blank.

    Raises:
        InputRejectedError: a line is no JSON, or there is no line.
    """
    lines = enumerate(body.splitlines(), start=1)
    values = [_decode(line, f"line {number} of the body") for number, line in lines if line.strip()]
    if not values:
        raise InputRejectedError("the body holds no JSON line")
    return values


def encode(value: Any) -> bytes:
    """Return JSON that every client can read: NaN and infinities become null.

    Arrays of any layout and type, series and frames become lists, NumPy scalars their values.

    Raises:
        PredictionError: the value holds something that JSON cannot.
    """
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    try:
        return orjson.dumps(value, default=_plain, option=options)
    except orjson.JSONEncodeError:
        return _encode_slowly(value)


def encode_lines(values: Iterable[Any]) -> bytes:
    """Return one JSON value per line, newline-terminated."""
    return b"".join(encode(value) + b"\n" for value in values)


def _encode_slowly(value: Any) -> bytes:
    """Return the JSON of what orjson refuses: integers beyond 64 bits, NumPy's values as keys."""
    try:
        return json.dumps(_plain_tree(value), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise PredictionError(f"the model's answer cannot be JSON: {error}") from error


def _plain_tree(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain_key(key): _plain_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_tree(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else _plain_tree(_plain(value))


def _plain_key(key: Any) -> Any:
    return key.item() if hasattr(key, "item") else key


def _plain(value: Any) -> Any:
    """Return what orjson does not know as something that it does, dates as orjson writes them."""
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy, series and indexes of pandas
        listed = value.tolist()
        return float(listed) if type(listed) is type(value) else listed  # numpy.longdouble
    if hasattr(value, "to_numpy"):  # frames of pandas
        return value.to_numpy().tolist()
    raise TypeError(f"a {type(value).__name__} is not JSON")


def _decode(text: bytes, where: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _decode_leniently(text, where)


def _decode_leniently(text: bytes, where: str) -> Any:
    # json.dumps of a client's NaN is not JSON, yet SageMaker's containers take it.
    try:
        value = json.loads(text)
        if _MAY_HOLD_SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except UnicodeEncodeError as error:
        raise InputRejectedError(f"{where} has a text with half of a surrogate pair") from error
    except json.JSONDecodeError as error:
        raise InputRejectedError(
            f"{where} is not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from error
    except UnicodeDecodeError as error:
        raise InputRejectedError(f"{where} is not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise InputRejectedError(f"{where} is nested too deeply") from error
    except ValueError as error:
        raise InputRejectedError(f"{where} holds a number with too many digits") from error
