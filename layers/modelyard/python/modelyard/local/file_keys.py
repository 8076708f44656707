"""API keys of a local server: a folder with one JSON file for each key."""

from collections.abc import Iterator
from pathlib import Path

from modelyard.domain.errors import ConfigurationError, DependencyError
from modelyard.domain.keys import is_key_id, parse_stored, render_stored
from modelyard.domain.values import StoredKey


class FileKeys:
    """`KeyStore` in a folder, whose files only their owner can read. It caches nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, key_id: str) -> StoredKey | None:
        """Return the key with this id, or None.

        Raises:
            DependencyError: the file exists but cannot be read.
        """
        try:
            return parse_stored(key_id, self._path(key_id).read_text())
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError, ConfigurationError) as error:
            raise DependencyError(f"the key {key_id} cannot be read") from error

    def add(self, stored: StoredKey) -> None:
        """Store the key.

        Raises:
            DependencyError: the folder cannot be written.
        """
        path = self._path(stored.key_id)
        partial = path.with_name(f".{path.name}.partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial.touch(mode=0o600)
            partial.write_text(render_stored(stored))
            partial.rename(path)
        except OSError as error:
            raise DependencyError(f"{path} cannot be written: {error.strerror}") from error

    def all(self) -> Iterator[StoredKey]:
        """Yield every key, ordered by id.

        Raises:
            DependencyError: one of them cannot be read.
        """
        for path in sorted(self._folder.glob("*.json")):
            if is_key_id(path.stem) and (stored := self.find(path.stem)):
                yield stored

    def delete(self, key_id: str) -> None:
        """Delete the key.

        Raises:
            ConfigurationError: no key has this id.
            DependencyError: the folder cannot be written.
        """
        try:
            self._path(key_id).unlink()
        except FileNotFoundError:
            raise ConfigurationError(f"no key has the id {key_id!r}") from None
        except OSError as error:
            raise DependencyError(f"the key {key_id} cannot be deleted") from error

    def _path(self, key_id: str) -> Path:
        if not is_key_id(key_id):
            raise ConfigurationError(f"no key has the id {key_id!r}")
        return self._folder / f"{key_id}.json"
