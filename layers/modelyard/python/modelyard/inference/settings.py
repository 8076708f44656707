"""What `modelyard serve`, or the image of a function, tells a worker: a line of JSON, read once."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import orjson


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
