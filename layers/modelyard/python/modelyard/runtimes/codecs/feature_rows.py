"""Rows of features, as SageMaker's scikit-learn container makes them of a body."""

from typing import Any

import numpy as np

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import array_codec


def rows_of(array: np.ndarray[Any, Any], *, is_text: bool) -> np.ndarray[Any, Any]:
    """Return an array as SageMaker's scikit-learn container hands it to `predict`.

    A body of text (JSON, CSV) becomes float32, also where its numbers are written as strings; one
    flat row is a batch of one.

    Raises:
        InputRejectedError: a text is no number; the message names its place.
    """
    numbers = _single(array) if is_text else array
    return numbers.reshape(1, -1) if numbers.ndim == 1 else numbers


def _single(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype.kind not in "US":
        return array_codec.cast(array, np.dtype(np.float32))
    try:
        return array.astype(np.float32)
    except ValueError as error:
        place, value = next((at, one) for at, one in np.ndenumerate(array) if not _is_number(one))
        column = f"column {place[-1] + 1}" if place else "the body"
        raise InputRejectedError(
            f"{column} holds the text {str(value)[:40]!r}: rows are numbers; a model "
            "with text columns needs code/inference.py whose input_fn makes its data frame"
        ) from error


def _is_number(value: Any) -> bool:
    try:
        np.float32(value)
    except ValueError:
        return False
    return True
