"""How requests become the messages of a queue, and messages become requests."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MessageForm(Generic[T]):
    """The messages of one kind of queue."""

    queue: str
    """The name of the queue in messages and in the log, such as `warm`."""
    render: Callable[[T], str]
    """Returns the message of a request; equal requests have equal messages."""
    parse: Callable[[str], T]
    """Returns the request of a message; raises ModelyardError if it is none."""
