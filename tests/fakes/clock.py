"""A clock that moves only when it is told to."""


class FakeClock:
    """`Clock` whose two times are set by the test; `advance` moves both."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.monotonic_s = now
        self.time_s = now

    def monotonic(self) -> float:
        return self.monotonic_s

    def time(self) -> float:
        return self.time_s

    def advance(self, seconds: float) -> None:
        self.monotonic_s += seconds
        self.time_s += seconds
