"""Whose turn it is."""

import pytest

from benchmarks import session as session_module
from benchmarks.environments import CannotRunError
from benchmarks.machine import Outsiders
from benchmarks.results import Results
from benchmarks.servers import ServerError
from benchmarks.session import Session
from benchmarks.works.work import Pace


class FakeSystem:
    def __init__(self, name, is_core=True, problem=None):
        self.name = name
        self.is_core = is_core
        self.problem = problem

    def prepare(self):
        if self.problem:
            raise CannotRunError(self.problem)


class FakeWork:
    name = "work"
    rounds = 3
    peer_rounds = 1

    def __init__(self, failing=()):
        self.turns = []
        self.failing = failing

    def takes(self, system):
        return system.name != "unable"

    def measure(self, system, note, pace):
        self.turns.append(system.name)
        if system.name in self.failing:
            raise ServerError("it fell over\nand more")
        note(self.name, "ms", 1.0)

    def measure_loop(self, note, pace):
        self.turns.append("loop")

    def measure_beside(self, note_of, pace):
        note_of("something else")(self.name, "us", 2.0)


def session(rounds=None):
    return Session(Pace(), rounds, Results(), Outsiders())


def test_systems_take_turns_and_every_other_round_in_reverse():
    work = FakeWork()

    session().run([work], [FakeSystem("a"), FakeSystem("b")])

    assert work.turns == ["loop", "a", "b", "loop", "b", "a", "loop", "a", "b"]


def test_peers_have_rounds_of_their_own_unless_told_otherwise():
    core, peer = FakeSystem("core"), FakeSystem("peer", is_core=False)
    usual, told = FakeWork(), FakeWork()

    session().run([usual], [core, peer])
    session(rounds=2).run([told], [core, peer])

    assert usual.turns.count("peer") == 1
    assert told.turns.count("peer") == 2


def test_system_that_cannot_do_a_work_is_left_out():
    work = FakeWork()

    session(rounds=1).run([work], [FakeSystem("unable")])

    assert work.turns == ["loop"]


def test_failure_is_told_and_the_others_go_on():
    work, running = FakeWork(failing={"a"}), session(rounds=1)

    running.run([work], [FakeSystem("a"), FakeSystem("b")])

    assert running.results.skipped == {"a, work": "it fell over\nand more"}
    assert [row["system"] for row in running.results.rows()] == ["something else", "b"]


def test_system_that_cannot_run_here_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(session_module.model_store, "ensure", lambda: None)
    able, unable, running = FakeSystem("a"), FakeSystem("b", problem="needs java"), session()

    assert running.prepare([able, unable]) == [able]
    assert running.results.skipped == {"b": "needs java"}
