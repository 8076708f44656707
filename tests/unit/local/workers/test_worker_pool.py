"""The worker pool with real processes and models that end them."""

import asyncio
import os
import signal
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
from modelyard.router.suspects import FIRST_SENTENCE_S
from modelyard.sagemaker.constraints import MAX_BODY_BYTES
from tests.fakes.clock import FakeClock
from tests.fakes.worker_yard import AT_LOAD, AT_PREDICT, WorkerYard, body_of, until, worker_yard

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
def yard(tmp_path: Path) -> Iterator[WorkerYard]:
    with worker_yard(tmp_path) as yard:
        yield yard


def run(pool: WorkerPool, act: Act) -> None:
    async def scenario() -> None:
        async with asyncio.timeout(60), pool:
            await act(pool)

    asyncio.run(scenario())


async def invoke(
    pool: WorkerPool, yard: WorkerYard, name: str, body: bytes = b"1", timeout_s: float = 30.0
) -> bytes | None:
    return body_of(await pool.call(0, yard.request(name, body), timeout_s))


def workers_left() -> list[int]:
    """Return the workers of this suite's pools that live: those of servers are grandchildren."""
    children = psutil.Process().children()
    living = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return [child.pid for child in living if "modelyard.local.worker" in child.cmdline()]


@ends
@moments
def test_model_that_ends_its_process_is_found_out_and_the_process_replaced(
    yard: WorkerYard, end: str, moment: str
) -> None:
    killer, echo = yard.model("killer", moment, end), yard.model("echo")

    async def act(pool: WorkerPool) -> None:
        (before,) = pool.pids

        with pytest.raises(ModelCrashedError, match="the model process exited"):
            await invoke(pool, yard, killer)

        assert await invoke(pool, yard, echo, b"7") == b"7"
        assert pool.pids != [before]

    run(yard.pool(), act)


def test_other_models_in_flight_get_right_answers(yard: WorkerYard) -> None:
    killer = yard.model("killer", AT_PREDICT, ENDS["killed"])
    innocents = [
        yard.model(f"m{n}", AT_PREDICT, f"{yard.leave(f'm{n}')}; {yard.wait_for('go')}")
        for n in range(6)
    ]

    async def act(pool: WorkerPool) -> None:
        calls = [
            asyncio.create_task(invoke(pool, yard, name, b"%d" % number))
            for number, name in enumerate(innocents)
        ]
        await asyncio.gather(*(yard.seen(name) for name in innocents))
        killing = asyncio.create_task(invoke(pool, yard, killer))
        before = pool.pids
        await until(lambda: pool.pids != before)
        yard.put("go")

        assert await asyncio.gather(*calls) == [b"%d" % n for n in range(6)]
        with pytest.raises(ModelCrashedError):
            await killing

    run(yard.pool(), act)


def test_many_callers_of_a_killer_do_not_hide_it(yard: WorkerYard) -> None:
    killer, echo = yard.model("killer", AT_PREDICT, ENDS["exit"]), yard.model("echo")

    async def act(pool: WorkerPool) -> None:
        calls = [invoke(pool, yard, killer) for _ in range(20)]
        calls += [invoke(pool, yard, echo) for _ in range(20)]

        outcomes = await asyncio.gather(*calls, return_exceptions=True)

        assert all(isinstance(outcome, ModelCrashedError) for outcome in outcomes[:20])
        assert outcomes[20:] == [b"1"] * 20

    run(yard.pool(), act)


def test_convict_is_refused_at_once_and_takes_nobody_down_any_more(yard: WorkerYard) -> None:
    killer = yard.model("killer", AT_PREDICT, ENDS["exit"])

    async def act(pool: WorkerPool) -> None:
        with pytest.raises(ModelCrashedError):
            await invoke(pool, yard, killer)
        await invoke(pool, yard, yard.model("echo"))
        before = pool.pids

        with pytest.raises(ModelCrashedError, match=r"It is not tried again for \d+ s\."):
            await invoke(pool, yard, killer)

        assert pool.pids == before

    run(yard.pool(), act)


