"""What one server remembers of its calls: counts by model, and the last cold calls.

Each worker keeps its own history and writes it to a file that the others read, and that the next
worker of the same name continues.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from modelyard.domain.requests import Answer
from modelyard.domain.values import ApiCall, Invocation

MAX_MODELS = 20_000
"""Models that are called for the first time after these are not counted."""
MAX_COLD_CALLS = 50
_PREFIX = "history-"


@dataclass(slots=True)
class ModelCalls:
    """The calls of one model."""

    calls: int = 0
    hits: int = 0
    errors: int = 0
    predict_s: float = 0.0
    """How long all calls spent in the model."""
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
    others: Counter[str] = field(default_factory=Counter)
    """How many calls of other models there were, by endpoint."""
    cold: list[ColdCall] = field(default_factory=list)


class CallHistory:
    """Notes the calls that one worker routes."""

    def __init__(self, folder: Path, worker: str, now: Callable[[], float]) -> None:
        """`now` returns seconds since 1970."""
        self._folder = folder
        self._path = folder / f"{_PREFIX}{worker}"
        self._now = now
        before = _sum([orjson.loads(self._path.read_bytes())] if self._path.exists() else [])
        self._models = before.models
        self._others = before.others
        self._cold = deque(reversed(before.cold), maxlen=MAX_COLD_CALLS)
        self._is_written = True

    def note(self, call: Invocation | ApiCall, answer: Answer, elapsed_s: float) -> None:
        """Count a call of a model (`NoteCall`)."""
        if isinstance(call, ApiCall):  # its class chooses the models
            return
        key = (call.endpoint_name, call.target_model)
        known = self._models.get(key)
        self._is_written = False
        if known is None:
            # Callers can send any number of names that do not exist.
            if answer.error is not None or len(self._models) >= MAX_MODELS:
                self._others[call.endpoint_name] += 1
                return
            known = self._models[key] = ModelCalls()
        known.calls += 1
        timings = answer.timings
        known.predict_s += timings.predict_s
        if answer.error is not None:
            known.errors += 1
            return
        if timings.cache_hit:
            known.hits += 1
            return
        known.load_s = timings.stage_s + timings.load_s or timings.wait_s
        parts = dict(timings.parts)
        times = parts["wait"], parts["stage"], parts["load"], parts["predict"]
        self._cold.append(ColdCall(self._now(), *key, *times))

    def write(self) -> None:
        """Write the file that other workers read, if anything was noted since the last time."""
        if self._is_written:
            return
        self._is_written = True
        rows = [(key, known) for key, known in self._models.items()]
        written = {"models": rows, "others": self._others, "cold": list(self._cold)}
        unfinished = self._path.with_suffix(".new")
        unfinished.write_bytes(orjson.dumps(written))
        unfinished.replace(self._path)

    def of_all(self) -> History:
        """Return the sum of what all workers have noted."""
        self.write()
        paths = [path for path in self._folder.glob(f"{_PREFIX}*") if path.suffix != ".new"]
        return _sum(orjson.loads(path.read_bytes()) for path in paths)


def _sum(written: Iterable[dict[str, Any]]) -> History:
    history = History()
    for one in written:
        for (endpoint_name, target_model), of_worker in one["models"]:
            known = history.models.setdefault((endpoint_name, target_model), ModelCalls())
            known.calls += of_worker["calls"]
            known.hits += of_worker["hits"]
            known.errors += of_worker["errors"]
            known.predict_s += of_worker["predict_s"]
            known.load_s = of_worker["load_s"] if known.load_s is None else known.load_s
        history.others.update(one["others"])
        history.cold += [ColdCall(**call) for call in one["cold"]]
    history.cold.sort(key=lambda call: call.at, reverse=True)
    del history.cold[MAX_COLD_CALLS:]
    return history
