"""The limit without cgroups; `tests/functional/test_emulation.py` has the best one there is."""

import asyncio
import sys

from modelyard.local.emulation.memory_limit import WatchedLimit, memory_limit, resident_bytes

GREEDY = "x = bytearray(300 * 1024 * 1024); input()"
MODEST = "input()"


async def run(code: str, limit: WatchedLimit) -> int | None:
    """Return the exit code, None when the process is well for longer than the watch needs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE, start_new_session=True
    )
    limit.apply(process.pid)
    try:
        return await asyncio.wait_for(process.wait(), 2.0)
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    finally:
        await limit.lift()


def test_group_above_the_limit_is_killed() -> None:
    assert asyncio.run(run(GREEDY, WatchedLimit(100))) == -9


def test_group_below_the_limit_lives() -> None:
    assert asyncio.run(run(MODEST, WatchedLimit(100))) is None


def test_watch_is_the_way_without_cgroups() -> None:
    assert memory_limit(100, allow_cgroup=False).kind == "watch"


def test_process_that_is_gone_uses_nothing() -> None:
    assert resident_bytes(2**22 + 1) == 0
