"""A model repository below a prefix of a bucket, in any store."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from modelyard.domain.errors import (
    DependencyError,
    RepositoryForbiddenError,
    RepositoryMissingError,
)
from modelyard.domain.ports import ArtifactFile
from modelyard.domain.values import ModelArtifact, StoredObject
from modelyard.repositories.artifact_files import (
    changed,
    check_folder,
    folder_tag,
    forbidden,
    is_key,
    not_found,
    sized_stream,
)

_MAX_KEY_BYTES = 1024


@dataclass(frozen=True, slots=True)
class BucketObject:
    """One version of an object."""

    key: str
    """The whole key in the bucket."""
    size_bytes: int
    modified_at: float
    """Seconds since the epoch."""
    tag: str
    """What `Bucket.reading` takes to read this version or nothing."""


class Bucket(Protocol):
    """What differs between the stores: how they are asked.

    All methods raise DependencyError if the store does not answer or refuses, and its subclass
    RepositoryForbiddenError if the credentials are not enough. Safe to share between threads.
    """

    name: str
    """The bucket, or the container in Azure."""
    uri: str
    """The URI of the repository, ending in `/`, for errors: texts of SDKs may name endpoints."""

    def head(self, key: str) -> BucketObject | None:
        """Return the current version of an object, or None if there is none."""
        ...

    def listing(self, prefix: str, after: str) -> Iterator[BucketObject]:
        """Yield the objects whose keys begin with `prefix` and are greater than `after`, in order.

        `prefix` ends in `/` or is empty. Without `after` (empty), all are yielded.

        Raises:
            RepositoryMissingError: there is no such bucket.
        """
        ...

    def reading(
        self, key: str, tag: str, size_bytes: int
    ) -> AbstractContextManager[Callable[[int], bytes]]:
        """Return what reads on in this version of an object, at most so many bytes at a time.

        Raises:
            ArtifactChangedError: the object has another version now; raised by reads, too.
        """
        ...


def folder_prefix(prefix: str) -> str:
    """Return a prefix with one slash at its end, and none at its start; empty stays empty."""
    return f"{prefix.strip('/')}/".lstrip("/")


class BucketRepository:
    """Models below one prefix; hidden objects and folder markers are ignored.

    Safe to share between threads.
    """

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    def describe(self, key: str) -> ModelArtifact:
        """Return the version a key has now: its metadata, and a listing if it is a folder."""
        missing = not_found(self._bucket.name, self._prefix + key)
        if not self._can_hold(key):
            raise missing
        try:
            found = self._bucket.head(self._prefix + key)
            artifact = self._object(key, found) if found else self._folder(key, self._files(key))
        except RepositoryForbiddenError as error:
            raise forbidden(self._bucket.name, self._prefix + key) from error
        except RepositoryMissingError as error:
            raise missing from error
        if artifact is None:
            raise missing
        return artifact

    def fetch(self, artifact: ModelArtifact) -> Iterator[ArtifactFile]:
        """Yield the files of exactly this version."""
        if artifact.is_folder:
            yield from self._fetch_folder(artifact)
        else:
            name = artifact.key.rpartition("/")[2]
            yield from self._fetch_object(artifact.key, name, artifact.tag, artifact.size_bytes)

    def objects(self, under: str = "", after: str = "") -> Iterator[StoredObject]:
        """Yield every object below the prefix, or below one folder of it, in key order.

        A single object is looked up only if no folder has its name.
        """
        if not under:
            yield from self._objects("", after)
        elif self._can_hold(under):
            below = self._objects(under + "/", after)
            first = next(below, None) or self._object_alone(under)
            if first is not None and first.key > after:
                yield first
                yield from below

    def _objects(self, folder: str, after: str) -> Iterator[StoredObject]:
        for key, found in self._listing(folder, after):
            yield StoredObject(folder + key, found.size_bytes, found.modified_at)

    def _object_alone(self, key: str) -> StoredObject | None:
        found = self._bucket.head(self._prefix + key)
        return StoredObject(key, found.size_bytes, found.modified_at) if found else None

    def _can_hold(self, key: str) -> bool:
        return is_key(key) and len((self._prefix + key).encode()) <= _MAX_KEY_BYTES

    def _object(self, key: str, found: BucketObject) -> ModelArtifact:
        return ModelArtifact(self._bucket.uri, key, found.tag, found.size_bytes)

    def _folder(self, key: str, files: dict[str, BucketObject]) -> ModelArtifact | None:
        if not files:
            return None
        tag = folder_tag((path, f"{found.tag}/{found.size_bytes}") for path, found in files.items())
        size = sum(found.size_bytes for found in files.values())
        return ModelArtifact(self._bucket.uri, key, tag, size, is_folder=True)

    def _files(self, key: str) -> dict[str, BucketObject]:
        return dict(self._listing(key + "/"))

    def _listing(self, folder: str, after: str = "") -> Iterator[tuple[str, BucketObject]]:
        """Yield the objects of a folder as they are listed, each with its key in the folder.

        They begin after the object with the key `after`, relative to the repository.
        """
        prefix = self._prefix + folder
        for found in self._bucket.listing(prefix, self._prefix + after if after else ""):
            key = found.key.removeprefix(prefix)
            if is_key(key):
                yield key, found

    def _fetch_folder(self, artifact: ModelArtifact) -> Iterator[ArtifactFile]:
        files = self._unchanged_files(artifact)
        check_folder(files)
        for path, found in files.items():
            key = f"{artifact.key}/{path}"
            yield from self._fetch_object(key, path, found.tag, found.size_bytes)
        self._unchanged_files(artifact)

    def _unchanged_files(self, artifact: ModelArtifact) -> dict[str, BucketObject]:
        try:
            files = self._files(artifact.key)
        except RepositoryMissingError as error:
            raise changed(artifact.key) from error
        folder = self._folder(artifact.key, files)
        if folder is None or folder.tag != artifact.tag:
            raise changed(artifact.key)
        return files

    def _fetch_object(self, key: str, name: str, tag: str, size: int) -> Iterator[ArtifactFile]:
        short = DependencyError(f"{self._bucket.uri} sent too few bytes")
        with self._bucket.reading(self._prefix + key, tag, size) as read:
            yield ArtifactFile(name, size, sized_stream(read, size, short))
