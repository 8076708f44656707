"""The interface of every kind of work."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from benchmarks.load.measured import Measured
from benchmarks.peers.system import System
from benchmarks.results import Note, NoteOf
from benchmarks.servers import ServerError


@dataclass(frozen=True, slots=True)
class Pace:
    """How long and how often a run measures: in full, or quickly."""

    is_quick: bool = False

    def seconds(self, usual: float) -> float:
        """Return the duration of a measurement that takes `usual` seconds in a full run."""
        return min(usual, 0.5) if self.is_quick else usual

    def count(self, usual: int) -> int:
        """Return the number of repetitions of what a full run repeats `usual` times."""
        return min(usual, 3) if self.is_quick else usual


class Work(ABC):
    """One kind of work. Instances hold no state of a run."""

    name: str
    rounds = 3
    peer_rounds = 1
    """Number of rounds for systems that are not core."""

    def takes(self, system: System) -> bool:
        """Return whether it is measured on a system."""
        return system.is_core and not system.is_for_throughput

    @abstractmethod
    def measure(self, system: System, note: Note, pace: Pace) -> None:
        """Measure one round of one system.

        Raises:
            ServerError: it does not start or answers wrongly.
        """

    def measure_loop(self, note: Note, pace: Pace) -> None:
        """Measure one round of the bare loop, where there is one."""
        return

    def measure_beside(self, note_of: NoteOf, pace: Pace) -> None:
        """Measure one round of a work that starts no system; does nothing for other works."""
        return


def note_measured(note: Note, work: str, measured: Measured) -> None:
    """Store the measurements of the clients.

    Raises:
        ServerError: no call was answered.
    """
    if not measured.latencies_s:
        raise ServerError(f"{measured.errors} errors and no answer")
    note(work, "p50_ms", measured.percentile_ms(50))
    note(work, "p99_ms", measured.percentile_ms(99))
    note(work, "p99_over_p50", measured.percentile_ms(99) / measured.percentile_ms(50))
    note(work, "rps", measured.rps)
    note(work, "errors", measured.errors)
    note(work, "client_cpu_us", measured.client_cpu_us)
