"""Calls that run in threads."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from modelyard.domain.errors import CapacityError
from modelyard.local import threads
from modelyard.local.threads import CallThreads


def test_a_call_runs_in_another_thread() -> None:
    async def act() -> None:
        name = await CallThreads(1).run(
            lambda given: given + threading.current_thread().name, "in "
        )
        assert name.startswith("in call")

    asyncio.run(act())


def test_so_many_calls_run_at_a_time() -> None:
    async def act() -> None:
        barrier, pool = threading.Barrier(3), CallThreads(3)
        await asyncio.gather(*(pool.run(lambda _: barrier.wait(20), None) for _ in range(3)))

    asyncio.run(act())


def test_more_calls_are_refused_at_once() -> None:
    async def act() -> None:
        release, pool = threading.Event(), CallThreads(1)
        running = asyncio.create_task(pool.run(lambda _: release.wait(20), None))
        await asyncio.sleep(0)
        with pytest.raises(CapacityError, match="too many calls in flight: 1"):
            await pool.run(str, 1)
        release.set()
        await running
        assert await pool.run(str, 1) == "1"

    asyncio.run(act())


def test_a_call_that_was_given_up_counts_until_it_ends() -> None:
    async def act() -> None:
        begun, release, pool = threading.Event(), threading.Event(), CallThreads(1)

        def wait(_: None) -> None:
            begun.set()
            release.wait(20)

        given_up = asyncio.create_task(pool.run(wait, None))
        await asyncio.sleep(0)
        await asyncio.to_thread(begun.wait, 20)
        given_up.cancel()
        with pytest.raises(CapacityError):
            await pool.run(str, 1)
        release.set()
        async with asyncio.timeout(20):
            while True:
                try:
                    assert await pool.run(str, 1) == "1"
                    break
                except CapacityError:
                    await asyncio.sleep(0)

    asyncio.run(act())


@pytest.mark.parametrize(
    ("raised", "seen"),
    [(ValueError, ValueError), (StopIteration, RuntimeError), (SystemExit, RuntimeError)],
)
def test_what_a_call_raises_is_raised(
    raised: type[BaseException], seen: type[BaseException]
) -> None:
    def fail(_: None) -> None:
        raise raised

    async def act() -> None:
        pool = CallThreads(1)
        with pytest.raises(seen):
            await asyncio.wait_for(pool.run(fail, None), 20)
        assert await pool.run(str, 1) == "1"

    asyncio.run(act())


def test_threads_are_renewed_after_many_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "CALLS_OF_A_POOL", 3)

    async def act() -> None:
        pool = CallThreads(1)
        ids = [await pool.run(lambda _: threading.current_thread(), None) for _ in range(6)]
        assert len(set(ids)) == 3

    asyncio.run(act())


def test_without_another_thread_a_call_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act() -> None:
        pool = CallThreads(2)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(CapacityError, match="cannot start a thread"):
                await pool.run(str, 1)
        assert await pool.run(str, 2) == "2"

    asyncio.run(act())


def no_thread(_: object) -> Callable[[], None]:
    raise RuntimeError("can't start new thread")


def test_a_call_that_was_begun_waits_for_a_thread() -> None:
    async def act() -> None:
        release, pool = threading.Event(), CallThreads(1)
        running = asyncio.create_task(pool.run(lambda _: release.wait(20), None))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(pool.run(str, 1, is_begun=True))
        await asyncio.sleep(0)
        release.set()
        assert (await running, await waiting) == (True, "1")

    asyncio.run(act())
