"""What one run of the load generator saw."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """Latencies, in the order of the answers, and what they cost the generator."""

    latencies_s: Sequence[float]
    elapsed_s: float
    errors: int
    """Answers that were not 200, and connections that broke."""
    client_cpu_s: float

    @property
    def rps(self) -> float:
        """Good answers per second."""
        return (len(self.latencies_s) - self.errors) / self.elapsed_s

    @property
    def client_cpu_us(self) -> float:
        """Processor time the generator itself spent per request."""
        return self.client_cpu_s / max(1, len(self.latencies_s)) * 1e6

    @property
    def longest_ms(self) -> float:
        """The longest a client waited."""
        return max(self.latencies_s) * 1e3

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the latencies: the smallest that so many are not above."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e3
