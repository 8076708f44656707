"""The worker pool with real processes and models that end them."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from modelyard.domain.errors import CapacityError, ModelCrashedError
from modelyard.domain.requests import Survey
from modelyard.domain.values import ModelStatus
from modelyard.local.workers import worker_process
from modelyard.local.workers.worker_pool import WorkerPool
from modelyard.local.workers.worker_process import WorkerCommand
from modelyard.router.suspects import FIRST_BAR_S
from modelyard.sagemaker.constraints import MAX_BODY_BYTES
from tests.fakes.clock import FakeClock
from tests.worker_processes import (
    AT_LOAD,
    AT_PREDICT,
    WorkerProcesses,
    body_of,
    until,
    worker_processes,
)

Act = Callable[[WorkerPool], Awaitable[None]]

ENDS = {
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "exit": "os._exit(0)",
    "segfault": "ctypes.string_at(0)",
    "abort": "os.abort()",
}
ends = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
moments = pytest.mark.parametrize("moment", [AT_LOAD, AT_PREDICT], ids=["at-load", "at-predict"])


# After "go" the first call answers at once, the others only when two of them run side by side.
FIRST_ALONE_THEN_TOGETHER = """
    import pathlib, time

    MARKERS = pathlib.Path({markers!r})

    def model_fn(model_dir):
        return None

    def transform_fn(model, data, content_type, accept):
        (MARKERS / f"in{{data}}").touch()
        while not (MARKERS / "go").exists():
            time.sleep(0.005)
        try:
            (MARKERS / "first").touch(exist_ok=False)
        except FileExistsError:
            (MARKERS / f"later{{data}}").touch()
            while len(list(MARKERS.glob("later*"))) < 2:
                time.sleep(0.005)
        return data
"""


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[WorkerProcesses]:
    with worker_processes(tmp_path) as processes:
        yield processes


def run(pool: WorkerPool, act: Act) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(240), pool:
            await act(pool)

    asyncio.run(scenario())


async def invoke(
    pool: WorkerPool,
    processes: WorkerProcesses,
    name: str,
    body: bytes = b"1",
    timeout_s: float = 30.0,
) -> bytes | None:
    return body_of(await pool.call(0, processes.request(name, body), timeout_s))


def workers_left() -> list[int]:
    """Return the workers of this suite's pools that live: those of servers are grandchildren."""
    children = psutil.Process().children()
    living = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return [child.pid for child in living if "modelyard.local.worker" in child.cmdline()]


@ends
@moments
def test_model_that_ends_its_process_is_found_out_and_the_process_replaced(
    processes: WorkerProcesses, end: str, moment: str
) -> None:
    killer, echo = processes.model("killer", moment, end), processes.model("echo")

    async def act(pool: WorkerPool) -> None:
        (before,) = pool.pids

        with pytest.raises(ModelCrashedError, match="the model process exited"):
            await invoke(pool, processes, killer)

        assert await invoke(pool, processes, echo, b"7") == b"7"
        assert pool.pids != [before]

    run(processes.pool(), act)


def test_other_models_in_flight_get_right_answers(processes: WorkerProcesses) -> None:
    killer = processes.model("killer", AT_PREDICT, ENDS["killed"])
    innocents = [
        processes.model(
            f"m{n}", AT_PREDICT, f"{processes.leave(f'm{n}')}; {processes.wait_for('go')}"
        )
        for n in range(6)
    ]

    async def act(pool: WorkerPool) -> None:
        calls = [
            asyncio.create_task(invoke(pool, processes, name, b"%d" % number))
            for number, name in enumerate(innocents)
        ]
        await asyncio.gather(*(processes.seen(name) for name in innocents))
        killing = asyncio.create_task(invoke(pool, processes, killer))
        before = pool.pids
        await until(lambda: pool.pids != before)
        processes.put("go")

        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(6)]
        with pytest.raises(ModelCrashedError):
            await killing

    run(processes.pool(), act)


def test_many_callers_of_a_killer_do_not_hide_it(processes: WorkerProcesses) -> None:
    killer, echo = processes.model("killer", AT_PREDICT, ENDS["exit"]), processes.model("echo")

    async def act(pool: WorkerPool) -> None:
        calls = [invoke(pool, processes, killer) for _ in range(20)]
        calls += [invoke(pool, processes, echo) for _ in range(20)]

        outcomes = await asyncio.gather(*calls, return_exceptions=True)

        assert all(isinstance(outcome, ModelCrashedError) for outcome in outcomes[:20])
        assert outcomes[20:] == [b"1"] * 20

    run(processes.pool(), act)


def test_convict_is_refused_at_once_and_takes_nobody_down_any_more(
    processes: WorkerProcesses,
) -> None:
    killer = processes.model("killer", AT_PREDICT, ENDS["exit"])

    async def act(pool: WorkerPool) -> None:
        with pytest.raises(ModelCrashedError):
            await invoke(pool, processes, killer)
        await invoke(pool, processes, processes.model("echo"))
        before = pool.pids

        with pytest.raises(ModelCrashedError, match=r"It is not tried again for \d+ s\."):
            await invoke(pool, processes, killer)

        assert pool.pids == before

    run(processes.pool(), act)


