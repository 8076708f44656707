"""The directory tree of the artifact cache: many processes share it, nobody coordinates.

    entries/<digest>/              published by rename, therefore complete; never changed after
        manifest.json              what it is and what it weighs
        model/...                  the artifact's files
    staging/<owner>.<id>/          being written, or hidden and being deleted
    reserved/<owner>.<id>.<bytes>  what a staging directory may weigh, in the file's name
    leases/<digest>@<owner>.<id>   forbids eviction while it exists
    evictions/<digest>@<owner>.<id>   somebody is about to remove this
    claims/<digest>                somebody is staging this: saves duplicate work, nothing else

The byte limit holds without a lock because a writer announces its bytes, by the name of its
reservation, *before* it looks at the sum. Of two that announce at once at least one sees both.
A limit of entries holds in the same way: what is being written or deleted counts, too.
Eviction and leases meet in the same way: each announces itself, then looks for the other, and
gives way when it sees it. So the files of a lease never go away under it.
What is abandoned is taken out of sight in one step before it is deleted: its owner may live
after all, on another machine, and must not publish half of it. Its age is told by the clock of
the disk, which all of them share.
Directories are opened before existence checks: NFS clients remember for up to a minute that a
name did not exist, and opening the parent makes them look again.
"""

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from modelyard.domain.errors import CapacityError, ModelTooLargeError
from modelyard.inference.disk.claims import Claims
from modelyard.inference.disk.entry import DiskLease, Manifest, flush_directory, touch, weigh
from modelyard.inference.disk.marks import Mark, Marks, Names, names_in
from modelyard.inference.disk.reservations import Reservations
from modelyard.inference.disk.staging import Staging

logger = logging.getLogger(__name__)

_RESERVE_STEP_BYTES = 1 << 20
_LOOKS_FOR_VICTIMS = 3


