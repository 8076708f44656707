"""Refuse XGBoost files that the installed XGBoost cannot read or would read silently wrong.

Damaged files stop here too, where possible: some make the native reader end the process.
"""

import re
from functools import cache
from importlib import metadata
from pathlib import Path

from modelyard.domain.errors import ArtifactInvalidError, ModelLoadError
from modelyard.runtimes.model_format import PICKLES, FileEdges, Format, Version

_DEEPEST = 1000
_TEXTS = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")

# The format that each extension stands for: XGBoost's loader does not look at the content.
_BY_EXTENSION = {".json": Format.XGBOOST_JSON, ".ubj": Format.XGBOOST_UBJ}
# These are checked when they are read: their edges tell nothing.
_CHECKED_LATER = (Format.XGBOOST_LEGACY, *PICKLES)
_SUFFIX = {kind: suffix for suffix, kind in _BY_EXTENSION.items()}


def check(path: Path, found: FileEdges) -> None:
    """Return if this is a model the installed XGBoost reads right, as far as its edges tell.

    Raises:
        ArtifactInvalidError: the content contradicts the extension.
        ModelLoadError: damaged, or written by a newer XGBoost.
    """
    if found.format in _SUFFIX:
        _check_extension(path, found.format)
        check_version(path.name, found.xgboost_version())
        if found.format is Format.XGBOOST_JSON:
            _check_depth(path)
    elif found.format not in _CHECKED_LATER:
        state = "not an XGBoost model" if found.head else "empty"
        raise ModelLoadError(f"{path.name} is {state}: expected is what its save_model writes")


@cache
def installed_version() -> Version | None:
    """Return the (major, minor) of the installed XGBoost without importing it; None without one."""
    for distribution in ("xgboost", "xgboost-cpu"):
        try:
            major, minor, *_ = metadata.version(distribution).split(".")
        except metadata.PackageNotFoundError:
            continue
        return int(major), int(minor)
    return None


def _check_extension(path: Path, found: Format) -> None:
    if _BY_EXTENSION.get(path.suffix, found) is not found:
        raise ArtifactInvalidError(
            f"{path.name} contains {found}: rename it to {path.stem}{_SUFFIX[found]}"
        )


def _check_depth(path: Path) -> None:
    """Refuse what would overflow the stack of the native reader, which recurses."""
    depth = 0
    for bracket in _TEXTS.sub(b"", path.read_bytes()).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > _DEEPEST:
            raise ModelLoadError(f"{path.name} is no XGBoost model: it is nested too deeply")


def check_version(name: str, written_by: Version | None) -> None:
    """Return if the installed XGBoost reads what this version wrote; None means damaged.

    Raises:
        ModelLoadError: it does not.
    """
    if written_by is None:
        raise ModelLoadError(f"{name} is incomplete: the XGBoost version at its end is missing")
    installed = installed_version()
    if installed and written_by > installed:
        raise ModelLoadError(
            f"{name} was written by XGBoost {_text(written_by)}, newer than the installed "
            f"{_text(installed)}, which could read it wrong: re-save it with XGBoost "
            f"{_text(installed)} or install {_text(written_by)}"
        )


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
