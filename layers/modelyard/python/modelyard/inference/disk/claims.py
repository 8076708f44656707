"""Which process stages which artifact. This avoids duplicate work; correctness does not need it."""

import contextlib
import os
from pathlib import Path

from modelyard.inference.disk.marks import Names, names_in


class Claims:
    """One folder of claims: symbolic links to their owners' names, each made in one atomic step."""

    def __init__(self, folder: Path, names: Names) -> None:
        self._folder = folder
        self._names = names

    def take(self, subject: str) -> bool:
        """Claim a subject. Returns False while another running process has the claim."""
        for _ in range(2):
            with contextlib.suppress(FileExistsError):
                self._link(self._folder / subject)
                return True
            if not self._remove_abandoned(self._folder / subject):
                return False
        return False

    def give_up(self, subject: str) -> None:
        """End a claim that was taken. A link that the disk keeps is removed by the next sweep."""
        path = self._folder / subject
        with contextlib.suppress(OSError):
            self._names.drop(os.fspath(path.readlink()))
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the claims of processes that have ended."""
        for subject in names_in(self._folder):
            self._remove_abandoned(self._folder / subject)

    def _link(self, path: Path) -> None:
        name = self._names.new()
        try:
            path.symlink_to(name)
        except OSError:
            self._names.drop(name)
            raise

    def _remove_abandoned(self, path: Path) -> bool:
        """Remove an abandoned claim. Returns whether the claim can be taken now."""
        try:
            name = os.fspath(path.readlink())
        except FileNotFoundError:
            return True
        if not self._names.abandoned()(path, name):
            return False
        path.unlink(missing_ok=True)
        return True
