"""How large an answer may be, judged before it is made."""

from typing import Any

import numpy as np

from modelyard.domain.errors import InputRejectedError
from modelyard.domain.requests import MAX_ANSWER_BYTES

MAX_SCORES = 1 << 26
"""The most scores that a call may ask a model to compute: 256 MiB of float32."""


def refuse_values(count: int, least_bytes: int) -> None:
    """Return if so many values, each of `least_bytes` at least, may fit into an answer.

    Raises:
        InputRejectedError: they cannot.
    """
    if count * least_bytes > MAX_ANSWER_BYTES:
        raise InputRejectedError(
            f"the answer would have {count} values, which take more than the allowed"
            f" {MAX_ANSWER_BYTES} bytes: send fewer rows"
        )


def refuse_texts(array: np.ndarray[Any, Any]) -> None:
    """Return if the values of an array may fit into an answer as text, with what separates them.

    Raises:
        InputRejectedError: they cannot.
    """
    refuse_values(array.size, 4 if array.dtype.kind == "f" else 2)


def refuse_scores(rows: int, outputs: int) -> None:
    """Return if a model with so many outputs may compute the scores of so many rows.

    Raises:
        InputRejectedError: there would be too many of them.
    """
    if rows * outputs > MAX_SCORES:
        raise InputRejectedError(
            f"the model computes {outputs} scores for each of {rows} rows; allowed are"
            f" {MAX_SCORES} in all: send fewer rows"
        )
