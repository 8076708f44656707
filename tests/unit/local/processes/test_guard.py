"""When a process is ended, and what becomes of it and of the processes that it started."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from modelyard.local.processes.child_process import ChildCommand, ChildProcess, Watcher
from modelyard.local.processes.guard import MAX_STUCK_CALLS, ProcessLimits, exceeded
from modelyard.local.processes.health import Health, ProcessState
from tests.supervised import until

MIB = 1 << 20
NAME = "child"
BEATING = """
import os, sys, threading, time

def beat():
    while True:
        os.write(int(sys.argv[2]), b"\\0")
        time.sleep(0.05)

threading.Thread(target=beat, daemon=True).start()
{then}
sys.stdin.read()
"""
GROWING = "held = [bytearray(8 << 20) for _ in range(500)]"
# Backtracks for ages without ever letting go of the interpreter.
FREEZING = "time.sleep(0.3); import re; re.match('(a+)+$', 'a' * 60 + '!')"


class Notes(Watcher):
    """Notes how each process ended."""

    def __init__(self) -> None:
        self.were_killed: list[bool] = []

    async def ended(self, *, is_killed: bool) -> None:
        self.were_killed.append(is_killed)


class Kept:
    """A child that is kept running, and what its watcher saw."""

    def __init__(self, folder: Path, then: str, limits: ProcessLimits, python: str) -> None:
        (folder / "beating.py").write_text(BEATING.replace("{then}", then))
        command = ChildCommand(
            NAME,
            "beating",
            b"",
            str(folder / "s"),
            python=python,
            environment={"PYTHONPATH": str(folder)},
            limits=limits,
        )
        self.health = Health.create(folder / "health", [NAME])
        self.notes = Notes()
        self.child = ChildProcess(command, self.health, self.notes)


@asynccontextmanager
async def kept(
    folder: Path,
    then: str = "",
    limits: ProcessLimits | None = None,
    python: str = sys.executable,
    grace_s: float = 10.0,
) -> AsyncIterator[Kept]:
    scene = Kept(folder, then, limits or ProcessLimits(), python)
    running = asyncio.create_task(scene.child.keep_running())
    try:
        yield scene
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await scene.child.stop(grace_s)


@pytest.mark.parametrize(
    ("then", "limits"),
    [
        (GROWING, ProcessLimits(memory_bytes=400 * MIB)),
        (FREEZING, ProcessLimits(silence_s=1.0)),
        ("time.sleep(0.3); os._exit(3)", ProcessLimits()),
        ("time.sleep(0.3); os.abort()", ProcessLimits()),
    ],
    ids=["takes too much memory", "keeps the interpreter", "exits", "aborts"],
)
def test_process_is_replaced(tmp_path: Path, then: str, limits: ProcessLimits) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(60), kept(tmp_path, then, limits, grace_s=0.5) as scene:
            await scene.child.is_up.wait()
            before = scene.child.pid
            await until(lambda: scene.child.pid not in (before, None))
            assert not any(scene.notes.were_killed)

    asyncio.run(scenario())


def test_process_whose_socket_was_deleted_is_renewed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(60), kept(tmp_path) as scene:
            await scene.child.is_up.wait()
            before = scene.child.pid
            assert not scene.child.is_out_of_reach
            (tmp_path / "s").unlink()
            assert scene.child.is_out_of_reach

            scene.child.renew()
            await until(lambda: scene.child.pid not in (before, None))
            await scene.child.is_up.wait()

            assert not scene.child.is_out_of_reach

    asyncio.run(scenario())


def test_process_that_was_killed_from_outside_is_told_from_one_that_crashed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(60), kept(tmp_path) as scene:
            os.kill(await _pid(scene), signal.SIGKILL)
            await until(lambda: scene.notes.were_killed == [True])

    asyncio.run(scenario())


def test_process_that_never_comes_up_is_tried_again_and_health_tells_it(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o700)

    async def scenario() -> None:
        async with asyncio.timeout(60), kept(tmp_path, python=str(python)) as scene:
            await until(lambda: scene.health.missing() == [NAME])
            python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
            await until(lambda: scene.health.of(NAME) is ProcessState.UP)

    asyncio.run(scenario())


def test_program_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    python = tmp_path / "python"

    async def scenario() -> None:
        async with asyncio.timeout(60), kept(tmp_path, python=str(python)) as scene:
            await until(lambda: scene.health.missing() == [NAME])
            python.symlink_to(sys.executable)
            await until(lambda: scene.child.pid is not None)

    asyncio.run(scenario())


def test_processes_that_a_process_started_end_with_it(tmp_path: Path) -> None:
    started = tmp_path / "started"
    forking = (
        "pid = os.fork()\n"
        "if pid == 0: time.sleep(600)\n"
        f"open({str(started)!r}, 'a').write(f'{{pid}} ')\n"
        "os._exit(3)"
    )

    async def scenario() -> None:
        async with kept(tmp_path, forking):
            await until(lambda: started.exists() and started.read_text() != "")
            grandchild = int(started.read_text().split()[0])
            await until(lambda: not _is_alive(grandchild))

    asyncio.run(scenario())


def test_stop_lets_a_process_end_by_itself(tmp_path: Path) -> None:
    async def scenario() -> int:
        async with kept(tmp_path) as scene:
            await scene.child.is_up.wait()
            return await _pid(scene)

    assert not _is_alive(asyncio.run(scenario()))


def test_process_with_too_many_calls_that_do_not_end_exceeds_its_limits() -> None:
    async def beat() -> int:
        return MAX_STUCK_CALLS + 1

    reason = asyncio.run(exceeded(os.getpid(), ProcessLimits(), beat))

    assert reason == f"{MAX_STUCK_CALLS + 1} calls in it do not end"


def test_process_that_has_not_answered_yet_may_take_its_time() -> None:
    async def scenario() -> None:
        answered = asyncio.Event()

        async def beat() -> int:
            await answered.wait()
            return 0

        limits = ProcessLimits(silence_s=0.01)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await exceeded(os.getpid(), limits, beat)

    asyncio.run(scenario())


async def _pid(scene: Kept) -> int:
    await scene.child.is_up.wait()
    assert scene.child.pid is not None
    return scene.child.pid


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
