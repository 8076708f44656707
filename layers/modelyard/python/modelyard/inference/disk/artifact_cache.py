"""Stages artifacts of the model repository on the shared disk, completely or not at all.

A model file in a folder of this machine is not staged: it is read where it is.
"""

import errno
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
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
from modelyard.inference.disk.entry import ArtifactFiles, Manifest, size_of
from modelyard.inference.disk.known_files import FileInPlace
from modelyard.inference.disk.linked_file import LinkedFile
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
        is_rewritten: Callable[[Path], bool] = lambda file: False,
        claim_patience_s: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`prepare` may change an artifact's files before they are published.

        It returns how the model is loaded, for the manifest, or None. `is_rewritten` says whether
        it would change a model file, which then is not read where it is. A call waits up to
        `claim_patience_s` for another one that stages the same artifact.
        """
        self._tree = tree
        self._clock = clock
        self._prepare = prepare
        self._is_rewritten = is_rewritten
        self._claim_patience_s = claim_patience_s
        self._sleep = sleep

    def lease(self, artifact: ModelArtifact) -> ArtifactFiles | None:
        """Return the files of an artifact that is staged or known, or None when it is not."""
        known = self._tree.known.find(artifact)
        if known is not None:
            return self._recovering(lambda: self._link(known), artifact)
        digest = _digest(artifact)
        return self._recovering(lambda: self._tree.lease(digest), artifact)

    def ensure_staged(self, artifact: ModelArtifact, repository: ModelRepository) -> ArtifactFiles:
        """Stage the artifact unless it is staged, or can be read where it is; return its files.

        Raises:
            ArtifactInvalidError: damaged or hostile archive.
            ModelTooLargeError: it can never fit the disk limit.
            CapacityError: everything on disk is in use, or the disk is full.
            DependencyError: the disk or the repository failed.
            ArtifactChangedError: from the repository.
        """
        return self._recovering(lambda: self._ensure_staged(artifact, repository), artifact)

    def _ensure_staged(self, artifact: ModelArtifact, repository: ModelRepository) -> ArtifactFiles:
        if artifact.is_local:
            files = self._read_in_place(artifact, repository)
            if files is not None:
                return files
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
        if self._tree.known.find(artifact) is not None:
            return True
        digest = _digest(artifact)
        return self._recovering(lambda: self._tree.has(digest), artifact)

    def touch(self, artifact: ModelArtifact) -> None:
        """Set the last use of the artifact to now, so that others are evicted before it."""
        self._tree.touch(_digest(artifact))

    def evict(self, artifact: ModelArtifact) -> None:
        """Remove the staged artifact unless it is leased. A disk error is only logged."""
        if self._tree.known.find(artifact) is not None:  # it takes no disk
            return
        try:
            self._tree.evict(_digest(artifact))
        except OSError as error:
            logger.warning(
                "eviction failed", extra={"model": artifact.key, "reason": error.strerror}
            )

    def staged(self, repository: str) -> Iterator[tuple[Manifest, int]]:
        """Yield the artifacts staged from one repository: manifests and bytes on disk."""
        for manifest in self._tree.known.staged(repository):
            yield manifest, 0
        with _disk_errors():
            for entry, manifest in self._tree.manifests():
                if manifest.repository == repository:
                    yield manifest, manifest.bytes_on_disk(entry)

    def _read_in_place(
        self, artifact: ModelArtifact, repository: ModelRepository
    ) -> LinkedFile | None:
        """Return a file where it is, and remember what is found out about it.

        Returns None for an archive, and for a model that is rewritten: they are staged.
        """
        # The repository waits until a file is complete.
        ((file, head),) = [
            (file, file.stream.read(_HEAD_BYTES)) for file in repository.fetch(artifact)
        ]
        if file.location is None or archive_kind(file.path, head) is not None:
            return None
        manifest = _manifest(artifact, self._clock, artifact.size_bytes)
        found = FileInPlace(manifest, file.path, file.location)
        files = self._link(found)
        try:
            with reading(artifact, repository, files):
                if self._is_rewritten(found.location):
                    files.release()
                    return None
                plan = self._prepare(files.model_dir)
        except BaseException:
            files.release()
            raise
        files.manifest = replace(files.manifest, plan=plan)
        self._tree.known.add(replace(found, manifest=files.manifest))
        return files

    def _link(self, found: FileInPlace) -> LinkedFile:
        model_dir = self._tree.links.make(found.name, found.location)
        return LinkedFile(model_dir, found.manifest, self._tree.links)

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
            plan = self._plan(staging)
            size_bytes = size_of(staging.model_dir)
            manifest = _manifest(artifact, self._clock, size_bytes, tuple(warnings), plan)
            staging.publish(digest, manifest)
        finally:
            staging.discard()
        logger.info("staged", extra={"model": artifact.key, "bytes": manifest.model_bytes})

    def _plan(self, staging: Staging) -> Mapping[str, Any] | None:
        """Prepare the artifact unless there is no space for a second copy of its files."""
        used_bytes = usage_of(staging.model_dir)
        try:
            staging.reserve(used_bytes + min(used_bytes, _PREPARED_BYTES))
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
    artifact: ModelArtifact, repository: ModelRepository, files: ArtifactFiles
) -> Iterator[None]:
    """Read an artifact's files; of files that may change, only what `confirm` confirms counts.

    A file that is being written reads like a damaged one, a deleted one like a disk that fails.

    Raises:
        ArtifactChangedError, TargetModelNotFoundError: instead of any error, or without one.
    """
    try:
        yield
    except (OSError, ModelyardError):
        if files.may_change:
            confirm(artifact, repository)
        raise
    if files.may_change:
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
            warnings += _unpack_or_copy(file, staging)
    if not any(staging.model_dir.iterdir()):
        raise ArtifactInvalidError(f"{artifact.key} holds no files")
    return warnings


def _unpack_or_copy(file: ArtifactFile, staging: Staging) -> list[str]:
    head = file.stream.read(_HEAD_BYTES)
    stream = cast(BinaryIO, _Rewound(head, file.stream))
    kind = archive_kind(file.path, head)
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


def _manifest(
    artifact: ModelArtifact,
    clock: Clock,
    model_bytes: int,
    warnings: tuple[str, ...] = (),
    plan: Mapping[str, Any] | None = None,
) -> Manifest:
    return Manifest(
        repository=artifact.repository,
        key=artifact.key,
        tag=artifact.tag,
        model_bytes=model_bytes,
        staged_at=clock.time(),
        warnings=warnings,
        plan=plan,
    )


def _digest(artifact: ModelArtifact) -> str:
    identity = "\0".join((artifact.repository, artifact.key, artifact.tag))
    return hashlib.blake2b(identity.encode(), digest_size=20).hexdigest()
