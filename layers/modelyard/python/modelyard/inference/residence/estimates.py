"""Estimates of how long a load will take, from the bandwidth of earlier loads."""

import threading

_MIN_BYTES = 1 << 20
_WEIGHT_OF_NEWEST = 0.3


class LoadEstimator:
    """Moving average of the observed bandwidth of each stage, in bytes per second.

    Only artifacts of at least 1 MiB are counted: the duration of smaller ones is mostly fixed cost.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes_per_s: dict[str, float] = {}

    def observe(self, stage: str, size_bytes: int, seconds: float) -> None:
        """Record how long one stage ("stage" or "load") of an artifact took."""
        if size_bytes < _MIN_BYTES or seconds <= 0:
            return
        speed = size_bytes / seconds
        with self._lock:
            known = self._bytes_per_s.get(stage, speed)
            self._bytes_per_s[stage] = known + _WEIGHT_OF_NEWEST * (speed - known)

    def estimate_s(self, size_bytes: int, *stages: str) -> float | None:
        """Return how many seconds these stages will take together.

        Returns None for an artifact below 1 MiB, and when a stage was not observed yet.
        """
        if size_bytes < _MIN_BYTES or not all(stage in self._bytes_per_s for stage in stages):
            return None
        return sum(size_bytes / self._bytes_per_s[stage] for stage in stages)
