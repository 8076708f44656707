"""Measure how the load of a 1 GB model affects calls of a small model in the same process."""

import threading

from benchmarks.kinds import Kind
from benchmarks.load.generator import run_for, run_while
from benchmarks.load.http_messages import Reply, ask
from benchmarks.model_store import companion, repository
from benchmarks.peers.system import Serving, System, served
from benchmarks.results import Note
from benchmarks.servers import ServerError
from benchmarks.works.work import Pace, Work

CLIENTS = 2
SECONDS = 5.0


class Disturbance(Work):
    """The warm p99 of model A, undisturbed and while model B is loaded."""

    name = "disturbance_by_1gb_load"
    rounds = 2

    def measure(self, system: System, note: Note, pace: Pace) -> None:
        """Measure one round of one system; all its models are in one process."""
        serving = Serving(repository(Kind.ONNX_1GB), workers=1)
        small = system.request(Kind.XGBOOST, companion(Kind.XGBOOST))
        with served(system, serving) as server:
            ask(server.port, system.request(Kind.ONNX, companion(Kind.ONNX)))
            ask(server.port, small)
            alone = run_for(server.port, [small], CLIENTS, pace.seconds(SECONDS))
            large = _Call(server.port, system.request(Kind.ONNX_1GB, serving.repository.name(0)))
            meanwhile = run_while(server.port, [small], CLIENTS, large.is_on_its_way)
            large.finish()
        if alone.errors or meanwhile.errors:
            raise ServerError(f"{alone.errors} errors alone, {meanwhile.errors} meanwhile")
        note(self.name, "alone_p99_ms", alone.percentile_ms(99))
        note(self.name, "meanwhile_p99_ms", meanwhile.percentile_ms(99))
        note(self.name, "p99_ratio", meanwhile.percentile_ms(99) / alone.percentile_ms(99))
        note(self.name, "longest_ms", meanwhile.longest_ms)
        note(self.name, "load_ms", meanwhile.elapsed_s * 1e3)


class _Call(threading.Thread):
    """One slow call beside the load generator."""

    def __init__(self, port: int, request: bytes) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._request = request
        self._reply: Reply | None = None

    def run(self) -> None:
        self._reply = ask(self._port, self._request)

    def is_on_its_way(self, _: float) -> bool:
        """Return whether there is no response yet; the first use of this method makes the call.

        So the load starts when clients are already running, and they wait if the server stalls.
        """
        if self.ident is None:
            self.start()
        return self.is_alive()

    def finish(self) -> None:
        """Wait for the answer.

        Raises:
            ServerError: it is not the prediction.
        """
        self.join()
        if self._reply is None or self._reply.status != 200:
            raise ServerError(f"the large model answered {self._reply}")
