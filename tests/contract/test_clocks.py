"""One suite for the machine's clock and the fake that stands in for it."""

import pytest

from modelyard.domain.ports import Clock
from modelyard.domain.system_clock import SystemClock
from tests.fakes.clock import FakeClock

clocks = pytest.mark.parametrize(
    "clock", [SystemClock(), FakeClock()], ids=lambda clock: type(clock).__name__
)


@clocks
def test_monotonic_time_never_goes_back(clock: Clock) -> None:
    times = [clock.monotonic() for _ in range(100)]

    assert times == sorted(times)


@clocks
def test_both_times_are_seconds_as_floats(clock: Clock) -> None:
    assert isinstance(clock.monotonic(), float)
    assert isinstance(clock.time(), float)


def test_fake_clock_moves_only_when_told() -> None:
    clock = FakeClock(now=5.0)
    before = (clock.monotonic(), clock.time())

    clock.advance(2.5)

    assert before == (5.0, 5.0)
    assert (clock.monotonic(), clock.time()) == (7.5, 7.5)
