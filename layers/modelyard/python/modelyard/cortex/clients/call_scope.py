"""The models one call uses: each is leased once, and all leases end with the call."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Generic, Protocol

from modelyard.domain.errors import CapacityError, ModelError
from modelyard.domain.ports import Clock
from modelyard.domain.values import TargetModel
from modelyard.inference.residence.model_cache import LoadedModel, R


class Lease(Protocol[R]):
    """Leases a target model from the residence."""

    def __call__(
        self, target: TargetModel, *, window_s: float, patience_s: float
    ) -> AbstractContextManager[tuple[LoadedModel[R], bool]]:
        """Return a context with the loaded model and whether it was loaded before."""
        ...


@dataclass(frozen=True, slots=True)
class _Held(Generic[R]):
    model: LoadedModel[R]
    leases: ExitStack


class CallScope(Generic[R]):
    """The leases of one call; used by one thread at a time."""

    def __init__(
        self,
        lease: Lease[R],
        clock: Clock,
        *,
        window_s: float,
        patience_s: float,
        most_models: int | None = None,
    ) -> None:
        """`most_models` is how many models may be in memory: no call can use more at once."""
        self.cache_hit = True
        self.wait_s = 0.0
        """How long the call waited for models that were not loaded."""
        self.is_closed = False
        self._lease = lease
        self._clock = clock
        self._window_s = window_s
        self._patience_s = patience_s
        self._most_models = most_models
        self._held: dict[TargetModel, _Held[R]] = {}
        self._ahead: set[TargetModel] = set()
        self._used: set[TargetModel] = set()
        self._failed: dict[TargetModel, ModelError] = {}

    @property
    def used_all(self) -> bool:
        """Whether the call asked for every model that was loaded ahead."""
        return self._ahead <= self._used

    def look_ahead(self, target: TargetModel) -> None:
        """Load a model that the call will probably ask for.

        It is not leased: a call that waits for a thread must not hold what a running call needs.

        Raises:
            As `hold`.
        """
        self._ahead.add(target)
        self._acquire(target).leases.close()

    def hold(self, target: TargetModel) -> LoadedModel[R]:
        """Return the loaded model, leased until the call ends; a failed load is not repeated.

        Raises:
            CapacityError: the call uses as many models as may be in memory.
            ModelyardError: as `Residence.lease`.
        """
        self._used.add(target)
        if target in self._failed:
            raise self._failed[target]
        held = self._held.get(target)
        if held is None:
            self._refuse_too_many(target)
            held = self._held[target] = self._acquire(target)
        return held.model

    def close(self) -> None:
        """End all leases; later leases do not belong to this call."""
        self.is_closed = True
        for held in self._held.values():
            held.leases.close()
        self._held.clear()

    def _acquire(self, target: TargetModel) -> _Held[R]:
        leases = ExitStack()
        asked_at = self._clock.monotonic()
        lease = self._lease(
            target,
            window_s=max(0.0, self._window_s - self.wait_s),
            patience_s=max(0.0, self._patience_s - self.wait_s),
        )
        try:
            model, is_hit = leases.enter_context(lease)
        except ModelError as error:
            self._failed[target] = error
            self.wait_s += self._clock.monotonic() - asked_at
            raise
        if not is_hit:
            self.cache_hit = False
            self.wait_s += self._clock.monotonic() - asked_at
        return _Held(model, leases)

    def _refuse_too_many(self, target: TargetModel) -> None:
        """Fail at once if the call would wait for memory that it holds itself."""
        if len(self._held) == self._most_models:
            raise CapacityError(
                f"no room for {target}: the call uses {', '.join(sorted(self._held))} already, and"
                f" no more than {self._most_models} may be in memory: raise cache_size"
            )


_CURRENT: ContextVar[CallScope[Any] | None] = ContextVar("call_scope", default=None)


def current_scope() -> CallScope[Any] | None:
    """Return the scope of the call that runs in this context, if any."""
    scope = _CURRENT.get()
    # Work that outlives the call may still have its context.
    return None if scope is None or scope.is_closed else scope


@contextmanager
def entered(scope: CallScope[Any]) -> Iterator[None]:
    """Make a scope the current one in this context and in copies of it."""
    token = _CURRENT.set(scope)
    try:
        yield
    finally:
        _CURRENT.reset(token)
