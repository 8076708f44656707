"""Draw models, times and sizes of calls from a seed; they are the same for every policy."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.fleet.platform import MIB

ZIPF_EXPONENT = 1.1
_SPREAD = 0.6
"""Sigma of the logarithms of sizes: one model in a hundred is four times the median."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Independent calls of a number of models at a steady rate."""

    models: int
    rate_per_s: float
    popularity: Literal["zipf", "uniform"] = "zipf"
    median_bytes: int = 20 * MIB
    spread: float = _SPREAD
    requests: int = 36_000
    warm_up: int = 16_000
    """Number of first calls, which are not measured. Their rate grows from zero to the full rate,
    because a fleet that starts under full load has many more environments than it needs."""

    def shares(self) -> NDArray[np.float64]:
        """Return each model's share of the calls, the most popular first."""
        if self.popularity == "uniform":
            return np.full(self.models, 1 / self.models)
        weights = np.arange(1, self.models + 1, dtype=np.float64) ** -ZIPF_EXPONENT
        shares: NDArray[np.float64] = weights / weights.sum()
        return shares

    def calls(self, seed: int) -> list[int]:
        """Return the number of the model of each call."""
        dice = np.random.default_rng([seed, 1]).random(self.requests)
        picked = np.searchsorted(np.cumsum(self.shares()), dice, side="right")
        return [int(number) for number in np.minimum(picked, self.models - 1)]

    def arrivals(self, seed: int) -> list[float]:
        """Return the times of the calls in seconds: a Poisson process after a ramp."""
        gaps = np.random.default_rng([seed, 2]).exponential(size=self.requests)
        passed = np.cumsum(gaps)
        ramp_s = 2 * self.warm_up / self.rate_per_s
        if not self.warm_up:
            return list(map(float, passed / self.rate_per_s))
        ramp = ramp_s * np.sqrt(np.minimum(passed, self.warm_up) / self.warm_up)
        times = ramp + np.maximum(passed - self.warm_up, 0) / self.rate_per_s
        return [float(time) for time in times]

    def sizes(self, seed: int, largest_bytes: int) -> list[int]:
        """Return the bytes of each model's artifact; none is larger than can be loaded."""
        logs = np.random.default_rng([seed, 3]).normal(size=self.models) * self.spread
        sizes = np.minimum(self.median_bytes * np.exp(logs), largest_bytes)
        return [int(size) for size in sizes]
