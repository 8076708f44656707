"""The directory tree of the artifact cache. Many processes share it; nothing coordinates them.

    entries/<digest>/              published by rename, so always complete; its files never change
        manifest.json              what the entry is and how large
        model/...                  the artifact's files
        verified                   they were read back after another start of the machine
    staging/<owner>.<id>/          being written, or hidden and being deleted
    reserved/<owner>.<id>.<bytes>  the bytes a staging folder may take, in the file's name
    leases/<digest>@<owner>.<id>   forbids eviction while it exists
    evictions/<digest>@<owner>.<id>   a process is about to remove this entry
    claims/<digest>                a process is staging this: avoids duplicate work, nothing else
    links/<owner>.<id>/<name>      a link to a file of the repository, which is read where it is
    known.jsonl                    what was found out about such files

The byte limit holds without a lock because a writer creates its reservation *before* it adds up
what all processes use. Of two writers that reserve at once, at least one sees both reservations.
The limit of entries holds in the same way: entries being written or deleted count, too.
Bytes are those of the disk: whole blocks, folders and inodes.
Evictions and leases work in the same way: each creates its mark, then looks for marks of the other
kind, and gives way when it finds one. So the files of a lease are never removed under it.
An abandoned folder is hidden by a rename before it is deleted: its owner may still run, on another
machine, and must not publish half of it. Its age is measured by the clock of the disk, which all
machines share.
Directories are opened before existence checks: NFS clients remember for up to a minute that a name
did not exist, and opening the parent directory makes them look again.
"""

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from modelyard.domain.errors import CapacityError, ModelTooLargeError
from modelyard.inference.disk.claims import Claims
from modelyard.inference.disk.entry import DiskLease, Manifest, touch
from modelyard.inference.disk.known_files import KnownFiles
from modelyard.inference.disk.linked_file import Links
from modelyard.inference.disk.marks import Mark, Marks, Names, names_in
from modelyard.inference.disk.reservations import Reservations
from modelyard.inference.disk.space import FOLDER_BYTES, blocks_of, usage_of
from modelyard.inference.disk.staging import Staging

logger = logging.getLogger(__name__)

_RESERVE_STEP_BYTES = 1 << 20
_EVICTION_ROUNDS = 3
_FULL = (errno.ENOSPC, errno.EDQUOT)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
_ROOMS = ("entries", "staging", "reserved", "leases", "evictions", "claims", "links")
_KNOWN = "known.jsonl"


