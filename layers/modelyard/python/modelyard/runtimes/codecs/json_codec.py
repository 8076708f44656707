"""application/json and application/jsonlines."""

import json
from collections.abc import Iterable
from typing import Any

import orjson

from modelyard.domain.errors import InputRejectedError, PredictionError


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

    Raises:
        PredictionError: the value holds something that JSON cannot.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    except orjson.JSONEncodeError as error:
        raise PredictionError(f"the model's answer cannot be JSON: {error}") from error


def encode_lines(values: Iterable[Any]) -> bytes:
    """Return one JSON value per line, newline-terminated."""
    return b"".join(encode(value) + b"\n" for value in values)


def _decode(text: bytes, where: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _decode_leniently(text, where)


def _decode_leniently(text: bytes, where: str) -> Any:
    # json.dumps of a client's NaN is not JSON, yet SageMaker's containers take it.
    try:
        return json.loads(text)
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
