"""Checks for messages between our own processes: a damaged one raises ModelyardError."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from modelyard.domain.errors import ModelyardError

T = TypeVar("T")


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn the errors of parsing `what` into one ModelyardError.

    Raises:
        ModelyardError: the message is damaged; `__cause__` says where.
    """
    try:
        yield
    except ModelyardError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelyardError(f"{what} is damaged: {type(error).__name__}") from error


def typed(value: Any, kind: type[T]) -> T:
    """Return the value if it has this type.

    Raises:
        TypeError: it has another type.
    """
    if not isinstance(value, kind):
        raise TypeError(f"found a {type(value).__name__}, expected a {kind.__name__}")
    return value


def optional(value: Any, kind: type[T]) -> T | None:
    """Return the value if it has this type or is None.

    Raises:
        TypeError: it has another type.
    """
    return None if value is None else typed(value, kind)
