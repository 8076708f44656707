"""Checks for messages between our own processes: a damaged one raises ModelyardError."""

from types import TracebackType
from typing import Any, TypeVar

from modelyard.domain.errors import ModelyardError

T = TypeVar("T")


class reading:  # noqa: N801  # read like a function; `contextmanager` takes three times as long
    """Turns the errors of parsing `what` into one ModelyardError (context manager).

    Raises:
        ModelyardError: the message is damaged; `__cause__` says where.
    """

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if isinstance(error, AttributeError | LookupError | TypeError | ValueError):
            raise ModelyardError(f"{self._what} is damaged: {type(error).__name__}") from error


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
