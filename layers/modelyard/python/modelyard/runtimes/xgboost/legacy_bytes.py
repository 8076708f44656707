"""The bytes of a model in XGBoost's legacy binary format; nothing is read that is not there."""

import struct
from typing import Any, NoReturn

import numpy as np

from modelyard.domain.errors import ArtifactInvalidError

COUNT = struct.Struct("<Q")
"""How the number of characters, weights or attributes is stored."""


class LegacyBytes:
    """The bytes of a model, read from front to back."""

    def __init__(self, content: bytes, name: str) -> None:
        self._content = content
        self._name = name
        self._place = 0

    @property
    def left(self) -> int:
        """The number of bytes that are not read yet."""
        return len(self._content) - self._place

    def fail(self, problem: str) -> NoReturn:
        """Raise ArtifactInvalidError with the problem and where it was found."""
        raise ArtifactInvalidError(
            f"{self._name} is no valid model in XGBoost's legacy binary format: {problem} "
            f"(found before byte {self._place} of {len(self._content)})"
        )

    def fields(self, layout: struct.Struct, what: str) -> tuple[Any, ...]:
        """Return the fields that come next; `what` they are is for messages, here and below."""
        return layout.unpack(self._next(layout.size, what))

    def array(self, kind: np.dtype[Any], count: int, what: str) -> np.ndarray[Any, Any]:
        """Return an array without copying it."""
        return np.frombuffer(self._next(kind.itemsize * count, what), kind)

    def count(self, each_bytes: int, what: str) -> int:
        """Return a stored count of things that take `each_bytes` or more."""
        (count,) = self.fields(COUNT, f"the number of {what}")
        return self.checked(count, each_bytes, what)

    def checked(self, count: int, each_bytes: int, what: str) -> int:
        """Return a count if so many things can be there."""
        if not 0 <= count * each_bytes <= self.left:
            self.fail(f"it states {count} {what}, and {self.left} bytes are left")
        return count

    def text(self, what: str) -> bytes:
        """Return a text that its length precedes, as it is encoded."""
        return self._next(self.count(1, f"characters of {what}"), what)

    def _next(self, size: int, what: str) -> bytes:
        if size > self.left:
            self.fail(f"{what} take {size} bytes, and {self.left} are left")
        self._place += size
        return self._content[self._place - size : self._place]
