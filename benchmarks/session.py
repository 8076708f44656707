"""Run works one after the other, each in rounds; the systems take turns within a round."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from benchmarks import model_store
from benchmarks.environments import CannotRunError
from benchmarks.machine import Outsiders
from benchmarks.peers.system import System
from benchmarks.results import LOOP, Results
from benchmarks.servers import ServerError
from benchmarks.works.work import Pace, Work

_DISTURBED = 0.15


@dataclass(frozen=True, slots=True)
class Session:
    """One run of the benchmark."""

    pace: Pace
    rounds: int | None
    """Number of rounds of every work; by default each work has its own number."""
    results: Results
    outsiders: Outsiders
    clean_up: Callable[[], None] = lambda: None
    """Called after each turn."""
    began: float = field(default_factory=time.perf_counter)

    def prepare(self, systems: Sequence[System]) -> list[System]:
        """Prepare the systems; return those that can run here, and report why others cannot."""
        model_store.ensure()
        able = []
        for system in systems:
            try:
                system.prepare()
                able.append(system)
            except CannotRunError as error:
                self._skip(system.name, error)
        return able

    def run(self, works: Sequence[Work], systems: Sequence[System]) -> None:
        """Measure everything."""
        for work in works:
            began = time.perf_counter()
            for number in range(self.rounds or max(work.rounds, work.peer_rounds)):
                self._run_round(work, systems, number)
            print(f"{work.name}: {time.perf_counter() - began:.0f} s", flush=True)

    def _run_round(self, work: Work, systems: Sequence[System], number: int) -> None:
        if number < (self.rounds or work.rounds):
            note = self.results.note_of(LOOP)
            self._turn(work, LOOP, lambda: work.measure_loop(note, self.pace))
            beside = self.results.note_of
            self._turn(work, "beside", lambda: work.measure_beside(beside, self.pace))
        for system in systems if number % 2 == 0 else reversed(systems):
            rounds = self.rounds or (work.rounds if system.is_core else work.peer_rounds)
            if number < rounds and work.takes(system):
                self._measure(work, system)

    def _measure(self, work: Work, system: System) -> None:
        note = self.results.note_of(system.name)
        self._turn(work, system.name, lambda: work.measure(system, note, self.pace))

    def _turn(self, work: Work, system: str, measure: Callable[[], None]) -> None:
        self.outsiders.begin()
        try:
            measure()
        except (ServerError, OSError) as error:
            self._skip(f"{system}, {work.name}", error)
        self.clean_up()
        share = self.outsiders.end()
        if share > _DISTURBED:
            print(f"disturbed: {work.name}, {system}: others had {share:.0%} of the machine")

    def _skip(self, what: str, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        self.results.skipped[what] = reason
        print(f"skipped: {what}: {reason}", flush=True)
