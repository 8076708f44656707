"""What a model's repository holds now: asked once for all callers, and not too often.

A call whose model is loaded does not wait for long: where the repository takes its time, the loaded
copy answers, and the repository's own answer counts when it comes.
"""

import logging
import threading
from collections.abc import Callable

from modelyard.domain.errors import (
    DependencyError,
    ModelyardError,
    TargetModelForbiddenError,
    TargetModelNotFoundError,
)
from modelyard.domain.ports import Clock, ModelRepository
from modelyard.domain.values import ModelId, ModelSource
from modelyard.inference.residence.slots import Slot

logger = logging.getLogger(__name__)

MISSING_TTL_S = 3.0
CHECK_PATIENCE_S = 1.0
"""How long a call whose model is loaded waits for the repository to say that it is current."""


class Revalidation:
    """Keeps what the slots know of the repository as new as the sources want it."""

    def __init__(
        self,
        *,
        is_loaded: Callable[[ModelId], bool],
        unload: Callable[[ModelId], object],
        refresh: Callable[[Slot, ModelSource], None],
        open_repository: Callable[[str], ModelRepository],
        clock: Clock,
        lock: threading.Lock,
    ) -> None:
        """`refresh` is called with what is known now; `lock` guards the slots' members."""
        self._is_loaded = is_loaded
        self._unload = unload
        self._refresh = refresh
        self._open_repository = open_repository
        self._clock = clock
        self._lock = lock

    def _is_due(self, slot: Slot, source: ModelSource) -> bool:
        age_s = self._clock.monotonic() - slot.checked_at
        if slot.missing is not None:
            return age_s >= min(MISSING_TTL_S, source.revalidate_s)
        return age_s >= source.revalidate_s

    def revalidate(self, slot: Slot, source: ModelSource) -> None:
        """Ask the repository if that is due, once for all callers, and start loading what changed.

        Raises:
            DependencyError: it cannot be asked, and there is no loaded copy to answer instead.
        """
        if not self._is_due(slot, source):
            return
        is_loaded = self._is_loaded(source.model_id)
        if not slot.checking.acquire(timeout=CHECK_PATIENCE_S if is_loaded else -1):
            return
        if is_loaded:
            self._check_apart(slot, source)
        else:
            self._check(slot, source)

    def _check_apart(self, slot: Slot, source: ModelSource) -> None:
        """Ask in a thread of its own, and leave it alone when that takes long."""
        check = threading.Thread(
            target=self._check_unheard, args=(slot, source), name="check", daemon=True
        )
        try:
            check.start()
        except RuntimeError:
            slot.checking.release()
            logger.warning("no thread is left to ask the repository in")
        else:
            check.join(CHECK_PATIENCE_S)

    def _check_unheard(self, slot: Slot, source: ModelSource) -> None:
        try:
            self._check(slot, source)
        except ModelyardError as error:  # the copy was evicted meanwhile: the next call asks again
            logger.warning("revalidation failed", extra={"reason": error.message})
        except Exception:
            logger.exception("revalidation failed", extra={"model": str(source.model_id)})

    def _check(self, slot: Slot, source: ModelSource) -> None:
        """Ask unless that was done meanwhile; gives back `checking`, which the caller took."""
        try:
            if self._is_due(slot, source):
                self._ask(slot, source)
        finally:
            slot.checking.release()

    def _ask(self, slot: Slot, source: ModelSource) -> None:
        """Ask the repository; start loading what changed."""
        asked_at = self._clock.monotonic()
        repository = self._open_repository(source.repository)
        try:
            artifact = repository.describe(source.target_model)
        except (DependencyError, TargetModelNotFoundError) as error:
            self._keep_or_forget(slot, source, error)
            slot.checked_at = asked_at
        else:
            with self._lock:
                slot.artifact, slot.missing, slot.checked_at = artifact, None, asked_at
        self._refresh(slot, source)

    def _keep_or_forget(
        self, slot: Slot, source: ModelSource, error: DependencyError | TargetModelNotFoundError
    ) -> None:
        """Forget a model that is gone; a repository that does not say takes no model down."""
        is_gone = isinstance(error, TargetModelNotFoundError)
        is_gone = is_gone and not isinstance(error, TargetModelForbiddenError)
        if not is_gone and self._is_loaded(source.model_id):
            logger.warning(
                "revalidation failed, serving the loaded copy",
                extra={"model": str(source.model_id), "reason": error.message},
            )
        elif isinstance(error, TargetModelNotFoundError):
            with self._lock:
                slot.artifact, slot.missing, slot.failure = None, error, None
            self._unload(source.model_id)
        else:
            raise error
