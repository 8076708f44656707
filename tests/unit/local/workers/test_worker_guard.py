"""Workers that take too much or hang, for real, and what comes of the others."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from modelyard.domain.errors import ModelCrashedError
from modelyard.local.workers.worker_guard import MAX_STUCK_CALLS, WorkerLimits, exceeded
from modelyard.local.workers.worker_pool import WorkerPool
from tests.worker_processes import AT_PREDICT, WorkerProcesses, body_of, until, worker_processes

MIB = 1 << 20
HOARDING = "held = [bytearray(8 << 20) for _ in range(500)]"
# Backtracks for ages without ever letting go of the interpreter.
FREEZING = "import re; re.match('(a+)+$', 'a' * 60 + '!')"
FORKING = """
        if os.fork() == 0:
            {leave}
            time.sleep(600)
        {wait}
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[WorkerProcesses]:
    with worker_processes(tmp_path) as processes:
        yield processes


async def call(
    pool: WorkerPool, processes: WorkerProcesses, name: str, body: bytes = b"1"
) -> bytes | None:
    return body_of(await pool.call(0, processes.request(name, body), 60.0))


@pytest.mark.parametrize(
    ("statement", "limits"),
    [
        (HOARDING, WorkerLimits(memory_bytes=400 * MIB)),
        (FREEZING, WorkerLimits(silence_s=1.0)),
    ],
    ids=["allocates without end", "never lets go of the interpreter"],
)
def test_worker_above_its_limits_is_replaced_and_other_calls_are_answered(
    processes: WorkerProcesses, statement: str, limits: WorkerLimits
) -> None:
    hostile = processes.model("hostile", AT_PREDICT, statement)
    slow = processes.model(
        "slow", AT_PREDICT, f"{processes.leave('slow')}; {processes.wait_for('go')}"
    )

    async def scenario() -> None:
        async with asyncio.timeout(120), processes.pool(limits=limits) as pool:
            innocent = asyncio.create_task(call(pool, processes, slow, b"7"))
            await processes.seen("slow")
            (before,) = pool.pids
            convicted = asyncio.create_task(call(pool, processes, hostile))
            await until(lambda: pool.pids != [before])
            processes.put("go")

            assert await innocent == b"7"
            with pytest.raises(ModelCrashedError):
                await convicted

    asyncio.run(scenario())


def test_processes_that_a_model_left_behind_end_with_its_worker(processes: WorkerProcesses) -> None:
    steps = {"leave": "pathlib.Path({0!r}).write_text(str(os.getpid()))", "wait": "{1}"}
    pid_file = processes.markers / "child"
    source = AT_PREDICT.replace("{statement}", "").replace(
        "        return data",
        FORKING.replace("{leave}", steps["leave"].format(str(pid_file))).replace(
            "{wait}", processes.wait_for("child")
        ),
    )
    forking = processes.model("forking", source)

    async def scenario() -> None:
        async with asyncio.timeout(60), processes.pool() as pool:
            with pytest.raises(ModelCrashedError):
                await call(pool, processes, forking)
            child = int(pid_file.read_text())
            await until(lambda: not _is_alive(child))

    asyncio.run(scenario())


def test_worker_with_too_many_calls_that_do_not_end_is_replaced() -> None:
    async def ping() -> int:
        return MAX_STUCK_CALLS + 1

    reason = asyncio.run(exceeded(os.getpid(), WorkerLimits(), ping))

    assert reason == f"{MAX_STUCK_CALLS + 1} calls in it do not end"


def test_worker_that_has_not_answered_yet_may_take_its_time() -> None:
    async def scenario() -> None:
        answered = asyncio.Event()

        async def ping() -> int:
            await answered.wait()
            return 0

        limits = WorkerLimits(silence_s=0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await exceeded(os.getpid(), limits, ping)

    asyncio.run(scenario())


def _is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
