"""Model files of a local folder that are loaded from where they are, and not copied."""

import shutil
from pathlib import Path

from modelyard.inference.disk.entry import Manifest, touch
from modelyard.inference.disk.marks import Names, names_in


class Links:
    """One folder of links to model files: `<owner>.<id>/<name of the model>`.

    Each is in a folder of its own, because a runtime looks for the one model of a folder.
    """

    def __init__(self, folder: Path, names: Names) -> None:
        self._folder = folder
        self._names = names
        self._free: list[Path] = []
        """Empty folders, which are used again: to remove one takes milliseconds on many disks."""

    def make(self, name: str, file: Path) -> Path:
        """Return a folder with nothing but a link of this name to a file."""
        folder = self._free_folder()
        try:
            folder.mkdir(exist_ok=True)
            (folder / name).symlink_to(file)
        except OSError:
            self._drop(folder)
            raise
        return folder

    def remove(self, folder: Path) -> None:
        """Remove the link in a folder that was made. What the disk keeps, a sweep removes."""
        try:
            for path in folder.iterdir():
                path.unlink()
        except OSError:
            self._drop(folder)
        else:
            self._free.append(folder)

    def _free_folder(self) -> Path:
        try:
            return self._free.pop()
        except IndexError:
            return self._folder / self._names.new()

    def _drop(self, folder: Path) -> None:
        self._names.drop(folder.name)
        shutil.rmtree(folder, ignore_errors=True)

    def sweep(self) -> None:
        """Remove the folders of processes that have ended."""
        is_abandoned = self._names.abandoned()
        for name in names_in(self._folder):
            if is_abandoned(self._folder / name, name):
                shutil.rmtree(self._folder / name, ignore_errors=True)

    def count(self) -> int:
        """Return how many folders there are."""
        return len(names_in(self._folder))


class LinkedFile:
    """The file of an artifact where it is in the repository."""

    may_change = True

    def __init__(self, model_dir: Path, manifest: Manifest, links: Links) -> None:
        self.model_dir = model_dir
        self.manifest = manifest
        self._links = links
        self._is_held = True

    def touch(self) -> bool:
        """Show other machines that the link is in use. Returns whether it is there."""
        return touch(self.model_dir)

    def release(self) -> None:
        """Remove the link. This may be called again."""
        if self._is_held:
            self._is_held = False
            self._links.remove(self.model_dir)
