"""The interface of every measured system."""

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
"""A memory limit of so many models means that no model is evicted."""
_NUMBER = re.compile(rb"-?\d+\.?\d*(?:e-?\d+)?")


@dataclass(frozen=True, slots=True)
class Serving:
    """The models that a server serves, and its limits."""

    repository: Repository
    capacity: int = GENEROUS
    """Number of models that may be in memory, in all processes together."""
    folder: Path | None = None
    """Folder for files that the system keeps between runs; by default nothing is kept."""
    workers: int | None = None
    """Number of processes that hold models, where it can be set; default: the system's own."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The total time and count of one stage."""

    sum_ms: float
    count: float

    def mean_since(self, before: "Stage") -> float:
        """Return the mean since `before`, 0 if nothing was measured since."""
        count = self.count - before.count
        return (self.sum_ms - before.sum_ms) / count if count else 0.0


class System(ABC):
    """How a server is started and called. Instances hold no state of a run."""

    name: ClassVar[str]
    environment: ClassVar[str]
    kinds: ClassVar[frozenset[Kind]] = frozenset({Kind.XGBOOST})
    is_core: ClassVar[bool] = False
    """Whether all works are measured in all rounds; for other systems, only some are."""
    is_for_throughput: ClassVar[bool] = False
    """Whether it is another system with more processes; then only throughput is measured."""
    warm_up_s: ClassVar[float] = 0.7
    """Seconds of calls before the measurement starts."""
    loads_on_call: ClassVar[bool] = True
    has_room_for_some: ClassVar[bool] = False
    """Whether it evicts models when memory is limited, by itself or by a call."""
    is_process_per_model: ClassVar[bool] = False
    doors: ClassVar[tuple[str, ...]] = ()
    """The protocols over which the work `doors_xgboost` calls it."""
    needs: ClassVar[str | None] = None
    """A command that must be installed on the machine."""

    def prepare(self) -> None:
        """Install what the system needs.

        Raises:
            CannotRunError: it cannot run here.
        """
        if self.needs and shutil.which(self.needs) is None:
            raise CannotRunError(f"needs {self.needs}, which is not installed")
        environments.ensure(self.environment)

    @abstractmethod
    def command(self, serving: Serving, port: int, folder: Path) -> Command:
        """Return the command that starts the server; `folder` is for its own files."""

    @abstractmethod
    def request(self, kind: Kind, model: str) -> bytes:
        """Return a request for the prediction of one row by a model."""

    def request_over(self, door: str, model: str) -> bytes:
        """Return a request for the prediction of one row of XGBoost over one of its protocols."""
        return self.request(Kind.XGBOOST, model)

    def is_ready(self, port: int) -> bool:
        """Return whether it is ready.

        Raises:
            OSError: the server cannot be reached.
        """
        return get(port, "/ping").status < 500

    def load(self, port: int, serving: Serving, number: int) -> None:
        """Load a model; does nothing where a call loads it."""
        return

    def unload(self, port: int, serving: Serving, number: int) -> None:
        """Unload a model; does nothing where the system does so itself."""
        return

    def hits_and_misses(self, port: int) -> tuple[float, float] | None:
        """Return how many calls found their model in memory, and how many did not."""
        return None

    def stages(self, port: int) -> dict[str, Stage]:
        """Return the total times of each stage of first calls so far."""
        return {}


@contextmanager
def served(system: System, serving: Serving, timeout_s: float = 90.0) -> Iterator[Running]:
    """Run the system until the block ends.

    Raises:
        ServerError: it does not start.
    """
    with ExitStack() as stack:
        folder = serving.folder or Path(stack.enter_context(TemporaryDirectory()))
        port = free_port()
        command = system.command(serving, port, folder)
        yield stack.enter_context(running(command, port, system.is_ready, timeout_s))


def check_answer(
    system: System,
    server: Running,
    serving: Serving,
    number: int = 0,
    request: bytes | None = None,
) -> None:
    """Call a model once, by `request` or the usual one, and check its prediction.

    Raises:
        ServerError: the answer is not what the model predicts.
    """
    repository = serving.repository
    usual = system.request(repository.kind, repository.name(number))
    reply = ask(server.port, request or usual)
    if reply.status != 200 or not _says(reply.body, repository.expected):
        raise ServerError(
            f"{system.name} answered {reply.status} {reply.body[:300]!r}, not {repository.expected}"
        )


def _says(body: bytes, expected: float) -> bool:
    numbers = (float(text) for text in _NUMBER.findall(body))
    return any(abs(number - expected) <= 1e-3 * max(1, abs(expected)) for number in numbers)
