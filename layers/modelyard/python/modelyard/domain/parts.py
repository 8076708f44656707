"""Parts of an output that are passed on while the model makes the next one."""

from collections.abc import AsyncIterator, Awaitable
from typing import Protocol


class Parts(Protocol):
    """The parts of one output, in order. They must be closed, also if they were never asked for."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return this object."""
        ...

    def __anext__(self) -> Awaitable[bytes]:
        """Return the next part.

        Raises:
            StopAsyncIteration: there are no more.
            ModelyardError: the next part cannot be made, and there are no more.
        """
        ...

    def aclose(self) -> Awaitable[object]:
        """Stop to make parts."""
        ...
