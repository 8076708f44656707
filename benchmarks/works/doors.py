"""Measure one call over each protocol that a system speaks: one client, one model in memory."""

from benchmarks.kinds import Kind
from benchmarks.load.generator import run_for
from benchmarks.model_store import repository
from benchmarks.peers.system import Serving, System, check_answer, served
from benchmarks.results import Note
from benchmarks.works.work import Pace, Work, note_measured

SECONDS = 1.5


class Doors(Work):
    """XGBoost over every protocol; peers that speak version 2 stand beside Modelyard."""

    name = "doors_xgboost"
    peer_rounds = 2

    def takes(self, system: System) -> bool:
        """Return whether it speaks one of the protocols."""
        return bool(system.doors)

    def measure(self, system: System, note: Note, pace: Pace) -> None:
        """Measure one round of one system."""
        serving = Serving(repository(Kind.XGBOOST, 1))
        with served(system, serving) as server:
            system.load(server.port, serving, 0)
            for door in system.doors:
                request = system.request_over(door, serving.repository.name(0))
                check_answer(system, server, serving, request=request)
                run_for(server.port, [request], 8, pace.seconds(system.warm_up_s))
                cpu_began = server.cpu_s()
                measured = run_for(server.port, [request], 1, pace.seconds(SECONDS))
                work = f"door_{door}_c1"
                note_measured(note, work, measured)
                cpu_us = (server.cpu_s() - cpu_began) / len(measured.latencies_s) * 1e6
                note(work, "server_cpu_us", cpu_us)
