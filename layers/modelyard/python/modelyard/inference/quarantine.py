"""Models of trusted runtimes that were running when their worker crashed.

Such a model may have ended it. From then on it is loaded in a process of its own, under whatever
name, until its content changes or the server is started again.
"""

import hashlib
import logging
import mmap
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from modelyard.domain.ports import Predictor
from modelyard.domain.values import Payload, Prediction, Signature
from modelyard.runtimes import tensor_calls
from modelyard.runtimes.base import LoadPlan

logger = logging.getLogger(__name__)

_PLACES = 512
_PLACE_BYTES = 512
_NOWHERE = -1


class RunningModels:
    """The models that run in this process now, in memory that may outlive it.

    A place in it holds the folder of a model's files. Safe to share between threads.
    """

    def __init__(self, file: mmap.mmap | None = None) -> None:
        """`file` comes from `open_running`; without it, no other process sees the models."""
        self._file = file or mmap.mmap(-1, _PLACES * _PLACE_BYTES)
        self._free = list(range(_PLACES))

    def load(self, load: Callable[[LoadPlan], Predictor], plan: LoadPlan) -> Predictor:
        """Load a model, and note it while it is loaded and while it predicts."""
        model_dir = os.fsencode(plan.model_dir)[: _PLACE_BYTES - 1]
        place = self.begin(model_dir)
        try:
            return NotedPredictor(load(plan), self, model_dir)
        finally:
            self.end(place)

    def begin(self, model_dir: bytes) -> int:
        """Note that a model runs; returns its place. Without a free one nothing is noted."""
        try:
            place = self._free.pop()
        except IndexError:
            return _NOWHERE
        at = place * _PLACE_BYTES
        self._file[at : at + len(model_dir) + 1] = model_dir + b"\0"
        return place

    def end(self, place: int) -> None:
        """Note that the model at this place does not run any more."""
        if place != _NOWHERE:
            self._file[place * _PLACE_BYTES] = 0
            self._free.append(place)


class NotedPredictor:
    """A model that is noted as running during each of its calls."""

    def __init__(self, predictor: Predictor, running: RunningModels, model_dir: bytes) -> None:
        self._predictor = predictor
        self._predict = partial(tensor_calls.predict, predictor)
        self._running = running
        self._model_dir = model_dir
        self.memory_bytes = predictor.memory_bytes
        self.needs_files = predictor.needs_files
        self.always_ends = getattr(predictor, "always_ends", False)

    @property
    def signature(self) -> Signature:
        """What the model takes and returns."""
        return self._predictor.signature

    def predict(self, payload: Payload) -> Prediction:
        """Return the prediction of the model."""
        place = self._running.begin(self._model_dir)
        try:
            return self._predict(payload)
        finally:
            self._running.end(place)

    def close(self) -> None:
        """Close the model."""
        self._predictor.close()


def open_running(path: Path) -> mmap.mmap:
    """Return the file of a process, for `RunningModels`; makes it if it is not there."""
    if not path.exists():
        path.write_bytes(bytes(_PLACES * _PLACE_BYTES))
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)


def take_running(path: Path) -> set[Path]:
    """Return the models that were running in a process that ended, and forget them."""
    if not path.exists():
        return set()
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as places:
        found = set()
        for at in range(0, len(places), _PLACE_BYTES):
            name = places[at : at + _PLACE_BYTES].partition(b"\0")[0]
            places[at] = 0
            if name:
                found.add(Path(os.fsdecode(name)))
        return found


class Quarantine:
    """The contents of models that must have a process of their own: lines of one file.

    The supervisor adds to it, and workers look into it before each load.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self._contents: frozenset[str] = frozenset()

    def add(self, model_dirs: Iterable[Path]) -> None:
        """Add the content of these models, where their files are still there."""
        for model_dir in model_dirs:
            try:
                content = content_of(model_dir)
            except OSError as error:
                logger.warning("model not quarantined", extra={"reason": error.strerror})
                continue
            logger.warning("model quarantined", extra={"files": str(model_dir)})
            with self._path.open("a") as file:
                file.write(f"{content}\n")

    def holds(self, model_dir: Path) -> bool:
        """Return whether a model with these files must have a process of its own."""
        try:
            size_bytes = self._path.stat().st_size
        except FileNotFoundError:
            return False
        if size_bytes != self._read_bytes:
            self._contents = frozenset(self._path.read_text().split())
            self._read_bytes = size_bytes
        return content_of(model_dir) in self._contents


def content_of(model_dir: Path) -> str:
    """Return a hash of the names and the bytes of all files of a model.

    Raises:
        OSError: they cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(file for file in model_dir.rglob("*") if file.is_file()):
        name = os.fsencode(path.relative_to(model_dir))
        digest.update(b"%d:%b%d:" % (len(name), name, path.stat().st_size))
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    return digest.hexdigest()
