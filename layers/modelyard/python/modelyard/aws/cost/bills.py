"""A monthly workload, and the bill for serving it."""

from dataclasses import dataclass
from enum import StrEnum

GB = 1 << 30
MONTH_HOURS = 730
MONTH_S = MONTH_HOURS * 3600


class Cache(StrEnum):
    """Where staged artifacts are, and how reading them is billed."""

    BURSTING = "bursting"
    """EFS with bursting throughput, which grows with the stored bytes."""
    ELASTIC = "elastic"
    """EFS with elastic throughput, billed by bytes read."""
    TMP = "tmp"
    """The disk of each execution environment."""


class Profile(StrEnum):
    """`profile` of a deployment."""

    STANDARD = "standard"
    FRUGAL = "frugal"
    """Without snapshot, dashboard, alarms for each function and metrics of the API's methods."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The load of one endpoint in one month."""

    requests: int
    models: int
    model_bytes: int
    miss_rate: float
    """Share of requests whose model is not in memory, from 0 to 1."""
    duration_s: float
    """Duration of a prediction on one processor."""
    load_s: float
    """Duration of a load, wherever the artifact is."""
    memory_bytes: int
    """Memory of an inference function."""
    cache: Cache = Cache.BURSTING
    shards: int = 8
    profile: Profile = Profile.STANDARD

    @property
    def misses(self) -> float:
        """Number of requests that wait for a load."""
        return self.requests * self.miss_rate

    @property
    def models_gb(self) -> float:
        """Size of all models in GB."""
        return self.models * self.model_bytes / GB

    @property
    def memory_gb(self) -> float:
        """Memory of an inference function in GB."""
        return self.memory_bytes / GB


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill."""

    what: str
    usd: float


@dataclass(frozen=True, slots=True)
class Bill:
    """The cost of one way of serving in a month."""

    name: str
    lines: tuple[Line, ...]

    @property
    def usd(self) -> float:
        """The sum of all lines."""
        return sum(line.usd for line in self.lines)
