"""Models that name themselves and their version in every answer, and a judge of answers."""

import functools
import io
import json
import random
import shutil
import tarfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.models.xgboost_models import constant_booster

VERSIONS = 1000
"""An answer is the model's number times this, plus its version: exact in float32."""
WAYS = ("rename", "in place", "folder", "archive")
LATE_S = 30.0
"""How long after its end a version may still answer: twice the time to revalidate, then the time to
settle and to load.
"""


@functools.cache
def _template() -> str:
    model = json.loads(constant_booster(0.5, 4).save_raw("json"))
    model["learner"]["learner_model_param"]["base_score"] = "[ANSWER]"
    return json.dumps(model)


def content(answer: int) -> bytes:
    """Return a model that answers one number whatever it is asked."""
    return _template().replace("[ANSWER]", f"[{answer}]").encode()


@dataclass(frozen=True, slots=True)
class _Event:
    """From `at` on, one of `versions` may answer; None stands for no model."""

    at: float
    versions: tuple[int | None, ...]


class Model:
    """A model in a folder, which is replaced in one of `WAYS`, and deleted."""

    def __init__(self, folder: Path, number: int) -> None:
        self.number = number
        self.way = WAYS[number % len(WAYS)]
        suffix = {"archive": ".tar.gz", "folder": ""}.get(self.way, ".json")
        self.name = f"m{number}{suffix}"
        self._path = folder / self.name
        self._version = 0
        self._current: int | None = None
        self._events: list[_Event] = []
        self._lock = threading.Lock()

    @property
    def current(self) -> int | None:
        """The version that is there now, None without one."""
        return self._current

    def replace(self, dice: random.Random) -> None:
        """Write the next version."""
        with self._lock:
            self._version += 1
            self._events.append(_Event(time.monotonic(), (self._current, self._version)))
            self._write(content(self.number * VERSIONS + self._version), dice)
            self._now(self._version)

    def delete(self) -> None:
        """Remove the model."""
        with self._lock:
            self._events.append(_Event(time.monotonic(), (self._current, None)))
            if self.way == "folder" and self._path.exists():
                gone = self._path.rename(self._path.with_name(f".{self.name}-{self._version}"))
                shutil.rmtree(gone)
            else:
                self._path.unlink(missing_ok=True)
            self._now(None)

    def judge(self, answer: float, began: float, ended: float) -> str | None:
        """Return what is wrong with an answer to a call from `began` to `ended`, or None."""
        number, version = divmod(round(answer), VERSIONS)
        if number != self.number:
            return f"{self.name} answered as model {number}"
        events = list(self._events)
        known = [event for event in events if version in event.versions and event.at <= ended]
        if not known:
            return f"{self.name} answered version {version}, which there was not"
        after = events.index(known[-1]) + 1
        if after < len(events) and began > events[after].at + LATE_S:
            return f"{self.name} answered version {version}, which was replaced long before"
        return None

    def was_there(self, began: float) -> bool:
        """Return whether the model was there, all the time since `LATE_S` before `began`."""
        events = list(self._events)
        ends = [event.at for event in events[1:]] + [float("inf")]
        recent = [event for event, end in zip(events, ends, strict=True) if end > began - LATE_S]
        return bool(events) and all(None not in event.versions for event in recent)

    def _now(self, version: int | None) -> None:
        self._current = version
        self._events.append(_Event(time.monotonic(), (version,)))

    def _write(self, data: bytes, dice: random.Random) -> None:
        if self.way == "in place" and self._path.exists():
            at = dice.randrange(len(data))
            with self._path.open("r+b") as file:
                file.write(data[:at])
                file.flush()
                time.sleep(dice.random() * 0.2)
                file.write(data[at:])
                file.truncate()
        elif self.way == "folder":
            self._path.mkdir(exist_ok=True)
            _rename_to(self._path / "notes.txt", str(self._version).encode())
            _rename_to(self._path / "model.json", data)
        else:
            _rename_to(self._path, _archive(data) if self.way == "archive" else data)


def _rename_to(path: Path, data: bytes) -> None:
    half = path.with_name(f".{path.name}")
    half.write_bytes(data)
    half.replace(path)


def _archive(data: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        member = tarfile.TarInfo("model.json")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return packed.getvalue()
