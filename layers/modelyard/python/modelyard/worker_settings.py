"""What `modelyard serve`, or the image of a function, tells a worker: a line of JSON, read once."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import orjson

from modelyard.projects import ApiProject


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What `modelyard serve` tells each inference worker, in one line of JSON."""

    name: str
    cache_dir: str
    memory_bytes: int
    disk_bytes: int
    predict_slots: int
    machine: str = ""
    """Tells this process's machine from others that share the cache; empty for its host name."""

    def to_line(self) -> bytes:
        """Return the line the worker reads."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Return the settings of a line made by `to_line`."""
        return cls(**orjson.loads(line))

    @property
    def artifacts_dir(self) -> Path:
        """Where artifacts are staged, shared by all workers."""
        return Path(self.cache_dir) / "artifacts"


@dataclass(frozen=True, slots=True)
class ApiWorkerSettings:
    """What `modelyard serve` tells the worker of a Cortex API, in one line of JSON."""

    worker: WorkerSettings
    project: ApiProject
    repository: str
    """The API's name for its models as a whole, wherever each of them is."""
    revalidate_s: float
    window_s: float
    """How long a call may wait for models when no request says otherwise."""

    def to_line(self) -> bytes:
        """Return the line the worker reads."""
        # The config of a project may hold what orjson does not write: any int, NaN, any text.
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Return the settings of a line made by `to_line`."""
        data = json.loads(line)
        data["worker"] = WorkerSettings(**data["worker"])
        data["project"] = ApiProject.from_json(data["project"])
        return cls(**data)

    @property
    def artifacts_dir(self) -> Path:
        """Where artifacts are staged: a folder of its own when the API limits how many."""
        models = self.project.models
        if models is None or models.disk_cache_size is None:
            return self.worker.artifacts_dir
        digest = hashlib.blake2b(self.repository.encode(), digest_size=8).hexdigest()
        return Path(self.worker.cache_dir) / "apis" / f"{self.project.name}-{digest}"
