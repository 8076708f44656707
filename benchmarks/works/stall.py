"""Measure the longest wait within a minute, which shows garbage collection and housekeeping."""

from benchmarks.kinds import Kind
from benchmarks.load.generator import run_for
from benchmarks.model_store import repository
from benchmarks.peers.system import Serving, System, check_answer, served
from benchmarks.results import Note
from benchmarks.works.work import Pace, Work, note_measured

CLIENTS = 8
SECONDS = 60.0


class Stall(Work):
    """XGBoost at 8 clients for a minute."""

    name = "stall_xgboost_c8"
    rounds = 1

    def measure(self, system: System, note: Note, pace: Pace) -> None:
        """Measure one round of one system."""
        serving = Serving(repository(Kind.XGBOOST, 1))
        request = system.request(Kind.XGBOOST, serving.repository.name(0))
        with served(system, serving) as server:
            check_answer(system, server, serving)
            run_for(server.port, [request], CLIENTS, pace.seconds(2.0))
            measured = run_for(server.port, [request], CLIENTS, pace.seconds(SECONDS))
            note_measured(note, self.name, measured)
            note(self.name, "longest_ms", measured.longest_ms)
