"""Measure many models, a few of them popular, with memory for a tenth of them.

Every model has been called once before. First calls are measured by another work.
"""

from benchmarks.kinds import Kind
from benchmarks.load.generator import run_all, run_for
from benchmarks.load.zipf import draw
from benchmarks.model_store import repository
from benchmarks.peers import loop
from benchmarks.peers.system import Serving, System, check_answer, served
from benchmarks.results import Note
from benchmarks.works.many_by_agent import run_by_agent
from benchmarks.works.work import Pace, Work, note_measured

EXPONENT = 1.1
CLIENTS = (8, 16)
WARM_UP_S = 2.0
SECONDS = 4.0
DRAWN = 60_000
MODELS_FOR_PEERS = 500


class Many(Work):
    """Number of copies of the XGBoost model; calls choose one by Zipf's law."""

    def __init__(self, models: int) -> None:
        self.name = f"many_{models}"
        self.rounds = 2 if models <= MODELS_FOR_PEERS else 1
        self._models = models

    def takes(self, system: System) -> bool:
        """Return whether it is a core system; peers are measured with the smaller number only."""
        return system.is_core or (self._models <= MODELS_FOR_PEERS and system.has_room_for_some)

    def measure(self, system: System, note: Note, pace: Pace) -> None:
        """Measure one round of one system."""
        source = repository(Kind.XGBOOST, self._models)
        serving = Serving(source, capacity=self._models // 10)
        numbers = draw(self._models, DRAWN, EXPONENT, seed=1)
        with served(system, serving) as server:
            if not system.loads_on_call:
                run_by_agent(system, server, serving, numbers, note, self.name, pace)
                return
            check_answer(system, server, serving)
            by_name = {
                number: system.request(Kind.XGBOOST, source.name(number)) for number in set(numbers)
            }
            requests = [by_name[number] for number in numbers]
            run_all(server.port, [*by_name.values()], 8)  # first calls are measured by another work
            run_for(server.port, requests, 8, pace.seconds(WARM_UP_S))
            for clients in CLIENTS:
                before = system.hits_and_misses(server.port)
                measured = run_for(
                    server.port, requests[DRAWN // 2 :], clients, pace.seconds(SECONDS)
                )
                note_measured(note, f"{self.name}_c{clients}", measured)
                after = system.hits_and_misses(server.port)
                if before is not None and after is not None:
                    hits, misses = after[0] - before[0], after[1] - before[1]
                    note(f"{self.name}_c{clients}", "miss_rate", misses / (hits + misses))
                note(f"{self.name}_c{clients}", "peak_rss_mb", server.peak_rss_mb())

    def measure_loop(self, note: Note, pace: Pace) -> None:
        """Measure one thread with its own table of models."""
        source = repository(Kind.XGBOOST, self._models)
        names = [source.name(number) for number in draw(self._models, DRAWN, EXPONENT, seed=1)]
        told = {"folder": str(source.folder), "capacity": self._models // 10}
        names = names[: 400 if pace.is_quick else 20_000]
        measured = loop.run(
            "many", Kind.XGBOOST, names=names, seconds=pace.seconds(SECONDS), **told
        )
        for clients in CLIENTS:
            for metric, value in measured.items():
                note(f"{self.name}_c{clients}", metric, value)
