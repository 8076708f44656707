"""The directory tree of the artifact cache: many processes share it, nobody coordinates.

    entries/<digest>/              published by rename, therefore complete; never changed after
        manifest.json              what it is and what it weighs
        model/...                  the artifact's files
    staging/<owner>.<id>/          being written, or hidden and being deleted
    reserved/<owner>.<id>.<bytes>  what a staging directory may weigh, in the file's name
    leases/<digest>@<owner>.<id>   forbids eviction while it exists
    claims/<digest>                somebody is staging this: saves duplicate work, nothing else
    claims/<digest>.evicting       somebody is about to remove this

The byte limit holds without a lock because a writer announces its bytes, by the name of its
reservation, *before* it looks at the sum. Of two that announce at once at least one sees both.
A limit of entries holds in the same way: what is being written or deleted counts, too.
Eviction and leases meet in the same way: each announces itself, then looks for the other, and
gives way when it sees it. So the files of a lease never go away under it.
Directories are opened before existence checks: NFS clients remember for up to a minute that a
name did not exist, and opening the parent makes them look again.
"""

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from modelyard.cache.entry import DiskLease, Manifest, flush_directory, touch
from modelyard.cache.ownership import Owner
from modelyard.cache.staging import Staging
from modelyard.errors import CapacityError, ModelTooLargeError
from modelyard.ports import Clock

_RESERVE_STEP_BYTES = 1 << 20
_EVICTING = ".evicting"
_LOOKS_FOR_VICTIMS = 3


