"""What one server remembers of its calls, for its page: counts by model, and the last cold calls.

Each worker keeps its own history and writes it to a file that the others read.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from modelyard.domain.metrics import MODEL_DOWNLOADING_TIME, MODEL_LOADING_TIME
from modelyard.domain.requests import Answer
from modelyard.domain.values import Invocation

MAX_MODELS = 20_000
"""Models that are called for the first time after these are not counted."""
MAX_COLD_CALLS = 50
_PREFIX = "history-"


@dataclass(slots=True)
class ModelCalls:
    """The calls of one model."""

    calls: int = 0
    hits: int = 0
    load_s: float | None = None
    """How long its last load took, from the repository into memory."""


@dataclass(frozen=True, slots=True)
class ColdCall:
    """A call that had to wait until its model was loaded; times in seconds."""

    at: float
    """When it ended, in seconds since 1970."""
    endpoint_name: str
    target_model: str
    wait_s: float
    """What it waited beyond the next two: for space, or for the load of another call."""
    stage_s: float
    load_s: float
    predict_s: float

    @property
    def total_s(self) -> float:
        """The sum of its parts."""
        return self.wait_s + self.stage_s + self.load_s + self.predict_s


@dataclass(slots=True)
class History:
    """The calls of all models, by endpoint and model, and the last cold calls, newest first."""

    models: dict[tuple[str, str], ModelCalls] = field(default_factory=dict)
    cold: list[ColdCall] = field(default_factory=list)


class CallHistory:
    """Notes the calls that one worker routes."""

    def __init__(self, folder: Path, worker: str, now: Callable[[], float]) -> None:
        """`now` returns seconds since 1970."""
        self._folder = folder
        self._path = folder / f"{_PREFIX}{worker}"
        self._now = now
        self._models: dict[tuple[str, str], ModelCalls] = {}
        self._cold: deque[ColdCall] = deque(maxlen=MAX_COLD_CALLS)
        self._is_written = True

    def note(self, invocation: Invocation, answer: Answer) -> None:
        """Count a call."""
        key = (invocation.endpoint_name, invocation.target_model)
        known = self._models.get(key)
        if known is None:
            if answer.error is not None or len(self._models) >= MAX_MODELS:
                return  # callers can send any number of names that do not exist
            known = self._models[key] = ModelCalls()
        self._is_written = False
        known.calls += 1
        timings = answer.timings
        if answer.error is not None:
            return
        if timings.cache_hit:
            known.hits += 1
            return
        times = {sample.name: sample.value / 1e6 for sample in answer.samples}
        stage_s = times.get(MODEL_DOWNLOADING_TIME.name, 0.0)
        load_s = times.get(MODEL_LOADING_TIME.name, 0.0)
        known.load_s = stage_s + load_s or timings.wait_s
        wait_s = max(0.0, timings.wait_s - stage_s - load_s)
        self._cold.append(ColdCall(self._now(), *key, wait_s, stage_s, load_s, timings.predict_s))

    def write(self) -> None:
        """Write the file that other workers read, if anything was noted since the last time."""
        if self._is_written:
            return
        self._is_written = True
        rows = [
            (*key, known.calls, known.hits, known.load_s) for key, known in self._models.items()
        ]
        unfinished = self._path.with_suffix(".new")
        unfinished.write_bytes(orjson.dumps({"models": rows, "cold": list(self._cold)}))
        unfinished.replace(self._path)

    def of_all(self) -> History:
        """Return the sum of what all workers have noted."""
        self.write()
        paths = [path for path in self._folder.glob(f"{_PREFIX}*") if path.suffix != ".new"]
        return _sum(orjson.loads(path.read_bytes()) for path in paths)


def _sum(written: Iterable[dict[str, Any]]) -> History:
    history = History()
    for one in written:
        for endpoint_name, target_model, calls, hits, load_s in one["models"]:
            known = history.models.setdefault((endpoint_name, target_model), ModelCalls())
            known.calls += calls
            known.hits += hits
            known.load_s = load_s if known.load_s is None else known.load_s
        history.cold += [ColdCall(**call) for call in one["cold"]]
    history.cold.sort(key=lambda call: call.at, reverse=True)
    del history.cold[MAX_COLD_CALLS:]
    return history
