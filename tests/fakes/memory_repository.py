"""A model repository in memory, kept honest by `tests/contract/test_repositories.py`."""

import io
import itertools
from collections.abc import Iterator

from modelyard.domain.errors import ArtifactChangedError, TargetModelNotFoundError
from modelyard.domain.ports import ArtifactFile
from modelyard.domain.values import ModelArtifact, StoredObject


class MemoryRepository:
    """Objects by key; `put` and `delete` move the source under a reader's feet."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self._versions = itertools.count(1)
        self._objects: dict[str, tuple[int, bytes]] = {}
        self.described: list[str] = []
        self.fetched: list[str] = []
        for key, body in (objects or {}).items():
            self.put(key, body)

    def put(self, key: str, body: bytes) -> None:
        self._objects[key] = (next(self._versions), body)

    def delete(self, key: str) -> None:
        del self._objects[key]

    def describe(self, key: str) -> ModelArtifact:
        self.described.append(key)
        return self._artifact(key)

    def fetch(self, artifact: ModelArtifact) -> Iterator[ArtifactFile]:
        self.fetched.append(artifact.key)
        self._expect(artifact)
        for path, (_, body) in sorted(self._files(artifact.key).items()):
            yield ArtifactFile(path, len(body), io.BytesIO(body))
        self._expect(artifact)

    def objects(self, under: str = "", after: str = "") -> Iterator[StoredObject]:
        folder = f"{under}/" if under else ""
        below = [key for key in self._objects if key.startswith(folder)]
        alone = [under] if under in self._objects else []
        for key in sorted(key for key in below or alone if key > after):
            version, body = self._objects[key]
            yield StoredObject(key, len(body), float(version))

    def _artifact(self, key: str) -> ModelArtifact:
        files = self._files(key)
        if not files:
            raise TargetModelNotFoundError(
                f"Failed to download model data (bucket: memory, key: {key})."
            )
        tag = ",".join(f"{path}={version}" for path, (version, _) in sorted(files.items()))
        size = sum(len(body) for _, body in files.values())
        return ModelArtifact("memory:", key, tag, size, is_folder=key not in self._objects)

    def _files(self, key: str) -> dict[str, tuple[int, bytes]]:
        if key in self._objects:
            return {key.rpartition("/")[2]: self._objects[key]}
        folder = key + "/"
        below = self._objects.items()
        return {k.removeprefix(folder): v for k, v in below if k.startswith(folder)}

    def _expect(self, artifact: ModelArtifact) -> None:
        try:
            is_unchanged = self._artifact(artifact.key) == artifact
        except TargetModelNotFoundError:
            is_unchanged = False
        if not is_unchanged:
            raise ArtifactChangedError(f"the model {artifact.key!r} changed")
