"""Measure calls of one model in memory, and the time from start to first answer."""

import time

from benchmarks.kinds import Kind
from benchmarks.load.generator import run_for
from benchmarks.model_store import repository
from benchmarks.peers import loop
from benchmarks.peers.system import Serving, System, check_answer, served
from benchmarks.results import Note
from benchmarks.works.work import Pace, Work, note_measured

CLIENTS = (1, 8, 64)
SECONDS = 1.5


class Warm(Work):
    """A kind of model at each number of clients."""

    peer_rounds = 2

    def __init__(self, kind: Kind) -> None:
        self.name = f"warm_{kind}"
        self._kind = kind

    def takes(self, system: System) -> bool:
        """Return whether it serves the kind."""
        return self._kind in system.kinds

    def measure(self, system: System, note: Note, pace: Pace) -> None:
        """Measure one round of one system."""
        serving = Serving(repository(self._kind, 1))
        request = system.request(self._kind, serving.repository.name(0))
        with served(system, serving) as server:
            system.load(server.port, serving, 0)
            check_answer(system, server, serving)
            note(f"start_{self._kind}", "first_answer_ms", _since_ms(server.started_at))
            run_for(server.port, [request], 8, pace.seconds(system.warm_up_s))
            for clients in CLIENTS:
                cpu_began = server.cpu_s()
                measured = run_for(server.port, [request], clients, pace.seconds(SECONDS))
                work = f"{self.name}_c{clients}"
                note_measured(note, work, measured)
                cpu_us = (server.cpu_s() - cpu_began) / len(measured.latencies_s) * 1e6
                note(work, "server_cpu_us", cpu_us)

    def measure_loop(self, note: Note, pace: Pace) -> None:
        """Measure one thread; more clients would not make it faster."""
        model = str(repository(self._kind).path(0))
        measured = loop.run("warm", self._kind, model=model, seconds=pace.seconds(SECONDS))
        for metric, value in measured.items():
            note(f"{self.name}_c1", metric, value)
        for clients in CLIENTS[1:]:
            note(f"{self.name}_c{clients}", "rps", measured["rps"])


def _since_ms(moment: float) -> float:
    return (time.perf_counter() - moment) * 1e3
