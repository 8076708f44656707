"""One process of a fault run: asks for models over a shared cache tree, and says what it saw."""

import json
import logging
import os
import random
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelyard.domain.errors import (
    CapacityError,
    DependencyError,
    ModelLoadError,
    ModelNotReadyError,
    ModelyardError,
)
from modelyard.domain.values import ModelSource, TargetModel
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.disk.tree import CacheTree
from modelyard.inference.residence.loading import Loader
from modelyard.inference.residence.model_cache import ModelCache
from modelyard.inference.residence.residence import Residence
from modelyard.repositories.opening import open_repository
from modelyard.runtimes.base import LoadPlan
from tests.fakes.metrics import RecordingMetrics
from tests.faults.fault_points import Fault, FaultPoints
from tests.faults.versions import KEYS, Ledger, read_files

REVALIDATE_S = 0.05
THREADS = 2
TYPED = (CapacityError, DependencyError, ModelNotReadyError)


@dataclass(frozen=True, slots=True)
class Orders:
    """What one worker is to do, and what is to befall it."""

    tree: Path
    repository: str
    ledger: Path
    report: Path
    seed: int
    seconds: float
    disk_bytes: int
    memory_bytes: int
    machine: str = ""
    clock_offset_s: float = 0.0
    fault: Fault | None = None
    environ: tuple[tuple[str, str], ...] = ()


class ShiftedClock:
    """The time of a machine whose clock is wrong."""

    def __init__(self, offset_s: float) -> None:
        self._offset_s = offset_s

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time() + self._offset_s


class Witness:
    """A predictor that checks all of its files, when it is loaded and at every call."""

    def __init__(self, model_dir: Path, memory_bytes: int) -> None:
        self._model_dir = model_dir
        self.files = read_files(model_dir)
        if None in self.files.values():
            raise ModelLoadError("a file is not whole")
        self.memory_bytes = memory_bytes
        self.needs_files = sum(map(len, self.files)) % 2 == 0

    def still_whole(self) -> bool:
        """Tell whether the files are as they were loaded, or the disk does not say now."""
        try:
            return not self.needs_files or read_files(self._model_dir) == self.files
        except FileNotFoundError:
            return False
        except OSError:  # the fault was for the cache and struck this look of ours
            return True

    def close(self) -> None:
        self.files = {}


class Worker:
    """Residence, loader and caches as in production, over tiny models."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._ledger = Ledger(orders.ledger)
        self._newest: dict[str, int] = dict.fromkeys(KEYS, 0)
        clock, metrics = ShiftedClock(orders.clock_offset_s), RecordingMetrics()
        tree = CacheTree(orders.tree, orders.disk_bytes, machine=orders.machine)
        self._artifacts = ArtifactCache(tree, clock, claim_patience_s=2.0)
        self._models: ModelCache[Witness] = ModelCache(orders.memory_bytes, clock, metrics)
        loader = Loader(
            models=self._models,
            artifacts=self._artifacts,
            open_repository=open_repository,
            plan_load=_plan,
            load=lambda plan, *_: Witness(plan.model_dir, plan.memory_bytes),
            metrics=metrics,
            clock=clock,
        )
        self.residence = Residence(
            models=self._models,
            artifacts=self._artifacts,
            open_repository=open_repository,
            loader=loader,
            clock=clock,
        )

    def run(self, tell: Callable[[str], None]) -> None:
        """Ask for models, and now and then unload or survey, until the time is over."""
        give_up_at = time.monotonic() + self._orders.seconds

        def live(number: int) -> None:
            dice = random.Random(self._orders.seed * THREADS + number)
            while time.monotonic() < give_up_at:
                tell(self._act(dice))

        threads = [threading.Thread(target=live, args=(n,)) for n in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.residence.wait_for_loads(20)

    def ask(self, key: str, window_s: float = 1.0) -> str:
        """Return "ok", the class of a typed error, or what is wrong."""
        floor = self._newest[key]
        try:
            with self.residence.lease(self._source(key), window_s=window_s, patience_s=9) as found:
                model, is_hit = found
                wrong = self._wrong(key, floor, model.artifact.tag, model.resident)
                return wrong or ("hit" if is_hit else "loaded")
        except TYPED as error:
            return type(error).__name__
        except ModelyardError as error:
            return f"unexpected {type(error).__name__}: {error.message}"
        except Exception as error:
            return f"unexpected {error!r} in {_where(error)}"

    def unload(self, key: str) -> None:
        """Take a model out of memory."""
        self.residence.unload(self._source(key))

    def _act(self, dice: random.Random) -> str:
        key, action = dice.choice(KEYS), dice.random()
        try:
            if action < 0.06:
                self.unload(key)
                return "unloaded"
            if action < 0.10:
                self.residence.survey("e", self._orders.repository)
                return "surveyed"
        except DependencyError as error:  # a disk that cannot be read has no list to give
            return f"survey: {type(error).__name__}"
        except Exception as error:
            return f"unexpected {error!r} in {_where(error)}"
        return self.ask(key)

    def _wrong(self, key: str, floor: int, tag: str, model: Witness) -> str:
        files = {path: content for path, content in model.files.items() if content}
        if {content.key for content in files.values()} != {key}:
            return f"wrong: {key} answered with {files}"
        if self._ledger.tag(key, files) != tag:
            return f"wrong: {key} of {tag} holds {files}"
        if not model.still_whole():
            return f"wrong: {key} lost its files while it was loaded"
        version = min(content.version for content in files.values())
        if version < floor:
            return f"wrong: {key} went back from {floor} to {version}"
        self._newest[key] = max(self._newest[key], version)
        return ""

    def _source(self, key: str) -> ModelSource:
        target = TargetModel(key)
        return ModelSource("e", target, self._orders.repository, revalidate_s=REVALIDATE_S)


class _Defects(logging.Handler):
    """Tells of what the code did not foresee; all that it did are warnings."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.ERROR)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        cause = record.exc_info[1] if record.exc_info else None
        self._tell(f"unexpected {cause!r} in {_where(cause)}")


def _where(cause: BaseException | None) -> str:
    frames = traceback.extract_tb(cause.__traceback__)[-9:] if cause else []
    return " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))


def work(orders: Orders) -> None:
    """Be one worker; returns when its time is over, if it lives so long."""
    os.environ.update(orders.environ)
    report = os.open(orders.report, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def tell(what: str) -> None:
        os.write(report, (json.dumps(what) + "\n").encode())

    logging.getLogger().addHandler(_Defects(tell))
    FaultPoints(orders.tree, lambda name: tell(f"@{name}"), orders.fault).install()
    Worker(orders).run(tell)
    tell("ended")


def _plan(model_dir: Path, *, allow_code: bool, known: object = None) -> LoadPlan:
    size = sum(path.stat().st_size for path in model_dir.rglob("*") if path.is_file())
    return LoadPlan("witness", model_dir, None, size, allow_code)
