"""The machine's own clock."""

import time


class SystemClock:
    """`Clock` over the standard library."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def time(self) -> float:
        """Return seconds since the epoch."""
        return time.time()
