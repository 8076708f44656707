"""What a cache tree must be like after anything at all, read from outside."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson

from tests.faults.versions import Ledger, read_files

ROOMS = ("entries", "staging", "reserved", "leases", "claims", "evictions")
LINKS = "links"


def bytes_on_disk(tree: Path) -> int:
    """Return what the tree takes on the disk, published or not, with its folders."""
    return sum(_size(path) for path in tree.rglob("*"))


def entries(tree: Path) -> int:
    """Return how many entries are published."""
    return len(list(_children(tree / "entries")))


def wrong_entries(tree: Path, ledger: Ledger, planted: frozenset[str]) -> Iterator[str]:
    """Yield what is wrong with each published entry but those that were damaged on purpose."""
    for entry in _children(tree / "entries"):
        if entry.name not in planted and (problem := _problem(entry, ledger)):
            yield f"{entry.name}: {problem}"


def _problem(entry: Path, ledger: Ledger) -> str:
    try:
        manifest = orjson.loads((entry / "manifest.json").read_bytes())
        key, tag = manifest["key"], manifest["tag"]
    except (OSError, ValueError, TypeError) as error:
        return f"no manifest ({error!r})"
    found = read_files(entry / "model")
    whole = {path: content for path, content in found.items() if content is not None}
    if whole != found:
        return f"of {key}, {found} are not whole"
    if {content.key for content in whole.values()} != {key}:
        return f"of {key} holds {whole}"
    if ledger.tag(key, whole) != tag:
        return f"of {key} in version {tag} holds {whole}"
    return ""


def orphans(tree: Path) -> list[str]:
    """Return what is there besides entries. Empty folders for links are kept for later ones."""
    found = [f"{room}/{path.name}" for room in ROOMS[1:] for path in _children(tree / room)]
    return [*found, *(path.as_posix() for path in tree.glob(f"{LINKS}/*/*"))]


def plant_damage(tree: Path, but: frozenset[str] = frozenset()) -> frozenset[str]:
    """Leave entries as a power failure might: half written, without a manifest, or with half of it.

    `but` are damaged already. Returns the names of the others.
    """
    victims = sorted(path for path in _children(tree / "entries") if path.name not in but)[:6]
    for number, entry in enumerate(victims):
        files = sorted(path for path in (entry / "model").rglob("*") if path.is_file())
        match number % 6:
            case 0:
                (entry / "manifest.json").unlink()
            case 1:
                _cut(entry / "manifest.json")
            case 2:
                _cut(files[0])
            case 3:
                files[-1].unlink()
            case 4:
                shutil.rmtree(entry / "model")
            case 5:
                (entry / "manifest.json").write_bytes(b"null")
    return frozenset(entry.name for entry in victims)


def plant_debris(tree: Path, owner: str) -> None:
    """Leave what a killed process of this owner would."""
    half = tree / "staging" / f"{owner}.0123456789ab"
    (half / "model").mkdir(parents=True)
    (half / "model" / "half").write_bytes(b"half")
    (tree / "reserved" / f"{owner}.0123456789ab.4096").touch()
    (tree / "leases" / f"{'0' * 40}@{owner}.0123456789ac").touch()
    (tree / "claims" / ("1" * 40)).symlink_to(owner)
    (tree / "evictions" / f"{'2' * 40}@{owner}.0123456789ad").touch()


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()  # it may be a link to the model of a user
    path.write_bytes(data[: len(data) // 2])


def _children(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())


def _size(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except FileNotFoundError:
        return 0
