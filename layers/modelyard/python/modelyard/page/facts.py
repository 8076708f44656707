"""What the head of the page shows: facts about the whole server."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The limits of a server, the state of its processes, and the counts of its calls."""

    memory_limit_bytes: int
    disk_limit_bytes: int
    workers: int
    missing: Sequence[str]
    """The processes that do not run."""
    guests: int
    """Processes that run one model each."""
    calls: int
    hits: int
    not_ready: int

    @property
    def misses(self) -> int:
        """Calls that were answered after their model was loaded."""
        return max(0, self.calls - self.hits)