class CacheTree:
    """Names, sizes, leases and eviction; knows nothing of repositories or archives."""

    def __init__(
        self,
        root: Path,
        limit_bytes: int,
        *,
        limit_entries: int | None = None,
        lease_ttl_s: float = 900.0,
        machine: str = "",
    ) -> None:
        self.limit_bytes = limit_bytes
        self.limit_entries = limit_entries
        self._names = Names(machine, lease_ttl_s, self._disk_time)
        self._entries = _made(root / "entries")
        self._staging = _made(root / "staging")
        self._reserved = Reservations(_made(root / "reserved"))
        self.claims = Claims(_made(root / "claims"), self._names)
        self._leases = Marks(_made(root / "leases"), self._names)
        self._evictions = Marks(_made(root / "evictions"), self._names)
        self._weights: dict[str, int] = {}
        self.sweep()

    def lease(self, digest: str) -> DiskLease | None:
        """Return a lease on a published entry, or None when there is no complete one."""
        mark = self._leases.make(digest)
        try:
            lease = self._leased_entry(digest, mark)
        except OSError:
            mark.withdraw()
            raise
        if lease is None:
            mark.withdraw()
        return lease

    def has(self, digest: str) -> bool:
        """Return whether an entry is published; it may be gone by the time it is leased."""
        _refresh(self._entries)
        return (self._entries / digest).exists()

    def new_staging(self) -> Staging:
        """Return an empty staging directory with nothing reserved yet."""
        staging = self._stage(0)
        try:
            staging.make()
        except OSError:
            staging.discard()
            raise
        return staging

    def announce(self, name: str, reserved_bytes: int) -> Path:
        """Say what the staging directory of this name may weigh."""
        return self._reserved.make(name, reserved_bytes)

    def publish(self, staged: Path, digest: str) -> None:
        """Rename `staged` to its final name; when somebody was first, theirs stays."""
        if not self._rename(staged, digest) and not Manifest.read_complete(self._entries / digest):
            logger.warning("incomplete entry", extra={"entry": digest})
            self.evict(digest)
            self._rename(staged, digest)
        flush_directory(self._entries)

    def evict(self, digest: str) -> None:
        """Remove an entry unless it is leased."""
        announced = self._evictions.make(digest)
        try:
            if digest not in self._leases.subjects():
                self._remove(digest)
        finally:
            announced.withdraw()

    def forget(self, name: str) -> None:
        """Leave what is still there under this name to the next sweep."""
        self._names.drop(name)

    def touch(self, digest: str) -> None:
        """Make an entry the last to be evicted."""
        touch(self._entries / digest)

    def manifests(self) -> Iterator[Manifest]:
        """Yield what every published entry holds."""
        for digest in names_in(self._entries):
            manifest = Manifest.read(self._entries / digest)
            if manifest is not None:
                yield manifest

    def used_bytes(self) -> int:
        """Return the bytes on disk, published and reserved, by all processes."""
        before = (
            self._reserved.bytes_by_name()
        )  # what is published or removed meanwhile counts twice, or
        known, digests = self._weights, names_in(self._entries)
        self._weights = {digest: known.get(digest) or self._weigh(digest) for digest in digests}
        after = self._reserved.bytes_by_name()  # else not at all
        announced = (max(before.get(name, 0), after.get(name, 0)) for name in before | after)
        return sum(self._weights.values()) + sum(announced)

    def used_entries(self) -> int:
        """Return how many entries are on disk, being written or being deleted.

        One that moves meanwhile may count twice: the limit is kept rather than used up.
        """
        moving = {*names_in(self._staging)}
        published = names_in(self._entries)
        return len(published) + len(moving.union(names_in(self._staging)))

    def rounded(self, total_bytes: int) -> int:
        """Return `total_bytes` in coarse steps: each step costs a look at the whole tree."""
        step = max(1, min(_RESERVE_STEP_BYTES, self.limit_bytes >> 8))
        return min(-(-total_bytes // step) * step, self.limit_bytes)

    def refuse_too_large(self, total_bytes: int) -> None:
        """Raise ModelTooLargeError when `total_bytes` exceed the whole limit."""
        if total_bytes > self.limit_bytes:
            raise ModelTooLargeError(
                f"the artifact needs {total_bytes} bytes on disk, the limit is"
                f" {self.limit_bytes} bytes in all"
            )

    def evict_to_limit(self) -> None:
        """Remove the least recently used entries until all that is announced fits.

        Raises:
            CapacityError: what is left is leased or being written by others.
        """
        if not self._is_over():
            return
        self.sweep()
        for _ in range(_LOOKS_FOR_VICTIMS):
            for digest in self._victims():
                if not self._is_over():
                    return
                self.evict(digest)
            if not self._is_over():
                return
        raise CapacityError(f"the artifact cache is full: all of its {self._limits()} are in use")

    def sweep(self) -> None:
        """Remove what nobody means any more; what the disk keeps, the next sweep takes."""
        try:
            self._leases.subjects()
            self._evictions.subjects()
            self.claims.sweep()
            self._sweep_staging()
        except OSError as error:
            logger.warning("not swept", extra={"reason": error.strerror})

    def _is_over(self) -> bool:
        if self.limit_entries is not None and self.used_entries() > self.limit_entries:
            return True
        return self.used_bytes() > self.limit_bytes

    def _limits(self) -> str:
        entries = "" if self.limit_entries is None else f"{self.limit_entries} models, "
        return f"{entries}{self.limit_bytes} bytes"

    def _victims(self) -> Iterator[str]:
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
        _refresh(self._entries)
        manifest = Manifest.read_complete(self._entries / digest)
        if manifest is None:
            return None
        lease = DiskLease(self._entries / digest, manifest, mark)
        lease.touch()
        return lease

    def _rename(self, staged: Path, digest: str) -> bool:
        try:
            staged.rename(self._entries / digest)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        return True

    def _remove(self, digest: str) -> None:
        """Take an entry out of sight, then delete it; its bytes stay reserved until then."""
        self._bury(self._entries / digest, self._weigh(digest))

    def _bury(self, folder: Path, reserved_bytes: int) -> None:
        grave = self._stage(reserved_bytes)
        try:
            with contextlib.suppress(FileNotFoundError):
                folder.rename(grave.path)
        finally:
            grave.discard()

    def _stage(self, reserved_bytes: int) -> Staging:
        name = self._names.new()
        staging = Staging(self, self._staging / name)
        try:
            staging.announce(reserved_bytes)
        except OSError:
            staging.discard()
            raise
        return staging

    def _sweep_staging(self) -> None:
        is_abandoned = self._names.look()
        for name in names_in(self._staging):
            if is_abandoned(self._staging / name, name):
                self._bury(self._staging / name, weigh(self._staging / name))
        self._reserved.sweep({*names_in(self._staging)}, self._names)

    def _disk_time(self) -> float:
        """Return the time of the machine that has the disk, which stamps every file."""
        probe = self._evictions.make("clock")
        try:
            return probe.path.stat().st_mtime
        finally:
            probe.withdraw()

    def _weigh(self, digest: str) -> int:
        manifest = Manifest.read(self._entries / digest)
        return weigh(self._entries / digest) if manifest is None else manifest.total_bytes


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _refresh(folder: Path) -> None:
    os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
