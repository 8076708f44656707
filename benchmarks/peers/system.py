"""What every system under test is to the benchmark."""

import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from benchmarks import environments
from benchmarks.environments import CannotRunError
from benchmarks.kinds import Kind, Repository
from benchmarks.load.http_messages import ask, get
from benchmarks.servers import Command, Running, ServerError, free_port, running

APPS = Path(__file__).parent / "apps"
GENEROUS = 1_000
"""Room for so many models means: no model has to go."""
_NUMBER = re.compile(rb"-?\d+\.?\d*(?:e-?\d+)?")


@dataclass(frozen=True, slots=True)
class Serving:
    """What a server is to serve."""

    repository: Repository
    capacity: int = GENEROUS
    """How many models may be in memory, of all processes together."""
    folder: Path | None = None
    """Keeps what the system keeps on disk beyond its end; by default nothing is kept."""
    workers: int | None = None
    """Processes that hold models, where that can be chosen; by default the system's default."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage took, in all."""

    sum_ms: float
    count: float

    def mean_since(self, before: "Stage") -> float:
        """Return the mean of what came after `before`, 0 if nothing did."""
        count = self.count - before.count
        return (self.sum_ms - before.sum_ms) / count if count else 0.0


class System(ABC):
    """A server, as it is started and called. Instances hold no state of a run."""

    name: ClassVar[str]
    environment: ClassVar[str]
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.XGBOOST})
    is_core: ClassVar[bool] = False
    """Whether every work is measured, in every round, not only what tells peers apart."""
    is_for_throughput: ClassVar[bool] = False
    """Whether it is another system with more processes: only throughput tells them apart."""
    warm_up_s: ClassVar[float] = 0.7
    """How long it is called before the clock starts."""
    loads_on_call: ClassVar[bool] = True
    has_room_for_some: ClassVar[bool] = False
    """Whether it lets models go when memory for some is all it has, or can be told to."""
    is_process_per_model: ClassVar[bool] = False
    needs: ClassVar[str | None] = None
    """A command that must be installed on the machine."""

    def prepare(self) -> None:
        """Make what the system needs.

        Raises:
            CannotRunError: it cannot run here.
        """
        if self.needs and shutil.which(self.needs) is None:
            raise CannotRunError(f"needs {self.needs}, which is not installed")
        environments.ensure(self.environment)

    @abstractmethod
    def command(self, serving: Serving, port: int, folder: Path) -> Command:
        """Return how to start it; `folder` is for its own files."""

    @abstractmethod
    def request(self, kind: Kind, model: str) -> bytes:
        """Return the request that asks a model for the prediction of the one row."""

    def is_ready(self, port: int) -> bool:
        """Return whether it answers.

        Raises:
            OSError: it does not.
        """
        return get(port, "/ping").status < 500

    def load(self, port: int, serving: Serving, number: int) -> None:
        """Bring a model into memory, where a call does not."""
        return

    def unload(self, port: int, serving: Serving, number: int) -> None:
        """Take a model out of memory, where the system does not do so itself."""
        return

    def hits_and_misses(self, port: int) -> tuple[float, float] | None:
        """Return how many calls found their model in memory, and how many did not."""
        return None

    def stages(self, port: int) -> dict[str, Stage]:
        """Return what each stage of first calls took so far."""
        return {}


@contextmanager
def served(system: System, serving: Serving, timeout_s: float = 90.0) -> Iterator[Running]:
    """Run the system.

    Raises:
        ServerError: it does not start.
    """
    with ExitStack() as stack:
        folder = serving.folder or Path(stack.enter_context(TemporaryDirectory()))
        port = free_port()
        command = system.command(serving, port, folder)
        yield stack.enter_context(running(command, port, system.is_ready, timeout_s))


def check_answer(system: System, server: Running, serving: Serving, number: int = 0) -> None:
    """Ask a model once.

    Raises:
        ServerError: the answer is not what the model predicts.
    """
    repository = serving.repository
    reply = ask(server.port, system.request(repository.kind, repository.name(number)))
    if reply.status != 200 or not _says(reply.body, repository.expected):
        raise ServerError(
            f"{system.name} answered {reply.status} {reply.body[:300]!r}, not {repository.expected}"
        )


def _says(body: bytes, expected: float) -> bool:
    numbers = (float(text) for text in _NUMBER.findall(body))
    return any(abs(number - expected) <= 1e-3 * max(1, abs(expected)) for number in numbers)