class CacheTree:
    """Entries, sizes, leases and eviction. Knows nothing about repositories or archives."""

    def __init__(
        self,
        root: Path,
        limit_bytes: int,
        *,
        limit_entries: int | None = None,
        lease_ttl_s: float = 900.0,
        machine: str = "",
    ) -> None:
        """`machine` is a name of this machine, unique among those that share the tree.

        Files of other machines are abandoned when they were not touched for `lease_ttl_s`.
        """
        self.limit_bytes = limit_bytes
        self.limit_entries = limit_entries
        self.names = Names(machine, lease_ttl_s, self._disk_time)
        self.reservations = Reservations(root / "reserved", self.names)
        self.claims = Claims(root / "claims", self.names)
        self.links = Links(root / "links", self.names)
        self.known = KnownFiles(root / _KNOWN)
        self._root = root
        self._entries = root / "entries"
        self._staging = root / "staging"
        self._leases = Marks(root / "leases", self.names)
        self._evictions = Marks(root / "evictions", self.names)
        self._sizes: dict[str, int] = {}
        self._make_rooms()
        self.sweep()

    def recover(self, error: OSError, needed_bytes: int) -> bool:
        """Do what helps against a disk error; returns whether there is reason to try again.

        Folders that somebody deleted are made again. On a full disk, the least recently used
        entries are removed, `needed_bytes` of them.
        """
        if error.errno in _GONE:
            return self._make_rooms()
        return error.errno in _FULL and self._make_space(needed_bytes)

    def lease(self, digest: str) -> DiskLease | None:
        """Return a lease on a published entry, or None when there is no complete one."""
        if not self.has(digest):  # saves the mark, and its round trips to a network disk
            return None
        mark = self._leases.make(digest)
        try:
            lease = self._leased_entry(digest, mark)
        except OSError:
            mark.remove()
            raise
        if lease is None:
            mark.remove()
        return lease

    def has(self, digest: str) -> bool:
        """Return whether an entry is published. It may be gone by the time it is leased."""
        os.close(os.open(self._entries, os.O_RDONLY | os.O_DIRECTORY))  # for NFS: see above
        return (self._entries / digest).exists()

    def new_staging(self) -> Staging:
        """Return a new staging folder with nothing reserved yet."""
        staging = self._new_staging(0)
        try:
            staging.make()
        except OSError:
            staging.discard()
            raise
        return staging

    def publish(self, staged: Path, digest: str) -> None:
        """Rename a complete folder to its final name. If the entry exists already, that stays."""
        if not self._rename(staged, digest) and not Manifest.read_complete(self._entries / digest):
            logger.warning("incomplete entry", extra={"entry": digest})
            self.evict(digest)
            self._rename(staged, digest)

    def evict(self, digest: str) -> None:
        """Remove an entry unless it is leased."""
        announced = self._evictions.make(digest)
        try:
            if digest not in self._leases.subjects():
                self._delete(self._entries / digest, self._entry_bytes(digest))
        finally:
            announced.remove()

    def touch(self, digest: str) -> None:
        """Set the last use of an entry to now: it becomes the last to be evicted."""
        touch(self._entries / digest)

    def manifests(self) -> Iterator[tuple[Path, Manifest]]:
        """Yield every published entry and its manifest."""
        try:
            digests = names_in(self._entries)
        except OSError as error:
            if not self.recover(error, 0):
                raise
            return
        for digest in digests:
            manifest = Manifest.read(self._entries / digest)
            if manifest is not None:
                yield self._entries / digest, manifest

    def used_bytes(self) -> int:
        """Return the bytes on disk, published and reserved, by all processes.

        An entry that is published or removed meanwhile counts twice rather than not at all: the
        reservations are read before and after the entries.
        """
        before = self.reservations.bytes_by_name()
        known, digests = self._sizes, names_in(self._entries)
        self._sizes = {digest: known.get(digest) or self._entry_bytes(digest) for digest in digests}
        after = self.reservations.bytes_by_name()
        reserved = (max(before.get(name, 0), after.get(name, 0)) for name in before | after)
        folders = sum(blocks_of(self._root / room) for room in (".", _KNOWN, *_ROOMS))
        links = self.links.count() * FOLDER_BYTES
        return sum(self._sizes.values()) + sum(reserved) + folders + links

    def used_entries(self) -> int:
        """Return how many entries are on disk, being written or being deleted.

        An entry that moves meanwhile may count twice rather than not at all.
        """
        moving = {*names_in(self._staging)}
        published = names_in(self._entries)
        return len(published) + len(moving.union(names_in(self._staging)))

    def bytes_to_reserve(self, total_bytes: int) -> int:
        """Return `total_bytes` rounded up: each reservation costs a scan of the whole tree.

        Raises:
            ModelTooLargeError: more than the whole limit.
        """
        if total_bytes > self.limit_bytes:
            raise ModelTooLargeError(
                f"the artifact needs {total_bytes} bytes on disk, the limit is"
                f" {self.limit_bytes} bytes in all"
            )
        step = max(1, min(_RESERVE_STEP_BYTES, self.limit_bytes >> 8))
        return min(-(-total_bytes // step) * step, self.limit_bytes)

    def evict_to_limit(self) -> None:
        """Remove the least recently used entries until everything reserved fits.

        Raises:
            CapacityError: the remaining entries are leased or being written.
        """
        if not self._is_over_limit():
            return
        self.sweep()
        for _ in range(_EVICTION_ROUNDS):
            for digest in self._victims():
                if not self._is_over_limit():
                    return
                self.evict(digest)
            if not self._is_over_limit():
                return
        raise CapacityError(f"the artifact cache is full: all of its {self._limits()} are in use")

    def _make_rooms(self) -> bool:
        """Make the folders of the tree that are missing; returns whether there are new ones."""
        is_new = False
        for room in _ROOMS:
            if not (self._root / room).is_dir():
                try:
                    (self._root / room).mkdir(parents=True, exist_ok=True)
                    is_new = True
                except OSError as error:
                    logger.warning("no artifact cache", extra={"reason": error.strerror})
                    return False
        return is_new

    def _make_space(self, needed_bytes: int) -> bool:
        """Remove the least recently used entries from a full disk; returns whether there were any.

        The disk may be full of others' files, so its limit is not the tree's.
        """
        freed_bytes = 0
        self.sweep()
        for digest in self._victims():
            size_bytes = self._entry_bytes(digest)
            with contextlib.suppress(OSError):
                self.evict(digest)
                if not self.has(digest):
                    freed_bytes += size_bytes
            if freed_bytes >= needed_bytes:
                break
        logger.warning("disk of the artifact cache is full", extra={"freed_bytes": freed_bytes})
        return freed_bytes > 0

    def sweep(self) -> None:
        """Remove abandoned files. What the disk keeps is removed by the next sweep."""
        try:
            self._leases.subjects()
            self._evictions.subjects()
            self.claims.sweep()
            self.links.sweep()
            self._sweep_staging()
        except OSError as error:
            logger.warning("abandoned files not removed", extra={"reason": error.strerror})

    def _is_over_limit(self) -> bool:
        if self.limit_entries is not None and self.used_entries() > self.limit_entries:
            return True
        return self.used_bytes() > self.limit_bytes

    def _limits(self) -> str:
        entries = "" if self.limit_entries is None else f"{self.limit_entries} models, "
        return f"{entries}{self.limit_bytes} bytes"

    def _victims(self) -> Iterator[str]:
        """Yield the entries that are not leased, least recently used first."""
        leased = self._leases.subjects()
        aged = []
        for digest in names_in(self._entries):
            try:
                aged.append(((self._entries / digest).stat().st_mtime_ns, digest))
            except FileNotFoundError:
                continue
        for _, digest in sorted(aged):
            if digest not in leased:
                yield digest

    def _leased_entry(self, digest: str, mark: Mark) -> DiskLease | None:
        if digest in self._evictions.subjects():
            return None
        manifest = Manifest.read_complete(self._entries / digest)
        if manifest is None:
            return None
        self.touch(digest)
        return DiskLease(self._entries / digest, manifest, mark)

    def _rename(self, staged: Path, digest: str) -> bool:
        """Return whether the folder got its final name; False when an entry has it already."""
        try:
            staged.rename(self._entries / digest)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        return True

    def _delete(self, folder: Path, size_bytes: int) -> None:
        """Hide a folder by a rename, then delete it. Its bytes stay reserved until it is gone."""
        trash = self._new_trash(size_bytes)
        try:
            with contextlib.suppress(FileNotFoundError):
                folder.rename(trash.path)
        finally:
            trash.discard()

    def _new_trash(self, reserved_bytes: int) -> Staging:
        try:
            return self._new_staging(reserved_bytes)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            # A disk without inodes takes no reservation, and gets inodes only by a deletion.
            return Staging(self, self._staging / self.names.new())

    def _new_staging(self, reserved_bytes: int) -> Staging:
        staging = Staging(self, self._staging / self.names.new())
        try:
            staging.announce(reserved_bytes)
        except OSError:
            staging.discard()
            raise
        return staging

    def _sweep_staging(self) -> None:
        is_abandoned = self.names.abandoned()
        for name in names_in(self._staging):
            if is_abandoned(self._staging / name, name):
                self._delete(self._staging / name, usage_of(self._staging / name))
        self.reservations.sweep({*names_in(self._staging)})

    def _disk_time(self) -> float:
        """Return the time of the machine that has the disk, which sets the times of all files."""
        probe = self._evictions.make("clock")
        try:
            return probe.path.stat().st_mtime
        finally:
            probe.remove()

    def _entry_bytes(self, digest: str) -> int:
        entry = self._entries / digest
        manifest = Manifest.read(entry)
        return usage_of(entry) if manifest is None else manifest.bytes_on_disk(entry)
