"""The storage of artifacts: a file system for staged ones, and S3."""

from collections import OrderedDict
from dataclasses import dataclass

from benchmarks.fleet.measures import Served, Usage
from benchmarks.fleet.platform import Platform


class Link:
    """A shared network line; transfers run one after the other, limited by the client's speed."""

    def __init__(self, bytes_per_s: float, client_bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._client_bytes_per_s = client_bytes_per_s
        self._free_at = 0.0

    def passed_at(self, now: float, size_bytes: int, weight: float = 1.0) -> float:
        """Return when a transfer that begins now will end."""
        self._free_at = max(now, self._free_at) + size_bytes * weight / self._bytes_per_s
        return max(self._free_at, now + size_bytes / self._client_bytes_per_s)


@dataclass(slots=True)
class _Staged:
    size_bytes: int
    ready_at: float


class ArtifactStore:
    """Staged artifacts, filled from S3; the least recently used is evicted first.

    Without a line it is a local disk, whose time is not counted.
    """

    def __init__(self, platform: Platform, limit_bytes: int, link: Link | None) -> None:
        self.used_bytes = 0
        self.limit_bytes = limit_bytes
        self._platform = platform
        self._link = link
        self._staged: OrderedDict[int, _Staged] = OrderedDict()

    def bring(self, model: int, size_bytes: int, now: float, usage: Usage) -> tuple[float, Served]:
        """Return when an environment has read an artifact, and where it came from.

        If another environment is staging the artifact, it waits for that and then reads.
        """
        staged = self._staged.get(model)
        if staged is not None:
            self._staged.move_to_end(model)
            return self._read_at(max(now, staged.ready_at), size_bytes, usage), Served.DISK
        ready_at = self._fetched_at(size_bytes, now, usage)
        self._make_room(size_bytes)
        self._staged[model] = _Staged(size_bytes, ready_at)
        self.used_bytes += size_bytes
        return ready_at, Served.REPOSITORY

    def _read_at(self, begin: float, size_bytes: int, usage: Usage) -> float:
        if self._link is None:
            return begin
        usage.efs_read_bytes += size_bytes
        return self._link.passed_at(begin, size_bytes, self._platform.efs_read_weight)

    def _fetched_at(self, size_bytes: int, now: float, usage: Usage) -> float:
        """Fetch and write at the same time; what was just written is not read again."""
        usage.fetches += 1
        fetched_at = now + self._platform.s3_latency_s + size_bytes / self._platform.s3_bytes_per_s
        if self._link is None:
            return fetched_at
        usage.efs_written_bytes += size_bytes
        return max(fetched_at, self._link.passed_at(now, size_bytes))

    def _make_room(self, size_bytes: int) -> None:
        while self._staged and self.used_bytes + size_bytes > self.limit_bytes:
            _, oldest = self._staged.popitem(last=False)
            self.used_bytes -= oldest.size_bytes
