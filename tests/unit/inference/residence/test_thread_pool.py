"""Works start at once; a thread that has ended its task takes the next one."""

import threading

import pytest

from modelyard.inference.residence import thread_pool
from modelyard.inference.residence.thread_pool import CachedThreadPool

PATIENT_S = 30.0


def run(pool: CachedThreadPool) -> int:
    """Run one task to its end; return the thread that it ran in."""
    threads: list[int] = []
    assert pool.start(lambda: threads.append(threading.get_native_id())).wait(PATIENT_S)
    return threads[0]


def wait_until_idle(pool: CachedThreadPool, idle: int) -> None:
    with pool._changed:
        while pool._idle != idle:
            pool._changed.wait(0.01)


def test_a_thread_is_used_again() -> None:
    pool = CachedThreadPool("test")
    first = run(pool)
    wait_until_idle(pool, 1)

    assert run(pool) == first != threading.get_native_id()


def test_no_task_waits_for_another_one() -> None:
    pool = CachedThreadPool("test")
    run(pool)
    wait_until_idle(pool, 1)
    together = threading.Barrier(4)

    tasks = [pool.start(lambda: together.wait(PATIENT_S) and None) for _ in range(4)]

    assert all(task.wait(PATIENT_S) for task in tasks)
    assert not together.broken


def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "IDLE_S", 0.0)
    pool = CachedThreadPool("ends")
    thread: list[threading.Thread] = []

    pool.start(lambda: thread.append(threading.current_thread())).wait(PATIENT_S)
    thread[0].join(PATIENT_S)

    assert not thread[0].is_alive()
    assert pool._idle == 0
    assert run(pool)


def test_a_thread_ends_after_so_many_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "TASKS_PER_THREAD", 2)
    pool = CachedThreadPool("test")
    threads: list[threading.Thread] = []
    for _ in range(2):
        assert pool.start(lambda: threads.append(threading.current_thread())).wait(PATIENT_S)
        if len(threads) == 1:
            wait_until_idle(pool, 1)
    threads[0].join(PATIENT_S)

    assert threads[0] is threads[1]
    assert not threads[0].is_alive()
    assert run(pool)
