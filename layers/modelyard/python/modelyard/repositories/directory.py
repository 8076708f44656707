"""A model repository in a local or mounted directory."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from modelyard.domain.errors import DependencyError, TargetModelNotFoundError
from modelyard.domain.ports import ArtifactFile
from modelyard.domain.values import ModelArtifact, StoredObject
from modelyard.repositories.artifact_files import (
    being_written,
    changed,
    folder_tag,
    forbidden,
    is_key,
    not_found,
    sized_stream,
)
from modelyard.repositories.settling import (
    SETTLE_S,
    SETTLE_UNSEEN_S,
    content_tag,
    is_open_for_writing,
    unsettled_s,
)

_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
_MAX_REMEMBERED = 100_000
_SORTED_AT_ONCE = 10_000
"""Names; it takes a few milliseconds."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A file or folder below the root: its status, and its path where no links are."""

    status: os.stat_result
    real_path: str


class DirectoryRepository:
    """Models below one root folder; hidden files and links that lead out of it are ignored.

    A file is read only when it is complete: no process has it open for writing, and its last change
    was some time ago (`repositories.settling`).
    """

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._uri = self._root.as_uri().rstrip("/") + "/"
        self._inside: dict[str, tuple[int, int]] = {}

    def describe(self, key: str) -> ModelArtifact:
        """Return the version a key has now; one `stat` if it is still the same file."""
        try:
            status = self._status(key)
            is_file = stat.S_ISREG(status.st_mode)
            return self._file(key, status) if is_file else self._folder(key, dict(self._files(key)))
        except OSError as error:
            if error.errno in _GONE:
                raise not_found(self._root.name, key) from error
            if error.errno in _FORBIDDEN:
                raise forbidden(self._root.name, key) from error
            raise self._unreadable(error) from error

    def fetch(self, artifact: ModelArtifact) -> Iterator[ArtifactFile]:
        """Yield the files of exactly this version."""
        self._check(artifact)
        if artifact.is_folder:
            yield from self._fetch_folder(artifact)
        else:
            name = artifact.key.rpartition("/")[2]
            yield from self._fetch_file(artifact.key, name, artifact.tag, has_location=True)

    def objects(self, under: str = "", after: str = "") -> Iterator[StoredObject]:
        """Yield every file below the root, or below one folder of it, in key order.

        Only the names in a folder are read before its first file is yielded.
        """
        try:
            for key, found in self._files_under(under) if under else self._files("", after):
                if key > after:
                    links_to = None if found.real_path == key else found.real_path
                    yield StoredObject(key, found.status.st_size, found.status.st_mtime, links_to)
        except TargetModelNotFoundError:
            return
        except OSError as error:
            if under and error.errno in _GONE and self._root.is_dir():
                return
            raise self._unreadable(error) from error

    def _file(self, key: str, status: os.stat_result) -> ModelArtifact:
        tag = content_tag(status)
        return ModelArtifact(self._uri, key, tag, status.st_size, is_local=True)

    def _folder(self, key: str, files: dict[str, _Found]) -> ModelArtifact:
        if not files:
            raise not_found(self._root.name, key)
        tag = folder_tag((path, content_tag(found.status)) for path, found in files.items())
        size = sum(found.status.st_size for found in files.values())
        return ModelArtifact(self._uri, key, tag, size, is_folder=True)

    def _status(self, key: str) -> os.stat_result:
        """Return the status of a key's file or folder; links are resolved at its first use only."""
        if not is_key(key):
            raise not_found(self._root.name, key)
        path = self._root / key
        status = path.stat()
        if self._inside.get(key) == (status.st_dev, status.st_ino):
            return status
        resolved = os.path.realpath(path, strict=True)
        if not self._holds(resolved) or not _is_so_spelt(self._root, key):
            raise not_found(self._root.name, key)
        return self._remember(key, Path(resolved).stat())

    def _remember(self, key: str, status: os.stat_result) -> os.stat_result:
        if len(self._inside) >= _MAX_REMEMBERED:
            self._inside.clear()
        self._inside[key] = (status.st_dev, status.st_ino)
        return status

    def _holds(self, resolved: str) -> bool:
        return Path(resolved).is_relative_to(os.path.realpath(self._root))

    def _files(self, folder: str, after: str = "") -> Iterator[tuple[str, _Found]]:
        """Yield the regular files below a folder of the root with their paths in it, in order.

        Those up to the path `after` are left out, except for a few.
        """
        for path, found in self._walk(folder, after):
            if _is_file(found) and is_key(path):
                yield path, found

    def _files_under(self, key: str) -> Iterator[tuple[str, _Found]]:
        """Yield the file of this key, or those below the folder of this key, with their keys."""
        status = self._status(key)
        if stat.S_ISREG(status.st_mode):
            yield key, _Found(status, self._real_path(self._root / key))
            return
        for path, found in self._files(key):
            if is_key(below := f"{key}/{path}"):
                yield below, found

    def _walk(self, folder: str, after: str = "") -> Iterator[tuple[str, _Found]]:
        """Yield everything below a folder, and the folder itself, by the paths in it.

        What is known by its name to come before the path `after` is left out.
        """
        path = self._root / folder
        return self._walk_below(str(path), "", self._real_path(path), frozenset(), after)

    def _walk_below(
        self,
        folder: str,
        prefix: str,
        real_path: str,
        above: frozenset[tuple[int, int]],
        after: str,
    ) -> Iterator[tuple[str, _Found]]:
        try:
            status = os.stat(folder)  # noqa: PTH116  (a Path would take as long as the rest)
            identity = (status.st_dev, status.st_ino)
            if identity in above:  # a link to a folder it lies in
                return
            names = _names_in_order(folder)
        except OSError as error:
            if above and error.errno in _GONE:  # removed meanwhile; its neighbours are still there
                return
            raise
        yield prefix, _Found(status, real_path)
        for name in names:
            is_before = prefix + name < after and not after.startswith(prefix + name)
            if is_before or not is_key(name.rstrip("/")):
                continue
            path = f"{folder}/{name}".rstrip("/")
            found = self._entry(path, f"{real_path}/{name}".strip("/"))
            if found is None:
                continue
            if stat.S_ISDIR(found.status.st_mode):
                yield from self._walk_below(
                    path, f"{prefix}{name.rstrip('/')}/", found.real_path, above | {identity}, after
                )
            elif _is_file(found):
                yield prefix + name.rstrip("/"), found

    def _entry(self, path: str, real_path: str) -> _Found | None:
        """Return the file or folder of a path, None for one that is gone or leads out of the root.

        `real_path` is that of one which is no link.
        """
        try:
            status = os.lstat(path)
            if not stat.S_ISLNK(status.st_mode):
                return _Found(status, real_path)
            if not self._holds(os.path.realpath(path)):
                return None
            return _Found(os.stat(path), self._real_path(path))  # noqa: PTH116
        except OSError as error:
            if error.errno in _GONE:  # removed meanwhile, or a link to nowhere
                return None
            raise

    def _real_path(self, path: Path | str) -> str:
        """Return where a path below the root leads to, relative to the root; "" for the root."""
        relative = os.path.relpath(os.path.realpath(path), os.path.realpath(self._root))
        return "" if relative == "." else relative

    def _check(self, artifact: ModelArtifact) -> None:
        try:
            now = self.describe(artifact.key)
        except TargetModelNotFoundError as error:
            raise changed(artifact.key) from error
        if (now.tag, now.is_folder) != (artifact.tag, artifact.is_folder):
            raise changed(artifact.key)

    def _fetch_folder(self, artifact: ModelArtifact) -> Iterator[ArtifactFile]:
        try:
            self._settle_folder(artifact)
            files = dict(self._files(artifact.key))
        except OSError as error:
            raise self._unreadable(error) from error
        for path in sorted(files):
            tag = content_tag(files[path].status)
            yield from self._fetch_file(f"{artifact.key}/{path}", path, tag)
        self._check(artifact)

    def _settle_folder(self, artifact: ModelArtifact) -> None:
        """Wait until nothing in a folder has changed for a while: its files come one by one."""
        statuses = (found.status for _, found in self._walk(artifact.key))
        wait_s = unsettled_s(statuses, SETTLE_UNSEEN_S)
        if wait_s > 0:
            time.sleep(wait_s)
            self._check(artifact)

    def _fetch_file(
        self, key: str, name: str, tag: str, *, has_location: bool = False
    ) -> Iterator[ArtifactFile]:
        with self._opened(key) as file:
            self._settle_file(file)
            size = self._checked_size(file, key, tag)
            location = self._location(file, key) if has_location else None
            yield ArtifactFile(name, size, self._stream(file, key, size), location)
            self._checked_size(file, key, tag)

    def _settle_file(self, file: BinaryIO) -> None:
        is_busy = is_open_for_writing(file.fileno())
        settle_s = SETTLE_UNSEEN_S if is_busy is None else SETTLE_S
        wait_s = SETTLE_S if is_busy else unsettled_s([os.fstat(file.fileno())], settle_s)
        if wait_s > 0:
            time.sleep(wait_s)

    @contextmanager
    def _opened(self, key: str) -> Iterator[BinaryIO]:
        try:
            file = open(self._root / key, "rb", buffering=0, opener=_open_without_waiting)  # noqa: SIM115
        except OSError as error:
            raise self._lost(key, error) from error
        with file:
            yield cast("BinaryIO", file)

    def _location(self, file: BinaryIO, key: str) -> Path:
        """Return the path of an open file without links: a link in it may be changed at any time.

        Raises:
            ArtifactChangedError: the key does not lead to this file any more.
        """
        path = os.path.realpath(self._root / key)
        try:
            is_same = os.path.samestat(os.stat(path), os.fstat(file.fileno()))  # noqa: PTH116
        except OSError as error:
            raise self._lost(key, error) from error
        if not is_same or not self._holds(path):
            raise changed(key)
        return Path(path)

    def _checked_size(self, file: BinaryIO, key: str, tag: str) -> int:
        """Return the size of an open file if it still is the version `tag`.

        After a rename over it, it is not: that changes its number of links.
        """
        if is_open_for_writing(file.fileno()):
            raise being_written(key)
        status = os.fstat(file.fileno())
        if content_tag(status) != tag:
            raise changed(key)
        return status.st_size

    def _stream(self, file: BinaryIO, key: str, size: int) -> BinaryIO:
        def read(wanted: int) -> bytes:
            try:
                return file.read(wanted)
            except OSError as error:
                raise self._lost(key, error) from error

        return sized_stream(read, size, changed(key))

    def _lost(self, key: str, error: OSError) -> DependencyError:
        is_gone = error.errno in _GONE or error.errno == errno.ESTALE
        if is_gone:
            return changed(key)
        return DependencyError(f"the model {key!r} cannot be read: {error.strerror}")

    def _unreadable(self, error: OSError) -> DependencyError:
        return DependencyError(
            f"the model repository {self._root.name!r} cannot be read: {error.strerror}"
        )


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file; one that was replaced by a named pipe would keep its reader waiting."""
    return os.open(path, flags | os.O_NONBLOCK)


def _is_file(found: _Found) -> bool:
    return stat.S_ISREG(found.status.st_mode)


def _names_in_order(folder: str) -> Iterator[str]:
    """Return the names in a folder in the order of keys; those of folders end with a slash.

    They are sorted in parts: to sort a million at once would keep all other threads waiting.
    """
    with os.scandir(folder) as entries:
        parts = list(iter(lambda: sorted(map(_name_in_keys, islice(entries, _SORTED_AT_ONCE))), []))
    return merge(*parts)


def _name_in_keys(entry: os.DirEntry[str]) -> str:
    try:
        return f"{entry.name}/" if entry.is_dir() else entry.name
    except OSError:  # a link that leads in a circle
        return entry.name


def _is_so_spelt(root: Path, key: str) -> bool:
    """Return whether the names of a key's folders and file are those that the disk lists.

    Some disks ignore upper and lower case, dots at the end, or take short names: there, many names
    open one file. Only on such a disk folders are listed here.
    """
    folder = root
    for name in key.split("/"):
        if _has_aliases(folder, name) and name not in os.listdir(folder):  # noqa: PTH208
            return False
        folder /= name
    return True


def _has_aliases(folder: Path, name: str) -> bool:
    for alias in {name.swapcase(), f"{name}."} - {name}:
        try:
            if (folder / alias).samefile(folder / name):
                return True
        except OSError:
            continue
    return False
