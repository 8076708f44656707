"""The models of one API for its clients: the index resolves them, the residence leases them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Generic, TypeVar

from modelyard.cortex.clients.call_scope import CallScope, current_scope
from modelyard.cortex.clients.model_index import ModelIndex
from modelyard.domain.errors import ModelError, TargetModelNotFoundError
from modelyard.domain.ports import Clock
from modelyard.domain.values import ModelSource, TargetModel
from modelyard.inference.residence.model_cache import LoadedModel, R
from modelyard.inference.residence.residence import Residence

T = TypeVar("T")


class ClientModels(Generic[R]):
    """Leases models for all clients; raises what `ModelIndex` and `Residence` raise."""

    def __init__(
        self,
        index: ModelIndex,
        residence: Residence[R],
        source_of: Callable[[TargetModel], ModelSource],
        clock: Clock,
        *,
        window_s: float,
        cache_size: int | None = None,
    ) -> None:
        """`window_s` is how long a lease outside a request may wait for its model.

        `cache_size` is how many models may be in memory, if the API limits them.
        """
        self.index = index
        self._residence = residence
        self._source_of = source_of
        self._clock = clock
        self._window_s = window_s
        self._cache_size = cache_size

    def new_scope(self, window_s: float, patience_s: float) -> CallScope[R]:
        """Return the scope of a call that may wait `window_s` for all its models."""
        return CallScope(
            self._lease,
            self._clock,
            window_s=window_s,
            patience_s=patience_s,
            most_models=self._cache_size,
        )

    @contextmanager
    def lease(self, name: str | None, version: str | int | None) -> Iterator[LoadedModel[R]]:
        """Lease a model until the with block ends, or the call in which it runs.

        Outside a call (in `__init__`, in threads of the class) the cache may evict the model after
        the block; references that the block kept stay valid.
        """
        with self._scope() as scope:
            yield self.hold_in(scope, name, version)

    def refresh(self) -> None:
        """Unload the versions that are no longer in the repository."""
        self.index.refresh(model_id.target_model for model_id in self._residence.loaded())

    def look_ahead(self, scope: CallScope[R], name: str | None, version: str | int | None) -> None:
        """Load the model that `hold_in` would return."""
        self._first(scope.look_ahead, name, version)

    def hold_in(
        self, scope: CallScope[R], name: str | None, version: str | int | None
    ) -> LoadedModel[R]:
        """Return a model leased for a scope; "latest" falls back to older versions."""
        return self._first(scope.hold, name, version)

    def _first(
        self, take: Callable[[TargetModel], T], name: str | None, version: str | int | None
    ) -> T:
        first_error: ModelError | TargetModelNotFoundError | None = None
        for target in self.index.candidates(name, version):
            try:
                return take(target)
            except ModelError as error:
                self.index.mark_broken(target)
                first_error = first_error or error
            except TargetModelNotFoundError as error:  # removed since it was listed
                first_error = first_error or error
        assert first_error is not None
        raise first_error

    def _lease(
        self, target: TargetModel, *, window_s: float, patience_s: float
    ) -> AbstractContextManager[tuple[LoadedModel[R], bool]]:
        source = self._source_of(target)
        return self._residence.lease(source, window_s=window_s, patience_s=patience_s)

    @contextmanager
    def _scope(self) -> Iterator[CallScope[R]]:
        scope = current_scope()
        if scope is not None:
            yield scope
            return
        scope = self.new_scope(self._window_s, self._window_s)
        try:
            yield scope
        finally:
            scope.close()
