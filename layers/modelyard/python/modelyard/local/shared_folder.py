"""The folder of a server's sockets and shared files: made anew when somebody deletes it.

Programs that clean up folders for temporary files may delete what is in use.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path


class SharedFolder:
    """Keeps files open that all processes of a server map, so that they outlive their deletion."""

    def __init__(self, folder: Path, mapped: Sequence[Path]) -> None:
        """`mapped` are files in the folder; processes that start later must map the same memory."""
        self._folder = folder
        self._mapped = {path: os.open(path, os.O_RDWR | os.O_CLOEXEC) for path in mapped}

    @property
    def is_whole(self) -> bool:
        """Whether the files that are mapped are there."""
        return all(path.exists() for path in self._mapped)

    def restore(self) -> None:
        """Make the folder anew, with links to the open files in place of those that are gone.

        Raises:
            OSError: it cannot be made, or the one that is there belongs to somebody else.
        """
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        status = self._folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError(f"{self._folder} belongs to another user")
        for path, descriptor in self._mapped.items():
            if not path.exists():
                path.unlink(missing_ok=True)
                path.symlink_to(f"/proc/{os.getpid()}/fd/{descriptor}")  # on Linux it can be opened

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._mapped.values():
            os.close(descriptor)
