"""How the repository suites read what they fetch."""

from modelyard.domain.ports import ModelRepository
from modelyard.domain.values import ModelArtifact

CHUNK = 64 * 1024


def contents(repository: ModelRepository, artifact: ModelArtifact) -> dict[str, bytes]:
    return {file.path: file.stream.read() for file in repository.fetch(artifact)}
