"""Files in the shared tree whose names say which process uses what, and whether it still does.

A mark is an empty file `<subject>@<owner>.<id>`: a lease, or the announcement of an eviction.
"""

import contextlib
import functools
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelyard.inference.disk.ownership import Owner

_SERIES_CHARACTERS = 6


class Names:
    """Makes unique names that say which process made them, and tells which ones are abandoned.

    A name is abandoned when its process has ended, or when this process dropped it but could not
    remove the file. Safe to share between threads.
    """

    def __init__(self, machine: str, ttl_s: float, now: Callable[[], float]) -> None:
        """`now` returns the time of the machine that has the disk: it sets the files' times.

        A file of another machine is abandoned when its time is more than `ttl_s` ago.
        """
        self._owner = Owner.current(machine)
        self._ttl_s = ttl_s
        self._now = now
        self._series = uuid.uuid4().hex[:_SERIES_CHARACTERS]
        self._in_use: set[str] = set()

    def new(self) -> str:
        """Return a unique name `<owner>.<id>`, in use until it is dropped."""
        name = f"{self._owner}.{self._series}{uuid.uuid4().hex[:12]}"
        self._in_use.add(name)
        return name

    def drop(self, name: str) -> None:
        """End the use of a name: a file that still has it is abandoned."""
        self._in_use.discard(name)

    def abandoned(self) -> Callable[[Path, str], bool]:
        """Return a predicate: has the file at this path, made under this name, been abandoned?

        The predicate reads the disk's clock at most once, and only for files of other machines.
        """
        now = functools.cache(self._now)

        def is_abandoned(path: Path, name: str) -> bool:
            owner = Owner.parse(name.partition(".")[0])
            if owner == self._owner:
                is_of_this_tree = name.partition(".")[2].startswith(self._series)
                return is_of_this_tree and name not in self._in_use
            if owner is not None and owner.host == self._owner.host:
                return owner.is_gone(self._owner)
            try:
                return now() - path.lstat().st_mtime > self._ttl_s
            except OSError:
                return False

        return is_abandoned


@dataclass(frozen=True, slots=True)
class Mark:
    """One file that says: this process uses the subject, or is about to remove it."""

    path: Path
    name: str
    names: Names

    def remove(self) -> None:
        """Remove the mark. One that the disk keeps is removed by the next sweep."""
        self.names.drop(self.name)
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


class Marks:
    """One folder of marks."""

    def __init__(self, folder: Path, names: Names) -> None:
        self._folder = folder
        self._names = names

    def make(self, subject: str) -> Mark:
        """Mark a subject and return the mark."""
        name = self._names.new()
        mark = Mark(self._folder / f"{subject}@{name}", name, self._names)
        try:
            mark.path.touch(exist_ok=False)
        except OSError:
            mark.remove()
            raise
        return mark

    def subjects(self) -> set[str]:
        """Return the subjects that running processes have marked; remove abandoned marks."""
        subjects = set()
        is_abandoned = self._names.abandoned()
        for item in names_in(self._folder):
            subject, _, name = item.partition("@")
            if not is_abandoned(self._folder / item, name):
                subjects.add(subject)
            else:
                with contextlib.suppress(OSError):
                    (self._folder / item).unlink(missing_ok=True)
        return subjects


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder now. Listing it makes NFS clients refresh what they cache."""
    with os.scandir(folder) as found:
        return [item.name for item in found]
