"""Lookups that take long."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from modelyard.domain.errors import CapacityError, DependencyError
from modelyard.router import lookups
from modelyard.router.lookups import Lookups


class HangingSource:
    """Answers only after `goes_on` was set."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        self.goes_on.wait()
        return f"answer {self.asked}"


@pytest.fixture
def source():
    hanging = HangingSource()
    yield hanging
    hanging.goes_on.set()


def test_answer_comes_with_the_time_it_was_asked() -> None:
    found: Lookups[str, int] = Lookups("numbers", lambda: 7.0)

    assert asyncio.run(found.find("one", lambda: 1, has_older=False)) == (1, 7.0)


def test_one_lookup_serves_all_that_wait_for_it(source: HangingSource) -> None:
    async def ask_twice() -> list[tuple[str, float] | None]:
        found: Lookups[str, str] = Lookups("texts", lambda: 7.0)
        waiting = [asyncio.create_task(found.find("x", source, has_older=False)) for _ in range(2)]
        await asyncio.sleep(0)
        source.goes_on.set()
        return await asyncio.gather(*waiting)

    assert asyncio.run(ask_twice()) == [("answer 1", 7.0)] * 2


def test_with_an_older_answer_nobody_waits_long(
    source: HangingSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "MOMENT_S", 0.01)

    async def ask_until_it_answers() -> list[tuple[str, float] | None]:
        found: Lookups[str, str] = Lookups("texts", lambda: 7.0)
        before = [await found.find("x", source, has_older=True) for _ in range(3)]
        source.goes_on.set()
        return [*before, await found.find("x", source, has_older=False)]

    assert asyncio.run(ask_until_it_answers()) == [None, None, None, ("answer 1", 7.0)]


def test_error_of_a_lookup_is_raised_and_not_kept() -> None:
    def fail() -> int:
        raise DependencyError("the store is down")

    async def fail_then_answer() -> tuple[int, float] | None:
        found: Lookups[str, int] = Lookups("numbers", lambda: 7.0)
        with pytest.raises(DependencyError):
            await found.find("x", fail, has_older=False)
        return await found.find("x", lambda: 1, has_older=False)

    assert asyncio.run(fail_then_answer()) == (1, 7.0)


def test_lookups_that_hang_are_limited(
    source: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "_MOST_WAITING", 2)
    monkeypatch.setattr(lookups, "MOMENT_S", 0.0)

    async def ask_for_many() -> None:
        found: Lookups[int, str] = Lookups("key store", lambda: 7.0)
        for number in range(2):
            await found.find(number, source, has_older=True)
        with pytest.raises(CapacityError, match="too many calls wait for: key store"):
            await found.find(3, source, has_older=False)

    asyncio.run(ask_for_many())
