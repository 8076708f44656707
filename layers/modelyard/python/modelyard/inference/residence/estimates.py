"""How long a load will take, from what loads took before."""

import threading

_TELLING_BYTES = 1 << 20
_WEIGHT_OF_NEWEST = 0.3


class LoadEstimator:
    """Observed bandwidth per stage, and the last duration of each model.

    Only artifacts of at least a mebibyte tell a bandwidth: in smaller ones fixed costs drown it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes_per_s: dict[str, float] = {}

    def observe(self, stage: str, size_bytes: int, seconds: float) -> None:
        """Take one observation of a stage ("stage" or "load")."""
        if size_bytes < _TELLING_BYTES or seconds <= 0:
            return
        speed = size_bytes / seconds
        with self._lock:
            known = self._bytes_per_s.get(stage, speed)
            self._bytes_per_s[stage] = known + _WEIGHT_OF_NEWEST * (speed - known)

    def estimate_s(self, size_bytes: int, *stages: str) -> float | None:
        """Return the seconds these stages will take, or None when nothing is known."""
        if size_bytes < _TELLING_BYTES or not all(stage in self._bytes_per_s for stage in stages):
            return None
        return sum(size_bytes / self._bytes_per_s[stage] for stage in stages)
