"""The settings of an inference worker, passed to it as one line of JSON when it starts."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import orjson


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What `modelyard serve`, or the image of a function, tells one inference worker."""

    name: str
    cache_dir: str
    memory_bytes: int
    disk_bytes: int
    machine: str = ""
    """A name of this machine, unique among those that share the cache; empty to make one."""
    processors: int = 1
    """How many predictions begin side by side."""

    def to_line(self) -> bytes:
        """Return the settings as one line of JSON."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Return the settings of a line that `to_line` wrote."""
        return cls(**orjson.loads(line))

    @property
    def artifacts_dir(self) -> Path:
        """The folder of staged artifacts, shared by all workers."""
        return Path(self.cache_dir) / "artifacts"