def test_convict_that_was_mended_is_served_after_its_sentence(processes: WorkerProcesses) -> None:
    poison = processes.markers / "poison"
    poison.touch()
    killer = processes.model(
        "killer", AT_PREDICT, f"os.path.exists({str(poison)!r}) and os._exit(1)"
    )
    clock = FakeClock()

    async def act(pool: WorkerPool) -> None:
        with pytest.raises(ModelCrashedError):
            await invoke(pool, processes, killer)
        poison.unlink()
        clock.advance(FIRST_BAR_S)

        assert await invoke(pool, processes, killer, b"5") == b"5"

    run(processes.pool(clock=clock), act)


def test_crash_in_one_worker_leaves_the_other_alone(processes: WorkerProcesses) -> None:
    killer = processes.model("killer", AT_PREDICT, ENDS["exit"])

    async def act(pool: WorkerPool) -> None:
        _, other = pool.pids

        with pytest.raises(ModelCrashedError):
            await invoke(pool, processes, killer)

        assert pool.pids[1] == other

    run(processes.pool(workers=2), act)


def test_calls_made_while_a_worker_is_replaced_wait_and_succeed(processes: WorkerProcesses) -> None:
    echo = processes.model("echo")

    async def act(pool: WorkerPool) -> None:
        await invoke(pool, processes, echo)
        (pid,) = pool.pids
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

        calls = [invoke(pool, processes, echo, b"%d" % number) for number in range(200)]

        assert await asyncio.gather(*calls) == [b"%d" % number for number in range(200)]
        assert pool.pids != [pid]

    run(processes.pool(), act)


def test_model_is_not_blamed_for_a_process_somebody_else_killed(processes: WorkerProcesses) -> None:
    echo = processes.model("echo")

    async def act(pool: WorkerPool) -> None:
        for _ in range(3):
            await invoke(pool, processes, echo)
            (pid,) = pool.pids
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: pool.pids != [pid])

        assert await invoke(pool, processes, echo) == b"1"

    run(processes.pool(), act)


def test_one_answer_lets_all_calls_of_a_suspect_run_side_by_side_again(
    processes: WorkerProcesses,
) -> None:
    source = FIRST_ALONE_THEN_TOGETHER.format(markers=str(processes.markers))
    model = processes.model("together", source)

    async def act(pool: WorkerPool) -> None:
        calls = [
            asyncio.create_task(invoke(pool, processes, model, body, timeout_s=30.0))
            for body in (b"1", b"2", b"3")
        ]
        await asyncio.gather(*(processes.seen(f"in{number}") for number in (1, 2, 3)))
        (pid,) = pool.pids
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: pool.pids != [pid])
        processes.put("go")

        assert await asyncio.gather(*calls) == [b"1", b"2", b"3"]

    run(processes.pool(), act)


def test_largest_body_passes_both_ways(processes: WorkerProcesses) -> None:
    body = b"7" * MAX_BODY_BYTES

    async def act(pool: WorkerPool) -> None:
        assert await invoke(pool, processes, processes.model("echo"), body) == body

    run(processes.pool(), act)


def test_answer_that_came_too_late_is_nobody_elses(processes: WorkerProcesses) -> None:
    slow = processes.model("slow", AT_PREDICT, f"data == '9' and {processes.wait_for('go')}")

    async def act(pool: WorkerPool) -> None:
        await invoke(pool, processes, slow)

        for _ in range(3):
            with pytest.raises(TimeoutError):
                await invoke(pool, processes, slow, b"9", timeout_s=0.05)
        processes.put("go")

        calls = [invoke(pool, processes, slow, b"%d" % number) for number in range(8)]
        assert await asyncio.gather(*calls) == [b"%d" % number for number in range(8)]

    run(processes.pool(), act)


def test_caller_that_gave_up_leaves_nothing_in_flight(processes: WorkerProcesses) -> None:
    slow = processes.model("slow", AT_PREDICT, f"data == '9' and {processes.wait_for('go')}")

    async def act(pool: WorkerPool) -> None:
        await invoke(pool, processes, slow)
        call = asyncio.create_task(invoke(pool, processes, slow, b"9"))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])

        assert await invoke(pool, processes, slow, b"3") == b"3"
        processes.put("go")

    run(processes.pool(max_in_flight=1), act)


def test_full_worker_says_so(processes: WorkerProcesses) -> None:
    slow = processes.model("slow", AT_PREDICT, processes.wait_for("go"))

    async def act(pool: WorkerPool) -> None:
        calls = [asyncio.create_task(invoke(pool, processes, slow)) for _ in range(2)]
        await asyncio.sleep(0)

        with pytest.raises(CapacityError, match="too many calls in flight: 2 on this worker"):
            await invoke(pool, processes, slow)

        processes.put("go")
        assert await asyncio.gather(*calls) == [b"1"] * 2

    run(processes.pool(max_in_flight=2), act)


