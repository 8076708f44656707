"""How often each model was called lately, whether it is loaded or not."""

from modelyard.domain.values import ModelId

_MOST = 15
"""More calls do not count: what was popular for long must not stay for long."""
_CALLS_PER_MODEL = 10
"""All counts are halved after this many calls for each loaded model."""


class UseCounts:
    """Counts recent calls. Not safe to share between threads: its callers hold a lock."""

    def __init__(self) -> None:
        self._counts: dict[ModelId, int] = {}
        self._calls = 0

    def add(self, model_id: ModelId, loaded: int) -> None:
        """Count a call; `loaded` is how many models are in memory now."""
        count = self._counts.get(model_id, 0)
        if count < _MOST:
            self._counts[model_id] = count + 1
        self._calls += 1
        if self._calls >= _CALLS_PER_MODEL * loaded:
            self._calls = 0
            self._counts = {one: calls // 2 for one, calls in self._counts.items() if calls > 1}

    def of(self, model_id: ModelId) -> int:
        """Return how often a model was called lately, 0 to 15."""
        return self._counts.get(model_id, 0)
