"""Measure the memory of a process with one model, and of each further model."""

from benchmarks.kinds import Kind
from benchmarks.load.generator import run_all
from benchmarks.load.http_messages import ask
from benchmarks.model_store import repository
from benchmarks.peers import loop
from benchmarks.peers.system import Serving, System, check_answer, served
from benchmarks.results import Note
from benchmarks.servers import ServerError
from benchmarks.works.work import Pace, Work

MODELS = 100
MODELS_OF_HEAVY = 12
"""Number of models for systems that start a process for each model."""


class Memory(Work):
    """Copies of the XGBoost model, all of them in memory."""

    name = "memory_xgboost"
    rounds = 1

    def takes(self, system: System) -> bool:
        """Return whether it serves the kind with one process; two would each hold some models."""
        return Kind.XGBOOST in system.kinds and not system.is_for_throughput

    def measure(self, system: System, note: Note, pace: Pace) -> None:
        """Measure one round of one system."""
        count = MODELS_OF_HEAVY if system.is_process_per_model else MODELS
        source = repository(Kind.XGBOOST, min(count, 12) if pace.is_quick else count)
        serving = Serving(source, workers=1)
        with served(system, serving) as server:
            system.load(server.port, serving, 0)
            check_answer(system, server, serving)
            note(self.name, "one_model_mb", server.pss_mb())
            note(self.name, "largest_process_rss_mb", server.largest_rss_mb())
            one_mb = server.pss_mb()
            requests = [system.request(Kind.XGBOOST, name) for name in source.names[1:]]
            if system.loads_on_call:
                if run_all(server.port, requests, 1).errors:
                    raise ServerError("not every model answered")
            else:
                for number, request in enumerate(requests, 1):
                    system.load(server.port, serving, number)
                    ask(server.port, request)
            note(self.name, "per_model_mb", (server.pss_mb() - one_mb) / len(requests))

    def measure_loop(self, note: Note, pace: Pace) -> None:
        """Measure a list of models in one process."""
        source = repository(Kind.XGBOOST, MODELS)
        models = [str(source.path(number)) for number in range(source.count)]
        for metric, value in loop.run("memory", Kind.XGBOOST, models=models).items():
            note(self.name, metric, value)
