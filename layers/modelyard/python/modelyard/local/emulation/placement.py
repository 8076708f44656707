"""Lambda's rules for which execution environment runs an invocation, without processes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class ThrottledError(Exception):
    """All environments that the function may have are busy."""


@dataclass(frozen=True, slots=True)
class _Idle(Generic[T]):
    environment: T
    tenant_id: str | None
    since: float


class Placement(Generic[T]):
    """The busy and the idle environments of one function."""

    def __init__(self, create: Callable[[], T], concurrency: int) -> None:
        self._create = create
        self._concurrency = concurrency
        self._idle: list[_Idle[T]] = []
        """Most recently used last."""
        self._busy: list[T] = []

    def take(self, tenant_id: str | None = None) -> T:
        """Return the tenant's most recently used idle environment, or else a new one.

        Raises:
            ThrottledError: all environments that the function may have are busy.
        """
        if len(self._busy) >= self._concurrency:
            raise ThrottledError
        found = next((one for one in reversed(self._idle) if one.tenant_id == tenant_id), None)
        if found is not None:
            self._idle.remove(found)
        environment = self._create() if found is None else found.environment
        self._busy.append(environment)
        return environment

    def give_back(self, environment: T, tenant_id: str | None, now: float) -> None:
        """Keep the environment for the tenant's next invocation."""
        self._busy.remove(environment)
        self._idle.append(_Idle(environment, tenant_id, now))

    def reap(self, idle_since: float) -> list[T]:
        """Remove and return the environments that have been idle since before this time."""
        old = [one for one in self._idle if one.since < idle_since]
        self._idle = [one for one in self._idle if one.since >= idle_since]
        return [one.environment for one in old]

    def __iter__(self) -> Iterator[T]:
        yield from self._busy
        yield from (one.environment for one in self._idle)
