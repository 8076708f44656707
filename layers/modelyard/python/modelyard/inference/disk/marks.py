"""Names in the shared tree that say who does what, and which of them nobody means any more.

A mark is an empty file `<subject>@<owner>.<id>`: a lease, or the announcement of an eviction.
"""

import contextlib
import functools
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from modelyard.inference.disk.ownership import Owner

_SERIES_CHARACTERS = 6


class Names:
    """Makes the names of one tree in this process, and judges the names of all.

    What this process has dropped but could not remove counts as abandoned, too.
    """

    def __init__(self, machine: str, ttl_s: float, now: Callable[[], float]) -> None:
        """`now` is the time of the machine the disk belongs to, whose times the files have."""
        self._owner = Owner.current(machine)
        self._ttl_s = ttl_s
        self._now = now
        self._series = uuid.uuid4().hex[:_SERIES_CHARACTERS]
        self._in_use: set[str] = set()

    def new(self) -> str:
        """Return a name nobody else has, in use until it is dropped."""
        name = f"{self._owner}.{self._series}{uuid.uuid4().hex[:12]}"
        self._in_use.add(name)
        return name

    def drop(self, name: str) -> None:
        """Say that a name is not in use any more."""
        self._in_use.discard(name)

    def look(self) -> Callable[[Path, str], bool]:
        """Return what tells whether nobody means the thing at a path, which a name made.

        It reads the disk's clock at first need, and once.
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
    """One announcement."""

    path: Path
    name: str
    names: Names

    def withdraw(self) -> None:
        """End it; a disk that refuses leaves it to the next sweep."""
        self.names.drop(self.name)
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


class Marks:
    """One folder of marks."""

    def __init__(self, folder: Path, names: Names) -> None:
        self._folder = folder
        self._names = names

    def make(self, subject: str) -> Mark:
        """Announce something about a subject."""
        name = self._names.new()
        mark = Mark(self._folder / f"{subject}@{name}", name, self._names)
        try:
            mark.path.touch(exist_ok=False)
        except OSError:
            mark.withdraw()
            raise
        return mark

    def subjects(self) -> set[str]:
        """Return what living processes speak of; removes the marks of the dead."""
        return set(self._living())

    def _living(self) -> Iterator[str]:
        is_abandoned = self._names.look()
        for item in names_in(self._folder):
            subject, _, name = item.partition("@")
            if not is_abandoned(self._folder / item, name):
                yield subject
            else:
                with contextlib.suppress(OSError):
                    (self._folder / item).unlink(missing_ok=True)


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder now: to list it makes NFS clients look again."""
    with os.scandir(folder) as found:
        return [item.name for item in found]
