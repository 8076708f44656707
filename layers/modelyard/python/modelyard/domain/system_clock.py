"""The clock of the machine."""

import time


class SystemClock:
    """`Clock` with the standard library."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        return time.monotonic()

    def time(self) -> float:
        """Return seconds since the epoch."""
        return time.time()
