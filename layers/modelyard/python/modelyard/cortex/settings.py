"""The settings that the worker of a Cortex API receives when it starts."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from modelyard.cortex.project import ApiProject
from modelyard.inference.settings import WorkerSettings


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The settings of a Cortex API, sent as one line of JSON beside `WorkerSettings`."""

    project: ApiProject
    repository: str
    """URI that stands for all models of the API, wherever each of them is stored."""
    revalidate_s: float
    window_s: float
    """How long a call may wait for models, unless the request sets another limit."""

    def to_line(self) -> bytes:
        """Return the line the worker reads."""
        # orjson does not write everything a project's config may contain: large integers, NaN.
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Return the settings of a line made by `to_line`."""
        data = json.loads(line)
        data["project"] = ApiProject.from_json(data["project"])
        return cls(**data)

    def artifacts_dir(self, worker: WorkerSettings) -> Path:
        """Return the staging folder: a separate one if the API limits the number of models."""
        models = self.project.models
        if models is None or models.disk_cache_size is None:
            return worker.artifacts_dir
        digest = hashlib.blake2b(self.repository.encode(), digest_size=8).hexdigest()
        return Path(worker.cache_dir) / "apis" / f"{self.project.name}-{digest}"
