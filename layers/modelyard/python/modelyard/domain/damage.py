"""Messages between our own processes that are not what they should be: one typed error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from modelyard.domain.errors import ModelyardError

T = TypeVar("T")


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Make one error of whatever a reader stumbles over.

    Raises:
        ModelyardError: the message is damaged; where, is its cause.
    """
    try:
        yield
    except ModelyardError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelyardError(f"{what} is damaged: {type(error).__name__}") from error


def typed(value: Any, kind: type[T]) -> T:
    """Return the value, which must be of this type.

    Raises:
        TypeError: it is not.
    """
    if not isinstance(value, kind):
        raise TypeError(f"found a {type(value).__name__}, expected a {kind.__name__}")
    return value


def optional(value: Any, kind: type[T]) -> T | None:
    """Return the value, which must be of this type or None.

    Raises:
        TypeError: it is not.
    """
    return None if value is None else typed(value, kind)
