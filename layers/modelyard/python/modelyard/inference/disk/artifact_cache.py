"""Stages artifacts of the model repository on the shared disk, completely or not at all.

A model file in a folder of this machine is not copied: its entry holds a link to it.
"""

import errno
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar, cast

from modelyard.domain.errors import (
    ArtifactChangedError,
    ArtifactInvalidError,
    CapacityError,
    DependencyError,
    ModelTooLargeError,
    ModelyardError,
)
from modelyard.domain.ports import ArtifactFile, Clock, ModelRepository
from modelyard.domain.values import ModelArtifact
from modelyard.inference.archives.archive import archive_kind, extract
from modelyard.inference.disk.entry import DiskLease, Manifest, size_of
from modelyard.inference.disk.space import FOLDER_BYTES, cost_of, usage_of
from modelyard.inference.disk.staging import Staging
from modelyard.inference.disk.tree import CacheTree

logger = logging.getLogger(__name__)

_HEAD_BYTES = 512
_COPY_BYTES = 1 << 20
_POLL_S = 0.05
_PUBLISH_TRIES = 8
_RECOVERIES = 8
_PREPARED_BYTES = 16 << 20
"""The largest file that is rewritten before an artifact is published."""

T = TypeVar("T")


class ArtifactCache:
    """The artifacts on disk: one entry for each repository, key and content tag.

    Safe to share between threads, and the tree between processes.
    """

    def __init__(
        self,
        tree: CacheTree,
        clock: Clock,
        *,
        prepare: Callable[[Path], Mapping[str, Any] | None] = lambda model_dir: None,
        claim_patience_s: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`prepare` may change an artifact's files before they are published.

        It returns how the model is loaded, for the manifest, or None. A call waits up to
        `claim_patience_s` for another one that stages the same artifact.
        """
        self._tree = tree
        self._clock = clock
        self._prepare = prepare
        self._claim_patience_s = claim_patience_s
        self._sleep = sleep

    def lease(self, artifact: ModelArtifact) -> DiskLease | None:
        """Return a lease on the staged artifact, or None when it is not staged."""
        digest = _digest(artifact)
        return self._recovering(lambda: self._tree.lease(digest), artifact)

    def ensure_staged(self, artifact: ModelArtifact, repository: ModelRepository) -> DiskLease:
        """Stage the artifact unless it is staged, and return a lease on it.

        Raises:
            ArtifactInvalidError: damaged or hostile archive.
            ModelTooLargeError: it can never fit the disk limit.
            CapacityError: everything on disk is in use, or the disk is full.
            DependencyError: the disk or the repository failed.
            ArtifactChangedError: from the repository.
        """
        return self._recovering(lambda: self._ensure_staged(artifact, repository), artifact)

    def _ensure_staged(self, artifact: ModelArtifact, repository: ModelRepository) -> DiskLease:
        digest = _digest(artifact)
        with self._claimed(digest):
            for tries in range(_PUBLISH_TRIES):
                if tries:  # a process that evicts the entry may be waiting for the processor
                    self._sleep(_POLL_S * tries)
                lease = self._tree.lease(digest)
                if lease is None:
                    self._stage(artifact, repository, digest)
                    lease = self._tree.lease(digest)
                if lease is not None:
                    return lease
            raise CapacityError("the staged artifact was evicted each time before it could be used")

    def _recovering(self, work: Callable[[], T], artifact: ModelArtifact) -> T:
        """Return what `work` returns; repeat it after disk errors that the tree can mend."""
        with _disk_errors():
            for tries in range(_RECOVERIES):
                try:
                    return work()
                except OSError as error:
                    # Each time more: what one entry leaves free, others may have filled again.
                    needed_bytes = max(artifact.size_bytes, 1) << tries
                    if not self._tree.recover(error, needed_bytes):
                        raise
            return work()

    def is_staged(self, artifact: ModelArtifact) -> bool:
        """Return whether the artifact is on disk. It may be evicted at any time."""
        digest = _digest(artifact)
        return self._recovering(lambda: self._tree.has(digest), artifact)

    def touch(self, artifact: ModelArtifact) -> None:
        """Set the last use of the artifact to now, so that others are evicted before it."""
        self._tree.touch(_digest(artifact))

    def evict(self, artifact: ModelArtifact) -> None:
        """Remove the staged artifact unless it is leased. A disk error is only logged."""
        try:
            self._tree.evict(_digest(artifact))
        except OSError as error:
            logger.warning(
                "eviction failed", extra={"model": artifact.key, "reason": error.strerror}
            )

    def staged(self, repository: str) -> Iterator[tuple[Manifest, int]]:
        """Yield the artifacts staged from one repository: manifests and bytes on disk."""
        with _disk_errors():
            for entry, manifest in self._tree.manifests():
                if manifest.repository == repository:
                    yield manifest, manifest.bytes_on_disk(entry)

    @contextmanager
    def _claimed(self, digest: str) -> Iterator[None]:
        """Hold the claim to stage an artifact; go on without it after `claim_patience_s`."""
        is_ours = self._wait_for_claim(digest)
        try:
            yield
        finally:
            if is_ours:
                self._tree.claims.give_up(digest)

    def _wait_for_claim(self, digest: str) -> bool:
        give_up_at = self._clock.monotonic() + self._claim_patience_s
        while not self._tree.claims.take(digest):
            if self._clock.monotonic() >= give_up_at:
                return False
            self._sleep(_POLL_S)
        return True

    def _stage(self, artifact: ModelArtifact, repository: ModelRepository, digest: str) -> None:
        staging = self._tree.new_staging()
        try:
            warnings = _write(artifact, repository, staging)
            is_linked = staging.is_linked
            with reading(artifact, repository, is_linked=is_linked):
                plan = self._plan(staging, artifact.size_bytes if is_linked else None)
            manifest = Manifest(
                repository=artifact.repository,
                key=artifact.key,
                tag=artifact.tag,
                model_bytes=size_of(staging.model_dir),
                staged_at=self._clock.time(),
                warnings=tuple(warnings),
                plan=plan,
                is_linked=is_linked and staging.is_linked,  # a rewritten file is a copy
            )
            staging.publish(digest, manifest)
        finally:
            staging.discard()
        logger.info("staged", extra={"model": artifact.key, "bytes": manifest.model_bytes})

    def _plan(self, staging: Staging, linked_bytes: int | None) -> Mapping[str, Any] | None:
        """Prepare the artifact unless there is no space for a second copy of its files.

        `linked_bytes` is the size of the file that a link leads to.
        """
        used_bytes = usage_of(staging.model_dir)
        copy_bytes = used_bytes if linked_bytes is None else linked_bytes
        try:
            staging.reserve(used_bytes + min(copy_bytes, _PREPARED_BYTES))
        except (ModelTooLargeError, CapacityError):
            return None
        return self._prepare(staging.model_dir)


def confirm(artifact: ModelArtifact, repository: ModelRepository) -> None:
    """Return if the repository still has this version, so that a link to its file leads to it.

    Raises:
        ArtifactChangedError, TargetModelNotFoundError: it does not.
        DependencyError: the repository cannot be read.
    """
    if repository.describe(artifact.key).tag != artifact.tag:
        raise ArtifactChangedError(f"the model {artifact.key!r} changed while it was loaded")


@contextmanager
def reading(
    artifact: ModelArtifact, repository: ModelRepository, *, is_linked: bool
) -> Iterator[None]:
    """Read an artifact's files; of a linked one, only what `confirm` then confirms counts.

    A file that is being written reads like a damaged one, a deleted one like a disk that fails.

    Raises:
        ArtifactChangedError, TargetModelNotFoundError: instead of any error, or without one.
    """
    try:
        yield
    except (OSError, ModelyardError):
        if is_linked:
            confirm(artifact, repository)
        raise
    if is_linked:
        confirm(artifact, repository)


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Report errors of the cache disk as CapacityError or DependencyError, which can be retried."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CapacityError("no space is left on the disk of the artifact cache") from error
        raise DependencyError(f"the disk of the artifact cache failed: {error.strerror}") from error


def _write(artifact: ModelArtifact, repository: ModelRepository, staging: Staging) -> list[str]:
    """Fetch the artifact into a staging folder. Returns warnings about its archive."""
    warnings: list[str] = []
    written = 0
    folders: set[PurePosixPath] = set()
    if artifact.is_folder:
        staging.reserve(cost_of(artifact.size_bytes))
    for file in repository.fetch(artifact):
        if artifact.is_folder:
            written += cost_of(file.size_bytes)
            folders |= {*PurePosixPath(file.path).parents}
            staging.reserve(written + len(folders) * FOLDER_BYTES)
            _copy(file, staging)
        else:
            warnings += _unpack_link_or_copy(file, staging)
    if not any(staging.model_dir.iterdir()):
        raise ArtifactInvalidError(f"{artifact.key} holds no files")
    return warnings


def _unpack_link_or_copy(file: ArtifactFile, staging: Staging) -> list[str]:
    head = file.stream.read(_HEAD_BYTES)
    stream = cast(BinaryIO, _Rewound(head, file.stream))
    kind = archive_kind(file.path, head)
    if kind is None and file.location is not None:
        (staging.model_dir / file.path).symlink_to(file.location)
        return []
    staging.reserve(cost_of(max(file.size_bytes, 1)))
    if kind is not None:
        return extract(stream, kind, staging.model_dir, staging)
    _copy(ArtifactFile(file.path, file.size_bytes, stream), staging)
    return []


class _Rewound:
    """A stream whose first bytes were already read, and are returned again."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        if not self._head:
            return self._rest.read(size)
        if size < 0:
            chunk, self._head = self._head + self._rest.read(), b""
            return chunk
        chunk, self._head = self._head[:size], self._head[size:]
        return chunk


def _copy(file: ArtifactFile, staging: Staging) -> None:
    target = staging.model_dir / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as out:
        for chunk in iter(partial(file.stream.read, _COPY_BYTES), b""):
            out.write(chunk)
            staging.touch()


def _digest(artifact: ModelArtifact) -> str:
    identity = "\0".join((artifact.repository, artifact.key, artifact.tag))
    return hashlib.blake2b(identity.encode(), digest_size=20).hexdigest()
