"""Measure many models on a server that neither loads models on a call nor evicts them.

An agent in front of the server loads and evicts, as a platform around such a server does.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator

from benchmarks.load.http_messages import ask
from benchmarks.load.measured import Measured
from benchmarks.peers.system import Serving, System
from benchmarks.results import Note
from benchmarks.servers import Running, ServerError
from benchmarks.works.work import Pace, note_measured

CLIENTS = 8
SECONDS = 12.0


class Agent:
    """Unloads the least recently used models; threads wait for the load of their model."""

    def __init__(self, system: System, server: Running, serving: Serving) -> None:
        self.hits = self.misses = self.errors = 0
        self._system = system
        self._server = server
        self._serving = serving
        self._loaded: OrderedDict[int, threading.Lock] = OrderedDict()
        self._table = threading.Lock()

    def call(self, number: int) -> None:
        """Call a model, and load it first if it is not loaded."""
        with self._admit(number):  # a load makes the other threads wait
            pass
        name = self._serving.repository.name(number)
        request = self._system.request(self._serving.repository.kind, name)
        if ask(self._server.port, request).status != 200:
            self._count_error()

    def _admit(self, number: int) -> threading.Lock:
        with self._table:
            turn = self._loaded.get(number)
            if turn is not None:
                self.hits += 1
                self._loaded.move_to_end(number)
                return turn
            self.misses += 1
            turn = self._loaded[number] = threading.Lock()
            turn.acquire()
            is_full = len(self._loaded) > self._serving.capacity
            victim = self._loaded.popitem(last=False)[0] if is_full else None
        try:
            if victim is not None:
                self._system.unload(self._server.port, self._serving, victim)
            self._system.load(self._server.port, self._serving, number)
        except (OSError, ServerError):
            self._count_error()
        finally:
            turn.release()
        return turn

    def _count_error(self) -> None:
        with self._table:
            self.errors += 1


def run_by_agent(
    system: System,
    server: Running,
    serving: Serving,
    numbers: list[int],
    note: Note,
    name: str,
    pace: Pace,
) -> None:
    """Measure a server behind an agent, starting with no model loaded."""
    agent, latencies = Agent(system, server, serving), list[float]()
    began = time.perf_counter()
    ends_at = began + (3.0 if pace.is_quick else SECONDS)
    asked = iter(numbers)
    threads = [
        threading.Thread(target=_ask_in_turn, args=(agent, asked, latencies, ends_at))
        for _ in range(CLIENTS)
    ]
    cpu_began = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    measured = Measured(
        latencies, time.perf_counter() - began, agent.errors, time.process_time() - cpu_began
    )
    work = f"{name}_c{CLIENTS}"
    note_measured(note, work, measured)
    note(work, "miss_rate", agent.misses / (agent.hits + agent.misses))
    note(work, "peak_rss_mb", server.peak_rss_mb())


def _ask_in_turn(
    agent: Agent, numbers: Iterator[int], latencies: list[float], ends_at: float
) -> None:
    for number in numbers:
        asked_at = time.perf_counter()
        if asked_at > ends_at:
            return
        agent.call(number)
        latencies.append(time.perf_counter() - asked_at)