class CacheTree:
    """Names, sizes, leases and eviction; knows nothing of repositories or archives."""

    def __init__(
        self,
        root: Path,
        limit_bytes: int,
        clock: Clock,
        *,
        limit_entries: int | None = None,
        lease_ttl_s: float = 900.0,
        machine: str = "",
    ) -> None:
        self.limit_bytes = limit_bytes
        self.limit_entries = limit_entries
        self._clock = clock
        self._lease_ttl_s = lease_ttl_s
        self._owner = Owner.current(machine)
        self._entries = _made(root / "entries")
        self._staging = _made(root / "staging")
        self._reserved = _made(root / "reserved")
        self._leases = _made(root / "leases")
        self._claims = _made(root / "claims")
        self._weights: dict[str, int] = {}
        self._remove_abandoned()

    def lease(self, digest: str) -> DiskLease | None:
        """Return a lease on a published entry, or None when there is no such entry."""
        lease_file = self._leases / f"{digest}@{self._unique()}"
        lease_file.touch()
        manifest = None
        if not self._is_claimed(digest + _EVICTING):
            _refresh(self._entries)
            manifest = Manifest.read(self._entries / digest)
        if manifest is None:
            lease_file.unlink(missing_ok=True)
            return None
        lease = DiskLease(self._entries / digest, manifest, lease_file)
        lease.touch()
        return lease

    def has(self, digest: str) -> bool:
        """Return whether an entry is published; it may be gone by the time it is leased."""
        _refresh(self._entries)
        return (self._entries / digest).exists()

    def new_staging(self) -> Staging:
        """Return an empty staging directory with nothing reserved yet."""
        staging = self._stage(0)
        staging.model_dir.mkdir(parents=True)
        return staging

    def claim(self, name: str) -> bool:
        """Return whether the caller has the claim now; False while a living other has it.

        A claim is a symbolic link to its owner's name: made whole in one atomic step.
        """
        path = self._claims / name
        for _ in range(2):
            with contextlib.suppress(FileExistsError):
                path.symlink_to(str(self._owner))
                return True
            if self._is_claimed(name):
                return False
            path.unlink(missing_ok=True)
        return False

    def unclaim(self, name: str) -> None:
        """Give up a claim that `claim` granted."""
        (self._claims / name).unlink(missing_ok=True)

    def publish(self, staged: Path, digest: str) -> None:
        """Rename `staged` to its final name; when somebody was first, theirs stays."""
        try:
            staged.rename(self._entries / digest)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        flush_directory(self._entries)

    def evict(self, digest: str) -> None:
        """Remove an entry unless it is leased or somebody else is removing it."""
        if not self.claim(digest + _EVICTING):
            return
        try:
            if digest not in self._leased():
                self._remove(digest)
        finally:
            self.unclaim(digest + _EVICTING)

    def touch(self, digest: str) -> None:
        """Make an entry the last to be evicted."""
        touch(self._entries / digest)

    def manifests(self) -> Iterator[Manifest]:
        """Yield what every published entry holds."""
        for digest in _names(self._entries):
            manifest = Manifest.read(self._entries / digest)
            if manifest is not None:
                yield manifest

    def used_bytes(self) -> int:
        """Return the bytes on disk, published and reserved, by all processes."""
        known, digests = self._weights, _names(self._entries)
        self._weights = {digest: known.get(digest) or self._weigh(digest) for digest in digests}
        reserved = sum(_bytes_in(name) for name in _names(self._reserved))
        return sum(self._weights.values()) + reserved

    def used_entries(self) -> int:
        """Return how many entries are on disk, being written or being deleted.

        One that moves meanwhile may count twice: the limit is kept rather than used up.
        """
        moving = {*_names(self._staging)}
        published = _names(self._entries)
        return len(published) + len(moving.union(_names(self._staging)))

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
        self._remove_abandoned()
        for _ in range(_LOOKS_FOR_VICTIMS):
            for digest in self._victims():
                if not self._is_over():
                    return
                self.evict(digest)
            if not self._is_over():
                return
        raise CapacityError(f"the artifact cache is full: all of its {self._limits()} are in use")

    def _is_over(self) -> bool:
        if self.limit_entries is not None and self.used_entries() > self.limit_entries:
            return True
        return self.used_bytes() > self.limit_bytes

    def _limits(self) -> str:
        entries = "" if self.limit_entries is None else f"{self.limit_entries} models, "
        return f"{entries}{self.limit_bytes} bytes"

    def _victims(self) -> Iterator[str]:
        leased = self._leased()
        aged = []
        for digest in _names(self._entries):
            try:
                aged.append(((self._entries / digest).stat().st_mtime_ns, digest))
            except FileNotFoundError:
                continue
        for _, digest in sorted(aged):
            if digest not in leased:
                yield digest

    def _leased(self) -> set[str]:
        living = set()
        for name in _names(self._leases):
            digest, _, holder = name.partition("@")
            if self._is_abandoned(self._leases / name, holder.partition(".")[0]):
                (self._leases / name).unlink(missing_ok=True)
            else:
                living.add(digest)
        return living

    def _remove(self, digest: str) -> None:
        """Take an entry out of sight, then delete it; its bytes stay reserved until then."""
        grave = self._stage(self._weigh(digest))
        with contextlib.suppress(FileNotFoundError):
            (self._entries / digest).rename(grave.path)
        grave.discard()

    def _stage(self, reserved_bytes: int) -> Staging:
        name = self._unique()
        reservation = self._reserved / f"{name}.{reserved_bytes}"
        reservation.touch()
        return Staging(self, self._staging / name, reservation)

    def _remove_abandoned(self) -> None:
        for name in _names(self._staging):
            if self._is_abandoned(self._staging / name, name.partition(".")[0]):
                shutil.rmtree(self._staging / name, ignore_errors=True)
        for name in _names(self._reserved):
            if self._is_abandoned(self._reserved / name, name.partition(".")[0]):
                (self._reserved / name).unlink(missing_ok=True)

    def _is_claimed(self, name: str) -> bool:
        path = self._claims / name
        _refresh(self._claims)
        try:
            return not self._is_abandoned(path, str(path.readlink()))
        except FileNotFoundError:
            return False

    def _is_abandoned(self, path: Path, owner_text: str) -> bool:
        try:
            age_s = self._clock.time() - path.lstat().st_mtime
        except FileNotFoundError:
            return False
        owner = Owner.parse(owner_text)
        if owner is None:
            return age_s > self._lease_ttl_s
        return owner != self._owner and owner.is_gone(self._owner.host, age_s, self._lease_ttl_s)

    def _weigh(self, digest: str) -> int:
        manifest = Manifest.read(self._entries / digest)
        return 0 if manifest is None else manifest.total_bytes

    def _unique(self) -> str:
        return f"{self._owner}.{uuid.uuid4().hex[:12]}"


def _names(folder: Path) -> list[str]:
    with os.scandir(folder) as found:
        return [item.name for item in found]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _bytes_in(reservation: str) -> int:
    size = reservation.rpartition(".")[2]
    return int(size) if size.isdecimal() else 0


def _refresh(folder: Path) -> None:
    os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