def test_survey_tells_what_the_worker_has(processes: WorkerProcesses) -> None:
    echo = processes.model("echo")

    async def act(pool: WorkerPool) -> None:
        await invoke(pool, processes, echo)

        answer = await pool.call(0, Survey("housing", processes.source(echo).repository), 10.0)

        assert [item.status for item in answer.residences] == [ModelStatus.LOADED]

    run(processes.pool(), act)


def test_innocent_in_flight_pays_not_for_a_load_that_goes_on_unwatched(
    processes: WorkerProcesses,
) -> None:
    """The killer's callers were told "not ready" long before its load kills the process."""
    killer = processes.model("killer", AT_LOAD, f"{processes.wait_for('die')}; os._exit(1)")
    innocent = processes.model(
        "innocent", AT_PREDICT, f"{processes.leave('in')}; {processes.wait_for('go')}"
    )

    async def kill_by_loading(pool: WorkerPool) -> None:
        before = pool.pids
        await pool.call(0, processes.request(killer, window_s=0.05), timeout_s=1.0)
        processes.take("in")
        processes.put("die")
        await until(lambda: pool.pids != before)
        processes.take("die")

    async def act(pool: WorkerPool) -> None:
        call = asyncio.create_task(invoke(pool, processes, innocent))
        for _ in range(2):
            await processes.seen("in")
            with suppress(TimeoutError):  # a suspect is held back while another is on trial
                await kill_by_loading(pool)
        processes.put("go")

        assert await call == b"1"

    run(processes.pool(), act)


def test_child_of_a_crashed_model_does_not_keep_its_caller_waiting(
    processes: WorkerProcesses,
) -> None:
    """A forked child inherits the caller's connection, which so stays open."""
    orphan = f"os.fork() == 0 and {processes.wait_for('go')}; os._exit(1)"
    killer = processes.model("killer", AT_PREDICT, orphan)

    async def act(pool: WorkerPool) -> None:
        try:
            with pytest.raises(ModelCrashedError):
                await invoke(pool, processes, killer)
        finally:
            processes.put("go")

    run(processes.pool(), act)


def test_stop_finishes_the_call_in_flight(processes: WorkerProcesses) -> None:
    slow = processes.model(
        "slow", AT_PREDICT, f"{processes.leave('in')}; {processes.wait_for('go')}"
    )
    calls: list[asyncio.Task[bytes | None]] = []

    async def act(pool: WorkerPool) -> None:
        calls.append(asyncio.create_task(invoke(pool, processes, slow, b"8")))
        await processes.seen("in")
        asyncio.get_running_loop().call_later(0.1, processes.put, "go")

    run(processes.pool(), act)

    assert calls[0].result() == b"8"


@pytest.mark.parametrize("workers", [1, 3])
def test_stop_leaves_no_process(processes: WorkerProcesses, workers: int) -> None:
    pids: list[int | None] = []

    async def act(pool: WorkerPool) -> None:
        pids.extend(pool.pids)

    run(processes.pool(workers), act)

    assert len(pids) == workers
    assert workers_left() == []


def test_stop_ends_a_worker_whose_model_never_answers(processes: WorkerProcesses) -> None:
    hung = processes.model(
        "hung", AT_PREDICT, f"{processes.leave('in')}; {processes.wait_for('never')}"
    )

    async def act(pool: WorkerPool) -> None:
        call = asyncio.create_task(invoke(pool, processes, hung))
        await processes.seen("in")
        call.cancel()

    run(processes.pool(), act)

    assert workers_left() == []


@pytest.mark.parametrize("steps", range(6))
def test_stop_while_a_worker_is_being_replaced_leaves_no_process(
    processes: WorkerProcesses, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """However far the event loop is with the replacement when the order to stop comes."""
    monkeypatch.setattr(worker_process, "_FIRST_PAUSE_S", 0.0)

    async def act(pool: WorkerPool) -> None:
        (worker,) = pool._workers
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        await worker.wait_for_exit(after=0)
        for _ in range(steps):
            await asyncio.sleep(0)

    run(processes.pool(), act)

    assert workers_left() == []


def test_process_that_never_came_up_is_replaced_after_a_pause(
    processes: WorkerProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it took: a class whose imports take long may end its process, too."""
    monkeypatch.setattr(worker_process, "_HEALTHY_AFTER_S", 0.0)
    died_at: list[float] = []

    async def scenario() -> None:
        command = WorkerCommand("short-lived", "this", b"")
        worker = worker_process.WorkerProcess(0, processes.sockets, command)
        await worker.start()
        keeper = asyncio.create_task(
            worker.keep_running(lambda _: died_at.append(time.monotonic()))
        )
        await until(lambda: len(died_at) == 3)
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        await worker.stop(1.0)

    asyncio.run(scenario())

    first, second, third = died_at
    assert second - first >= 0.1
    assert third - second >= 0.2
