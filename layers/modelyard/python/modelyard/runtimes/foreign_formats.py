"""Recognise artifacts of formats that are not served, for the message of a refusal.

No framework is imported and nothing is unpickled.
"""

from pathlib import Path

from modelyard.domain import model_files
from modelyard.domain.foreign_formats import BY_SUFFIX, FORMATS, ForeignFormat

_HEAD_BYTES = 512


def refusal(path: Path) -> str | None:
    """Return what a file is and what to do instead, as a clause; None if it seems no such model."""
    found = _found(path)
    return None if found is None else f"{path.name} seems to be {found.what}: {found.instead}"


def _found(path: Path) -> ForeignFormat | None:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    by_content = next((known for known in FORMATS if known.head.match(head)), None)
    return by_content or BY_SUFFIX.get(model_files.suffix_of(path.name))