def test_convict_that_was_mended_is_served_after_its_sentence(yard: WorkerYard) -> None:
    poison = yard.markers / "poison"
    poison.touch()
    killer = yard.model("killer", AT_PREDICT, f"os.path.exists({str(poison)!r}) and os._exit(1)")
    clock = FakeClock()

    async def act(pool: WorkerPool) -> None:
        with pytest.raises(ModelCrashedError):
            await invoke(pool, yard, killer)
        poison.unlink()
        clock.advance(FIRST_SENTENCE_S)

        assert await invoke(pool, yard, killer, b"5") == b"5"

    run(yard.pool(clock=clock), act)


def test_crash_in_one_worker_leaves_the_other_alone(yard: WorkerYard) -> None:
    killer = yard.model("killer", AT_PREDICT, ENDS["exit"])

    async def act(pool: WorkerPool) -> None:
        _, other = pool.pids

        with pytest.raises(ModelCrashedError):
            await invoke(pool, yard, killer)

        assert pool.pids[1] == other

    run(yard.pool(workers=2), act)


def test_calls_made_while_a_worker_is_replaced_wait_and_succeed(yard: WorkerYard) -> None:
    echo = yard.model("echo")

    async def act(pool: WorkerPool) -> None:
        await invoke(pool, yard, echo)
        (pid,) = pool.pids
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

        calls = [invoke(pool, yard, echo, b"%d" % number) for number in range(200)]

        assert await asyncio.gather(*calls) == [b"%d" % number for number in range(200)]
        assert pool.pids != [pid]

    run(yard.pool(), act)


def test_model_is_not_blamed_for_a_process_somebody_else_killed(yard: WorkerYard) -> None:
    echo = yard.model("echo")

    async def act(pool: WorkerPool) -> None:
        for _ in range(3):
            await invoke(pool, yard, echo)
            (pid,) = pool.pids
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: pool.pids != [pid])

        assert await invoke(pool, yard, echo) == b"1"

    run(yard.pool(), act)


def test_one_answer_lets_all_calls_of_a_suspect_run_side_by_side_again(yard: WorkerYard) -> None:
    source = FIRST_ALONE_THEN_TOGETHER.format(markers=str(yard.markers))
    model = yard.model("together", source)

    async def act(pool: WorkerPool) -> None:
        calls = [
            asyncio.create_task(invoke(pool, yard, model, body, timeout_s=6.0))
            for body in (b"1", b"2", b"3")
        ]
        await asyncio.gather(*(yard.seen(f"in{number}") for number in (1, 2, 3)))
        (pid,) = pool.pids
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: pool.pids != [pid])
        yard.put("go")

        assert await asyncio.gather(*calls) == [b"1", b"2", b"3"]

    run(yard.pool(), act)


def test_largest_body_passes_both_ways(yard: WorkerYard) -> None:
    body = b"7" * MAX_BODY_BYTES

    async def act(pool: WorkerPool) -> None:
        assert await invoke(pool, yard, yard.model("echo"), body) == body

    run(yard.pool(), act)


def test_answer_that_came_too_late_is_nobody_elses(yard: WorkerYard) -> None:
    slow = yard.model("slow", AT_PREDICT, f"data == '9' and {yard.wait_for('go')}")

    async def act(pool: WorkerPool) -> None:
        await invoke(pool, yard, slow)

        for _ in range(3):
            with pytest.raises(TimeoutError):
                await invoke(pool, yard, slow, b"9", timeout_s=0.05)
        yard.put("go")

        calls = [invoke(pool, yard, slow, b"%d" % number) for number in range(8)]
        assert await asyncio.gather(*calls) == [b"%d" % number for number in range(8)]

    run(yard.pool(), act)


def test_caller_that_gave_up_leaves_nothing_in_flight(yard: WorkerYard) -> None:
    slow = yard.model("slow", AT_PREDICT, f"data == '9' and {yard.wait_for('go')}")

    async def act(pool: WorkerPool) -> None:
        await invoke(pool, yard, slow)
        call = asyncio.create_task(invoke(pool, yard, slow, b"9"))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])

        assert await invoke(pool, yard, slow, b"3") == b"3"
        yard.put("go")

    run(yard.pool(max_in_flight=1), act)


def test_full_worker_says_so(yard: WorkerYard) -> None:
    slow = yard.model("slow", AT_PREDICT, yard.wait_for("go"))

    async def act(pool: WorkerPool) -> None:
        calls = [asyncio.create_task(invoke(pool, yard, slow)) for _ in range(2)]
        await asyncio.sleep(0)

        with pytest.raises(CapacityError, match="too many calls in flight: 2 on this worker"):
            await invoke(pool, yard, slow)

        yard.put("go")
        assert await asyncio.gather(*calls) == [b"1"] * 2

    run(yard.pool(max_in_flight=2), act)


