"""What is asked for, what it comes to, and the lines of a bill."""

from dataclasses import dataclass
from enum import StrEnum

GB = 1 << 30
MONTH_HOURS = 730
MONTH_S = MONTH_HOURS * 3600


class Cache(StrEnum):
    """Where staged artifacts lie, and how reading them is paid for."""

    BURSTING = "bursting"
    """On EFS, whose throughput comes with what is stored."""
    ELASTIC = "elastic"
    """On EFS, paid for by the byte."""
    TMP = "tmp"
    """On the disk of each execution environment."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One endpoint in one month."""

    requests: int
    models: int
    model_bytes: int
    miss_rate: float
    """The share of requests whose model is not in memory."""
    duration_s: float
    """Of a prediction, on one processor."""
    load_s: float
    """Of a load, from wherever the artifact lies."""
    memory_bytes: int
    """Of an inference function."""
    cache: Cache = Cache.BURSTING
    shards: int = 8

    @property
    def misses(self) -> float:
        """Requests that have to wait for a load."""
        return self.requests * self.miss_rate

    @property
    def models_gb(self) -> float:
        """All models together."""
        return self.models * self.model_bytes / GB

    @property
    def memory_gb(self) -> float:
        """Memory of an inference function."""
        return self.memory_bytes / GB


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill."""

    what: str
    usd: float


@dataclass(frozen=True, slots=True)
class Bill:
    """What a way of serving costs in a month."""

    name: str
    lines: tuple[Line, ...]

    @property
    def usd(self) -> float:
        """The sum."""
        return sum(line.usd for line in self.lines)
