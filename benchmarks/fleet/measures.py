"""The values that are counted while calls are measured."""

from dataclasses import dataclass
from enum import Enum


class Served(Enum):
    """Where the model of an answered call was, or why there was no prediction."""

    MEMORY = "memory"
    DISK = "disk"
    REPOSITORY = "repository"
    NOT_READY = "not ready"
    THROTTLED = "throttled"


@dataclass(slots=True)
class Usage:
    """Billed quantities other than time."""

    environments_created: int = 0
    warm_invocations: int = 0
    fetches: int = 0
    efs_read_bytes: int = 0
    efs_written_bytes: int = 0


class Level:
    """A number that changes over time, with its mean and its peak since `restart`."""

    def __init__(self) -> None:
        self.value = 0
        self.peak = 0
        self._area = 0.0
        self._since = 0.0
        self._started_at = 0.0

    def change(self, by: int, now: float) -> None:
        """Add to the value."""
        self._area += self.value * (now - self._since)
        self._since = now
        self.value += by
        self.peak = max(self.peak, self.value)

    def restart(self, now: float) -> None:
        """Restart mean and peak; keep the value."""
        self._area, self._since, self._started_at = 0.0, now, now
        self.peak = self.value

    def mean(self, now: float) -> float:
        """Return the mean over time since the start."""
        passed_s = now - self._started_at
        if not passed_s:
            return float(self.value)
        return (self._area + self.value * (now - self._since)) / passed_s
