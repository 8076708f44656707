"""The measurements of one run of the load generator."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """Latencies in the order of the responses, errors, and the generator's processor time."""

    latencies_s: Sequence[float]
    elapsed_s: float
    errors: int
    """Number of responses other than 200, and of broken connections."""
    client_cpu_s: float

    @property
    def rps(self) -> float:
        """Responses with status 200 per second."""
        return (len(self.latencies_s) - self.errors) / self.elapsed_s

    @property
    def client_cpu_us(self) -> float:
        """Processor time of the generator itself per request."""
        return self.client_cpu_s / max(1, len(self.latencies_s)) * 1e6

    @property
    def longest_ms(self) -> float:
        """The longest a client waited."""
        return max(self.latencies_s) * 1e3

    def percentile_ms(self, percent: float) -> float:
        """Return the smallest latency that is at least as long as this share of all latencies."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e3
