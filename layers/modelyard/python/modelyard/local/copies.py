"""Which models of other workers are called so often that a copy here pays."""

from modelyard.domain.ports import Clock
from modelyard.domain.values import ModelId

CALLS = 20
PERIOD_S = 5.0
"""So many calls within this time make a model worth a copy."""
RETRY_S = 10.0
"""How long no copy is tried after there was no memory for one."""
MAX_COUNTED = 1_000


class Forwarded:
    """Counts the calls that this worker sends to the worker that a model belongs to."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[ModelId, tuple[float, int]] = {}
        """The begin of the period and the calls in it."""

    def count(self, model_id: ModelId) -> None:
        """Count a call that the model answered."""
        now = self._clock.monotonic()
        since, calls = self._counts.get(model_id, (now, 0))
        if now - since > PERIOD_S:
            since, calls = now, 0
        self._counts[model_id] = since, calls + 1
        if len(self._counts) > MAX_COUNTED:
            self._counts.clear()

    def is_worth_a_copy(self, model_id: ModelId) -> bool:
        """Return whether the model is called so often that it should be loaded here."""
        since, calls = self._counts.get(model_id, (0.0, 0))
        return calls >= CALLS and since <= self._clock.monotonic() <= since + PERIOD_S

    def refused(self, model_id: ModelId) -> None:
        """Note that there was no memory for a copy: the next one is tried some time later."""
        self._counts[model_id] = self._clock.monotonic() + RETRY_S, 0
