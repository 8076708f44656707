"""How many bytes each staging folder may take, in the names of empty files: `<name>.<bytes>`."""

from pathlib import Path

from modelyard.inference.disk.marks import Names, names_in


class Reservations:
    """One folder of reservations. The size is in the name: NFS clients see names before content."""

    def __init__(self, folder: Path, names: Names) -> None:
        self._folder = folder
        self._names = names

    def make(self, name: str, reserved_bytes: int) -> Path:
        """Reserve bytes for the staging folder of this name; return the reservation's file."""
        path = self._folder / f"{name}.{reserved_bytes}"
        path.touch()
        return path

    def bytes_by_name(self) -> dict[str, int]:
        """Return the reserved bytes of every staging folder.

        A folder that is being enlarged has two reservations: the larger one counts.
        """
        found: dict[str, int] = {}
        for reservation in names_in(self._folder):
            name, _, size = reservation.rpartition(".")
            found[name] = max(found.get(name, 0), int(size) if size.isdecimal() else 0)
        return found

    def sweep(self, staged: set[str]) -> None:
        """Remove abandoned reservations whose staging folder is not among `staged`."""
        is_abandoned = self._names.abandoned()
        for reservation in names_in(self._folder):
            path, name = self._folder / reservation, reservation.rpartition(".")[0]
            if name not in staged and is_abandoned(path, name):
                path.unlink(missing_ok=True)
