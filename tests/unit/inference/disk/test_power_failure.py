"""What a power failure leaves of an entry is never served: its files are verified once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.inference.disk import entry as entries
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.disk.entry import MANIFEST, VERIFIED, Manifest
from modelyard.inference.disk.ownership import UNKNOWN_BOOT
from modelyard.inference.disk.tree import CacheTree
from tests.fakes.clock import FakeClock
from tests.fakes.memory_repository import MemoryRepository

FILES = {"a": b"1234" * 3000, "variables/b": b"5678" * 3000}


class Machine:
    """A cache on a disk that outlives the starts of the machine."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.repository = MemoryRepository({f"net/{name}": FILES[name] for name in FILES})
        self._root = root
        self._monkeypatch = monkeypatch
        self.start_again("first")

    def start_again(self, boot: str) -> None:
        for module in ("entry", "staging", "ownership"):
            self._monkeypatch.setattr(f"modelyard.inference.disk.{module}.boot", lambda: boot)
        self.cache = ArtifactCache(CacheTree(self._root, 1 << 30, machine="m"), FakeClock())

    def stage(self) -> dict[str, bytes]:
        artifact = self.repository.describe("net")
        lease = self.cache.ensure_staged(artifact, self.repository)
        try:
            return {name: (lease.model_dir / name).read_bytes() for name in FILES}
        finally:
            lease.release()

    @property
    def entry(self) -> Path:
        (entry,) = (self._root / "entries").iterdir()
        return entry


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path, monkeypatch)
    machine.stage()
    return machine


def zeros_from(start: int, path: str) -> Callable[[Path], None]:
    def damage(entry: Path) -> None:
        content = (entry / path).read_bytes()
        (entry / path).write_bytes(content[:start] + bytes(len(content) - start))

    return damage


def swapped(entry: Path) -> None:
    first, second = entry / "model" / "a", entry / "model" / "variables" / "b"
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


def renamed(entry: Path) -> None:
    (entry / "model" / "variables" / "b").rename(entry / "model" / "variables" / "c")


DAMAGES = {
    "a file of zeros": zeros_from(0, "model/a"),
    "the last block is zeros": zeros_from(8192, "model/variables/b"),
    "one byte": zeros_from(11_999, "model/a"),
    "other contents": swapped,
    "other names": renamed,
    "a manifest of zeros": zeros_from(0, MANIFEST),
    "half a manifest": zeros_from(40, MANIFEST),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_entry_is_staged_again(machine: Machine, damage: Callable[[Path], None]) -> None:
    damage(machine.entry)
    machine.start_again("second")

    assert machine.stage() == FILES
    assert machine.repository.fetched == ["net", "net"]


@pytest.mark.parametrize("boot", ["second", UNKNOWN_BOOT])
def test_whole_entry_is_used_after_another_start(machine: Machine, boot: str) -> None:
    machine.start_again(boot)

    assert machine.stage() == FILES
    assert machine.repository.fetched == ["net"]


def test_files_are_verified_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[Path] = []
    digest = entries.content_digest
    monkeypatch.setattr(
        entries, "content_digest", lambda folder: verified.append(folder) or digest(folder)
    )
    machine.stage()
    assert verified == []  # nothing was lost since they were written

    for boot in ("second", "second", "third"):
        machine.start_again(boot)
        machine.stage()

    assert len(verified) == 1


def test_a_machine_that_does_not_know_its_starts_verifies_each_time(machine: Machine) -> None:
    """Else it would trust what is in memory now, and was never written."""
    machine.start_again(UNKNOWN_BOOT)
    machine.stage()

    assert not (machine.entry / VERIFIED).exists()
    DAMAGES["one byte"](machine.entry)
    assert machine.stage() == FILES


def test_entry_of_an_older_version_is_used(machine: Machine) -> None:
    """It flushed each file to the disk, and wrote neither boot nor hash."""
    manifest = Manifest.read(machine.entry)
    assert manifest is not None
    known = manifest.to_json().replace(f'"{manifest.content}"'.encode(), b'""')
    (machine.entry / MANIFEST).write_bytes(known.replace(b'"first"', b'""'))
    machine.start_again("second")

    assert machine.stage() == FILES
    assert machine.repository.fetched == ["net"]
