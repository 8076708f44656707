"""The outcome of the measured calls."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from benchmarks.fleet.events import Agenda
from benchmarks.fleet.measures import Level, Served, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of one policy with one workload; shares refer to all measured calls."""

    calls: int
    duration_s: float
    memory: float
    """The hit rate: share of calls whose model was loaded."""
    disk: float
    repository: float
    not_ready: float
    throttled: float
    cold_starts: float
    p50_s: float
    p99_s: float
    mean_s: float
    """How long a router waits, for all answers except throttled ones."""
    busy_mean: float
    alive_mean: float
    alive_peak: int
    usage: Usage

    @property
    def efs_metered_bytes_per_s(self) -> float:
        """Metered throughput of the file system; reading a byte counts as a third."""
        metered = self.usage.efs_written_bytes + self.usage.efs_read_bytes / 3
        return metered / self.duration_s


class Tally:
    """Counts from the first measured call to the last arrival, and the answers after it."""

    def __init__(self, agenda: Agenda, busy: Level, alive: Level) -> None:
        self.usage = Usage()
        self.answers: Counter[Served] = Counter()
        """Counts all calls, measured or not."""
        self._agenda = agenda
        self._busy = busy
        self._alive = alive
        self._measured: Counter[Served] = Counter()
        self._waits_s: list[float] = []
        self._cold_starts = 0
        self._started_at = 0.0
        self._at_stop: tuple[float, float, float, int, Usage] | None = None

    def start(self) -> None:
        """Start measuring."""
        self._started_at = self._agenda.now
        self.usage = Usage()
        self._busy.restart(self._agenda.now)
        self._alive.restart(self._agenda.now)

    def stop(self) -> None:
        """Stop measuring new calls; calls that have arrived are still counted when they end."""
        now = self._agenda.now
        busy, alive, peak = self._busy.mean(now), self._alive.mean(now), self._alive.peak
        self._at_stop = (now - self._started_at, busy, alive, peak, self.usage)
        self.usage = Usage()

    def cold_start(self, *, is_measured: bool) -> None:
        """Count an environment that was started for a call."""
        self.usage.environments_created += 1
        self._cold_starts += is_measured

    def answer(self, served: Served, took_s: float, *, is_measured: bool) -> None:
        """Count one answer to a client."""
        self.answers[served] += 1
        if not is_measured:
            return
        self._measured[served] += 1
        if served is not Served.THROTTLED:
            self._waits_s.append(took_s)

    def outcome(self) -> Outcome:
        """Return what was measured."""
        assert self._at_stop is not None
        duration_s, busy, alive, peak, usage = self._at_stop
        calls = self._measured.total()
        waits_s = np.array(self._waits_s or [0.0])
        p50_s, p99_s = np.percentile(waits_s, [50, 99])
        return Outcome(
            calls=calls,
            duration_s=duration_s,
            **{served.name.lower(): self._measured[served] / calls for served in Served},
            cold_starts=self._cold_starts / calls,
            p50_s=float(p50_s),
            p99_s=float(p99_s),
            mean_s=float(waits_s.mean()),
            busy_mean=busy,
            alive_mean=alive,
            alive_peak=peak,
            usage=usage,
        )
