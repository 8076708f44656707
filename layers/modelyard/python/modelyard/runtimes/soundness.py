"""Checks of the numbers in a model, which compiled code uses as they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from modelyard.domain.errors import ModelLoadError

Array = np.ndarray[Any, Any]


class DamagedError(ValueError):
    """What is wrong, for people."""


@contextmanager
def checking(model: str, otherwise: str = "") -> Iterator[None]:
    """Report what does not fit together in a model as ModelLoadError.

    `model` is how the message calls it; `otherwise` follows where the error is no `DamagedError`.
    """
    try:
        yield
    except DamagedError as error:
        raise ModelLoadError(f"{model} is damaged: {error}") from error
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ModelLoadError(f"{model} is damaged{otherwise}") from error


def require(holds: bool, otherwise: str) -> None:
    """Return if something holds.

    Raises:
        DamagedError: it does not; `otherwise` is what the model has instead.
    """
    if not holds:
        raise DamagedError(otherwise)


def all_in(values: Array, first: int, end: int) -> bool:
    """Return whether all values are at least `first` and below `end`."""
    return values.size == 0 or (int(values.min()) >= first and int(values.max()) < end)
