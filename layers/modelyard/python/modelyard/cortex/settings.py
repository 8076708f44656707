"""What the worker of a Cortex API is told at its start."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from modelyard.cortex.project import ApiProject
from modelyard.inference.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """A Cortex API as its worker is told of it, in one line of JSON, beside `WorkerSettings`."""

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
        data["project"] = ApiProject.from_json(data["project"])
        return cls(**data)

    def artifacts_dir(self, worker: WorkerSettings) -> Path:
        """Return where artifacts are staged: a folder of the API's own when it limits how many."""
        models = self.project.models
        if models is None or models.disk_cache_size is None:
            return worker.artifacts_dir
        digest = hashlib.blake2b(self.repository.encode(), digest_size=8).hexdigest()
        return Path(worker.cache_dir) / "apis" / f"{self.project.name}-{digest}"
