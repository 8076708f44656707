"""How the repository suites read what they fetch."""

from modelyard.ports import ModelRepository
from modelyard.types import ModelArtifact

CHUNK = 64 * 1024


def contents(repository: ModelRepository, artifact: ModelArtifact) -> dict[str, bytes]:
    return {file.path: file.stream.read() for file in repository.fetch(artifact)}
