"""Models whose every byte says which version it is, and a ledger of the versions there were.

A file begins with its key, its path in the artifact and its version; the rest follows from these.
So a reader of a file can tell whether it is whole, and which version it is.
"""

import hashlib
import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from modelyard.repositories.artifact_files import folder_tag
from modelyard.repositories.settling import content_tag
from tests.models import archives

FOLDER, ARCHIVE, FILE = "net", ".tar.gz", ".bin"
KEYS = ("a.bin", "b.bin", "c/c.bin", "d-net", "e-net", "f.tar.gz", "g.tar.gz", "h.bin")
PARTS = ("1/weights", "index")
_SMALLEST, _LARGEST = 3_000, 30_000
_WRITTEN_WITHIN_S = 1.0
"""A reader may find a file before its publisher has written the tag down."""


@dataclass(frozen=True, slots=True)
class Content:
    """What one file says it is."""

    key: str
    path: str
    version: int

    def render(self) -> bytes:
        head = f"{self.key}\0{self.path}\0{self.version}\n"
        dice = random.Random(head)
        return head.encode() + dice.randbytes(dice.randrange(_SMALLEST, _LARGEST))

    @classmethod
    def read(cls, data: bytes) -> "Content | None":
        """Return what the file says it is, or None when it is not all of that."""
        try:
            key, path, version = data.partition(b"\n")[0].decode().split("\0")
            content = cls(key, path, int(version))
        except ValueError:
            return None
        return content if content.render() == data else None


def objects_of(key: str, version: int) -> dict[str, bytes]:
    """Return the objects of one version of a model, by their keys in the repository."""
    parts = {path: Content(key, path, version).render() for path in PARTS}
    if key.endswith(FOLDER):
        return {f"{key}/{path}": body for path, body in parts.items()}
    if key.endswith(ARCHIVE):
        return {key: archives.tar_gz_of(parts)}
    return {key: Content(key, key.rpartition("/")[2], version).render()}


class Ledger:
    """Which tag each object had in each version; one writer, many readers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tags: dict[tuple[str, int], str] = {}
        self._read_to = 0

    def write(self, key: str, version: int, tag: str) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps([key, version, tag]) + "\n")

    def tag(self, key: str, files: Mapping[str, Content]) -> str | None:
        """Return the tag of the version that holds just these files, or None if there was none."""
        versions = {content.version for content in files.values()}
        if key.endswith(FOLDER):
            tags = [(path, self._tag(f"{key}/{path}", c.version)) for path, c in files.items()]
            is_known = {*files} == {*PARTS} and all(tag for _, tag in tags)
            return folder_tag((path, str(tag)) for path, tag in tags) if is_known else None
        expected = {*PARTS} if key.endswith(ARCHIVE) else {key.rpartition("/")[2]}
        if {*files} != expected or len(versions) != 1:
            return None
        return self._tag(key, versions.pop())

    def _tag(self, key: str, version: int) -> str | None:
        give_up_at = time.monotonic() + _WRITTEN_WITHIN_S
        while (key, version) not in self._tags and time.monotonic() < give_up_at:
            self._read()
        return self._tags.get((key, version))

    def _read(self) -> None:
        with self._path.open() as file:
            file.seek(self._read_to)
            for line in iter(file.readline, ""):
                key, version, tag = json.loads(line)
                self._tags[key, version] = tag
            self._read_to = file.tell()


class Publisher(Protocol):
    """Where versions are published, and what they are called there."""

    def put(self, key: str, version: int, body: bytes) -> None: ...


class DirectoryPublisher:
    """A folder whose objects are replaced by rename, which is what gives them their tags."""

    def __init__(self, root: Path, ledger: Ledger) -> None:
        self._root = root
        self._ledger = ledger
        self._drafts = root.with_name(root.name + ".drafts")
        for folder in (root, self._drafts):
            folder.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, version: int, body: bytes) -> None:
        draft = self._drafts / "draft"
        draft.write_bytes(body)
        target = self._root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.replace(target)
        self._ledger.write(key, version, content_tag(target.stat()))


class S3Publisher:
    """A prefix of a bucket; an object's tag there is the hash of its content."""

    def __init__(self, client: Any, bucket: str, prefix: str, ledger: Ledger) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._ledger = ledger

    def put(self, key: str, version: int, body: bytes) -> None:
        tag = hashlib.md5(body).hexdigest()
        in_folder = key.partition("/")[0].endswith(FOLDER)
        self._ledger.write(key, version, f'"{tag}"{len(body)}' if in_folder else tag)
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=body)


class Source:
    """All models of a repository, each in its newest version."""

    def __init__(self, publisher: Publisher, dice: random.Random) -> None:
        self._publisher = publisher
        self._dice = dice
        self.versions = dict.fromkeys(KEYS, 0)

    def publish(self, keys: Iterator[str] | tuple[str, ...] = KEYS) -> None:
        for key in keys:
            self.versions[key] += 1
            for name, body in objects_of(key, self.versions[key]).items():
                self._publisher.put(name, self.versions[key], body)

    def replace_one(self) -> None:
        self.publish((self._dice.choice(KEYS),))


def read_files(model_dir: Path) -> dict[str, Content | None]:
    """Return what each file below a folder says it is, by its path."""
    files = (path for path in model_dir.rglob("*") if path.is_file())
    return {
        path.relative_to(model_dir).as_posix(): Content.read(path.read_bytes()) for path in files
    }