def test_survey_tells_what_the_worker_has(yard: WorkerYard) -> None:
    echo = yard.model("echo")

    async def act(pool: WorkerPool) -> None:
        await invoke(pool, yard, echo)

        answer = await pool.call(0, Survey("housing", yard.source(echo).repository), 10.0)

        assert [item.status for item in answer.residences] == [ModelStatus.LOADED]

    run(yard.pool(), act)


def test_innocent_in_flight_pays_not_for_a_load_that_goes_on_unwatched(yard: WorkerYard) -> None:
    """The killer's callers were told "not ready" long before its load kills the process."""
    killer = yard.model("killer", AT_LOAD, f"{yard.wait_for('die')}; os._exit(1)")
    innocent = yard.model("innocent", AT_PREDICT, f"{yard.leave('in')}; {yard.wait_for('go')}")

    async def kill_by_loading(pool: WorkerPool) -> None:
        before = pool.pids
        await pool.call(0, yard.request(killer, window_s=0.05), timeout_s=1.0)
        yard.take("in")
        yard.put("die")
        await until(lambda: pool.pids != before)
        yard.take("die")

    async def act(pool: WorkerPool) -> None:
        call = asyncio.create_task(invoke(pool, yard, innocent))
        for _ in range(2):
            await yard.seen("in")
            with suppress(TimeoutError):  # a suspect is held back while another is on trial
                await kill_by_loading(pool)
        yard.put("go")

        assert await call == b"1"

    run(yard.pool(), act)


def test_child_of_a_crashed_model_does_not_keep_its_caller_waiting(yard: WorkerYard) -> None:
    """A forked child inherits the caller's connection, which so stays open."""
    orphan = f"os.fork() == 0 and {yard.wait_for('go')}; os._exit(1)"
    killer = yard.model("killer", AT_PREDICT, orphan)

    async def act(pool: WorkerPool) -> None:
        try:
            with pytest.raises(ModelCrashedError):
                await invoke(pool, yard, killer, timeout_s=5.0)
        finally:
            yard.put("go")

    run(yard.pool(), act)


def test_stop_finishes_the_call_in_flight(yard: WorkerYard) -> None:
    slow = yard.model("slow", AT_PREDICT, f"{yard.leave('in')}; {yard.wait_for('go')}")
    calls: list[asyncio.Task[bytes | None]] = []

    async def act(pool: WorkerPool) -> None:
        calls.append(asyncio.create_task(invoke(pool, yard, slow, b"8")))
        await yard.seen("in")
        asyncio.get_running_loop().call_later(0.1, yard.put, "go")

    run(yard.pool(), act)

    assert calls[0].result() == b"8"


@pytest.mark.parametrize("workers", [1, 3])
def test_stop_leaves_no_process(yard: WorkerYard, workers: int) -> None:
    pids: list[int | None] = []

    async def act(pool: WorkerPool) -> None:
        pids.extend(pool.pids)

    run(yard.pool(workers), act)

    assert len(pids) == workers
    assert workers_left() == []


def test_stop_ends_a_worker_whose_model_never_answers(yard: WorkerYard) -> None:
    hung = yard.model("hung", AT_PREDICT, f"{yard.leave('in')}; {yard.wait_for('never')}")

    async def act(pool: WorkerPool) -> None:
        call = asyncio.create_task(invoke(pool, yard, hung))
        await yard.seen("in")
        call.cancel()

    run(yard.pool(), act)

    assert workers_left() == []


@pytest.mark.parametrize("steps", range(6))
def test_stop_while_a_worker_is_being_replaced_leaves_no_process(
    yard: WorkerYard, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """However far the event loop is with the replacement when the order to stop comes."""
    monkeypatch.setattr(worker_process, "_FIRST_PAUSE_S", 0.0)

    async def act(pool: WorkerPool) -> None:
        (worker,) = pool._workers
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        await worker.wait_for_death(after=0)
        for _ in range(steps):
            await asyncio.sleep(0)

    run(yard.pool(), act)

    assert workers_left() == []
