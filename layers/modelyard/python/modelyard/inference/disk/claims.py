"""Who is staging what: saves duplicate work, and nothing depends on it."""

import contextlib
import os
from pathlib import Path

from modelyard.inference.disk.marks import Names, names_in


class Claims:
    """One folder of claims; each is a link to its owner's name, made whole in one atomic step."""

    def __init__(self, folder: Path, names: Names) -> None:
        self._folder = folder
        self._names = names

    def take(self, subject: str) -> bool:
        """Return whether the caller has the claim now; False while a living other has it."""
        for _ in range(2):
            with contextlib.suppress(FileExistsError):
                self._link(self._folder / subject)
                return True
            if not self._remove_dead(self._folder / subject):
                return False
        return False

    def give_up(self, subject: str) -> None:
        """Give up a claim that was taken; a disk that refuses leaves it to the next sweep."""
        path = self._folder / subject
        with contextlib.suppress(OSError):
            self._names.drop(os.fspath(path.readlink()))
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the claims of the dead."""
        for subject in names_in(self._folder):
            self._remove_dead(self._folder / subject)

    def _link(self, path: Path) -> None:
        name = self._names.new()
        try:
            path.symlink_to(name)
        except OSError:
            self._names.drop(name)
            raise

    def _remove_dead(self, path: Path) -> bool:
        """Return whether the claim may be taken now."""
        try:
            name = os.fspath(path.readlink())
        except FileNotFoundError:
            return True
        if not self._names.look()(path, name):
            return False
        path.unlink(missing_ok=True)
        return True
