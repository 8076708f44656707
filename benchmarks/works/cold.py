"""Measure the first call of a model: from the repository, or from disk."""

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.kinds import Kind
from benchmarks.load.generator import run_all
from benchmarks.load.http_messages import ask
from benchmarks.model_store import COMPANIONS, companion, repository
from benchmarks.peers import loop
from benchmarks.peers.system import Serving, Stage, System, served
from benchmarks.results import Note
from benchmarks.servers import Running, ServerError
from benchmarks.works.work import Pace, Work

_CHUNK_BYTES = 8 << 20
_CALLS_UNTIL_COUNTED = 20


@dataclass(frozen=True, slots=True)
class Case:
    """The model whose first call is measured."""

    name: str
    kind: Kind
    is_on_disk: bool
    calls: int
    drops_page_cache: bool = False


CASES = (
    Case("cold_xgboost_on_disk", Kind.XGBOOST, True, 20),
    Case("cold_xgboost_from_folder", Kind.XGBOOST, False, 20),
    Case("cold_xgboost_from_tar_gz", Kind.XGBOOST_ARCHIVE, False, 20),
    Case("cold_xgboost_json_second_load", Kind.XGBOOST_JSON, True, 20),
    Case("cold_onnx_100mb_on_disk", Kind.ONNX_100MB, True, 3),
    Case("cold_onnx_100mb_from_folder", Kind.ONNX_100MB, False, 3),
    Case("cold_onnx_1gb_from_folder", Kind.ONNX_1GB, False, 1, drops_page_cache=True),
)


class Cold(Work):
    """First calls, one after the other, in a process that has already imported the framework."""

    def __init__(self, case: Case) -> None:
        self.name = case.name
        self.rounds = 1 if case.drops_page_cache else 2
        self._case = case

    def takes(self, system: System) -> bool:
        """Return whether it is a core system; other systems are measured with small models only."""
        is_telling = self._case.name == CASES[0].name and not system.name.startswith("fastapi")
        return super().takes(system) or (is_telling and self._case.kind in system.kinds)

    def measure(self, system: System, note: Note, pace: Pace) -> None:
        """Measure one round of one system."""
        numbers = self._numbers(pace)
        with TemporaryDirectory() as folder:
            serving = Serving(
                repository(self._case.kind, self._case.calls + 1), folder=Path(folder), workers=1
            )
            if self._case.is_on_disk and system.is_core:
                with self._ready(system, serving) as server:
                    self._call(system, serving, server, numbers)
            if self._case.drops_page_cache:
                _drop_page_cache([serving.repository.path(number) for number in numbers])
            with self._ready(system, serving) as server:
                before = self._stages(system, server, 1)
                note(self.name, "total_ms", self._call(system, serving, server, numbers))
                for name, stage in self._stages(system, server, 1 + len(numbers)).items():
                    note(self.name, name, stage.mean_since(before[name]))

    def measure_loop(self, note: Note, pace: Pace) -> None:
        """Measure the same steps without a server, and the time to read the files."""
        source, numbers = repository(self._case.kind), self._numbers(pace)
        paths = [source.path(number) for number in numbers]
        read_ms = _read_from_disk_ms(paths)
        note(self.name, "disk_read_ms", read_ms / len(paths))
        if self._case.drops_page_cache:
            _drop_page_cache(paths)
        first = str(source.folder / self._first)
        # Nothing is fetched, as with a server that reads the files in place.
        told = {"first": first, "models": list(map(str, paths)), "fetches": False}
        calls = loop.run("cold", self._case.kind, **told)
        for metric in calls[0]:
            note(self.name, metric, statistics.median(call[metric] for call in calls))

    def _numbers(self, pace: Pace) -> range:
        begins = 0 if self._case.kind in COMPANIONS else 1
        return range(begins, begins + pace.count(self._case.calls))

    @property
    def _first(self) -> str:
        """The model that is called first, so that the framework is imported."""
        small = COMPANIONS.get(self._case.kind)
        return companion(small[0]) if small else f"m0{self._case.kind.suffix}"

    @contextmanager
    def _ready(self, system: System, serving: Serving) -> Iterator[Running]:
        with served(system, serving) as server:
            system.load(server.port, serving, 0)
            self._call_first(system, server)
            yield server

    def _call_first(self, system: System, server: Running) -> None:
        if ask(server.port, system.request(self._case.kind, self._first)).status != 200:
            raise ServerError("the call of the first model failed")

    def _stages(self, system: System, server: Running, loads: int) -> dict[str, Stage]:
        """Return the times of the stages so far; calls until all have been reported."""
        for _ in range(_CALLS_UNTIL_COUNTED):
            self._call_first(system, server)
            stages = system.stages(server.port)
            if not stages or stages["load_ms"].count >= loads:
                break
        return stages

    def _call(self, system: System, serving: Serving, server: Running, numbers: range) -> float:
        """Call each model for the first time; return the median in milliseconds."""
        kind, names = serving.repository.kind, [serving.repository.name(one) for one in numbers]
        if system.loads_on_call:
            measured = run_all(server.port, [system.request(kind, name) for name in names], 1)
            if measured.errors:
                raise ServerError(f"{measured.errors} errors")
            return measured.percentile_ms(50)
        times = []
        for number, name in zip(numbers, names, strict=True):
            began = time.perf_counter()
            system.load(server.port, serving, number)
            if ask(server.port, system.request(kind, name)).status != 200:
                raise ServerError(f"{name} was not answered")
            times.append((time.perf_counter() - began) * 1e3)
        return statistics.median(times)


def _drop_page_cache(paths: list[Path]) -> None:
    os.sync()
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _read_from_disk_ms(paths: list[Path]) -> float:
    _drop_page_cache(paths)
    began = time.perf_counter()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.read(_CHUNK_BYTES):
                pass
    return (time.perf_counter() - began) * 1e3
