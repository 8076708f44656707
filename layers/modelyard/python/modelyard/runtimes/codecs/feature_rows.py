"""Rows of features, as SageMaker's scikit-learn container makes them of a body."""

from typing import Any

import numpy as np

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import array_codec, csv_codec


def rows_of(
    array: np.ndarray[Any, Any], *, is_text: bool, width: int | None
) -> np.ndarray[Any, Any]:
    """Return an array as SageMaker's scikit-learn container hands it to `predict`.

    A body of text (JSON, CSV) becomes float32, also where its numbers are written as strings. A
    flat array is one row, or a column for a model of one feature; `width` is the number of
    features, if the model knows it.

    Raises:
        InputRejectedError: a text is no number; the message names its place.
    """
    numbers = _single(array) if is_text else array
    if numbers.ndim != 1:
        return numbers
    return numbers.reshape(-1, 1) if width == 1 else numbers.reshape(1, -1)


def of_width(array: np.ndarray[Any, Any], width: int) -> np.ndarray[Any, Any]:
    """Return an array as rows of `width` values; a flat one is a row, or a column where that is 1.

    Raises:
        InputRejectedError: its rows have another number of values.
    """
    rows = array.reshape((-1, 1) if width == 1 else (1, -1)) if array.ndim == 1 else array
    if rows.ndim != 2 or rows.shape[1] != width:
        raise InputRejectedError(
            f"the model takes rows of {width} values, got an array of the shape {list(array.shape)}"
        )
    return rows


def _single(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind not in "OUS":
        return array_codec.cast(array, np.dtype(np.float32))
    for place, value in np.ndenumerate(array):
        is_text = isinstance(value, str)
        if not is_text or not value.strip() or not csv_codec.is_number(value):
            column = f"column {place[-1] + 1}" if place else "the body"
            raise InputRejectedError(
                f"{column} holds {'the text ' * is_text}{str(value)[:40]!r}: rows are numbers; "
                "a model with text columns needs code/inference.py whose input_fn makes its data "
                "frame"
            )
    return array.astype(np.float32)
