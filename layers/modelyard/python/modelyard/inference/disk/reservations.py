"""What the staging directories may weigh, said by the names of empty files: `<name>.<bytes>`."""

from pathlib import Path

from modelyard.inference.disk.marks import Names, names_in


class Reservations:
    """One folder of reservations; the size is in the name, because NFS clients see those first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, name: str, reserved_bytes: int) -> Path:
        """Announce that the staging directory of this name may weigh so much."""
        path = self._folder / f"{name}.{reserved_bytes}"
        path.touch()
        return path

    def bytes_by_name(self) -> dict[str, int]:
        """Return the bytes of every staging directory; one that grows is announced twice."""
        found: dict[str, int] = {}
        for reservation in names_in(self._folder):
            name, _, size = reservation.rpartition(".")
            found[name] = max(found.get(name, 0), int(size) if size.isdecimal() else 0)
        return found

    def sweep(self, staged: set[str], names: Names) -> None:
        """Remove what nobody means any more and no staging directory needs."""
        is_abandoned = names.look()
        for reservation in names_in(self._folder):
            path, name = self._folder / reservation, reservation.rpartition(".")[0]
            if name not in staged and is_abandoned(path, name):
                path.unlink(missing_ok=True)
