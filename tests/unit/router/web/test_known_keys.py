"""Keys that are remembered for a while."""

import asyncio
import threading

import pytest

from modelyard.domain.keys import issue
from modelyard.domain.values import StoredKey
from modelyard.router import lookups
from modelyard.router.web import known_keys
from modelyard.router.web.known_keys import KnownKeys
from tests.fakes.clock import FakeClock

_, FIRST = issue("team-a", 1_000.0)
TTL_S = 60.0


class CountingStore:
    def __init__(self) -> None:
        self.keys: dict[str, StoredKey] = {}
        self.asked: list[str] = []

    def find(self, key_id: str) -> StoredKey | None:
        self.asked.append(key_id)
        return self.keys.get(key_id)


def test_known_key_is_not_asked_for_again() -> None:
    store = CountingStore()
    store.keys[FIRST.key_id] = FIRST
    keys = KnownKeys(store, FakeClock(), TTL_S)

    found = [asyncio.run(keys.find(FIRST.key_id)) for _ in range(3)]

    assert found == [FIRST] * 3
    assert store.asked == [FIRST.key_id]


def test_deleted_key_is_known_until_its_time_is_over() -> None:
    store, clock = CountingStore(), FakeClock()
    store.keys[FIRST.key_id] = FIRST
    keys = KnownKeys(store, clock, TTL_S)
    asyncio.run(keys.find(FIRST.key_id))
    del store.keys[FIRST.key_id]

    clock.advance(TTL_S - 0.1)
    before = asyncio.run(keys.find(FIRST.key_id))
    clock.advance(0.1)
    after = asyncio.run(keys.find(FIRST.key_id))

    assert (before, after) == (FIRST, None)


def test_new_key_is_seen_within_seconds() -> None:
    store, clock = CountingStore(), FakeClock()
    keys = KnownKeys(store, clock, TTL_S)
    asyncio.run(keys.find(FIRST.key_id))
    store.keys[FIRST.key_id] = FIRST

    before = asyncio.run(keys.find(FIRST.key_id))
    clock.advance(known_keys.MISSING_TTL_S)
    after = asyncio.run(keys.find(FIRST.key_id))

    assert (before, after) == (None, FIRST)


def test_made_up_ids_do_not_fill_the_memory() -> None:
    store = CountingStore()
    keys = KnownKeys(store, FakeClock(), TTL_S)

    async def ask_for_many() -> None:
        for number in range(known_keys.MAX_KNOWN_KEYS + 1):
            await keys.find(f"{number:012x}")
        await keys.find("0" * 12)

    asyncio.run(ask_for_many())

    assert store.asked.count("0" * 12) == 2


def test_known_key_is_used_while_the_store_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "MOMENT_S", 0.01)
    store, clock, goes_on = CountingStore(), FakeClock(), threading.Event()
    store.keys[FIRST.key_id] = FIRST
    keys = KnownKeys(store, clock, TTL_S)
    asyncio.run(keys.find(FIRST.key_id))
    find = store.find
    monkeypatch.setattr(store, "find", lambda key_id: goes_on.wait() and find(key_id))
    del store.keys[FIRST.key_id]

    clock.advance(TTL_S)
    during = [asyncio.run(keys.find(FIRST.key_id)) for _ in range(3)]
    goes_on.set()
    clock.advance(lookups.OLDEST_S)

    assert during == [FIRST] * 3
    assert asyncio.run(keys.find(FIRST.key_id)) is None
