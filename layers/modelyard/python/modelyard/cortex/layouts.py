"""Find the versions in the folder of a Cortex model, and check its layout.

The layouts are those of Cortex v0.24. At start-up the check is strict, as in its deployment.
Later it is lenient: every version that is well-formed is served, even while another one is still
being uploaded.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from itertools import islice, takewhile

from modelyard.cortex.project import PredictorType

UNVERSIONED = "1"
"""The version number of a model without versions."""

_VERSION = re.compile("[0-9]{1,19}")
_LAST_VERSION = 2**63 - 1
_MOST_DRAWN = 50
_TREES = {
    PredictorType.PYTHON: ("<any files>",),
    PredictorType.TENSORFLOW: (
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ),
    PredictorType.ONNX: ("<one file>.onnx",),
}
_SHARD = "variables/variables.data-00000-of-"


def is_version(text: str) -> bool:
    """Tell whether a folder name is a version: ASCII digits whose number fits int64."""
    return _VERSION.fullmatch(text) is not None and int(text) <= _LAST_VERSION


def versions_in(paths: Iterable[str], predictor_type: PredictorType) -> dict[str, str]:
    """Return the versions that a model's folder can serve now, each with its relative folder.

    The newest comes first. Each version is checked alone: other files, other folders and malformed
    versions beside a good one do not matter. If no version is good, the whole folder (`""`) may be
    a model without versions.
    """
    files = frozenset(paths)
    fault = _FAULTS[predictor_type]
    served = {name: name for name, held in _versions(files).items() if fault(held) is None}
    return served or ({} if fault(files) else {UNVERSIONED: ""})


def newest_first(versions: Iterable[str]) -> list[str]:
    """Return the versions sorted by number, the highest first; `1` comes before `01`."""
    return sorted(versions, key=lambda version: (-int(version), len(version)))


def check_layout(paths: Iterable[str], predictor_type: PredictorType) -> str | None:
    """Return what is wrong with a model's folder, with the allowed trees and the one found.

    None means that Cortex would deploy the folder.
    """
    files = frozenset(paths)
    fault = _first_fault(files, predictor_type)
    if fault is None:
        return None
    tree = _TREES[predictor_type]
    drawings = {
        "allowed, without versions": _draw(tree),
        "allowed, with versions": _draw([f"<number>/{path}" for path in tree]),
        "found": _draw(files) or ["(nothing)"],
    }
    return "\n".join([fault, *_titled(drawings)])


def _first_fault(files: frozenset[str], predictor_type: PredictorType) -> str | None:
    fault = _FAULTS[predictor_type]
    versions = _versions(files)
    if not versions:
        return fault(files)
    others = sorted({path.partition("/")[0] for path in files if not _version_of(path)})
    if others:
        return f"version folders are mixed with something else: {', '.join(others[:_MOST_DRAWN])}"
    faults = ((name, fault(held)) for name, held in versions.items())
    return next((f"version {name}: {found}" for name, found in faults if found), None)


def _versions(files: frozenset[str]) -> dict[str, frozenset[str]]:
    """Return the files of each version folder, by paths relative to that folder."""
    versions: dict[str, set[str]] = {}
    for path in files:
        if version := _version_of(path):
            versions.setdefault(version, set()).add(path.removeprefix(f"{version}/"))
    return {version: frozenset(versions[version]) for version in newest_first(versions)}


def _version_of(path: str) -> str | None:
    folder, slash, _ = path.partition("/")
    return folder if slash and is_version(folder) else None


def _python_fault(files: frozenset[str]) -> str | None:
    return None if files else "there are no files"


def _tensorflow_fault(files: frozenset[str]) -> str | None:
    missing = sorted({"saved_model.pb", "variables/variables.index"} - files)
    if not any(path.startswith(_SHARD) for path in files):
        missing.append(f"{_SHARD}*")
    return f"no SavedModel without {', '.join(missing)}" if missing else None


def _onnx_fault(files: frozenset[str]) -> str | None:
    if len(files) != 1:
        return f"an ONNX model is exactly one file, not {len(files)}"
    [path] = files
    is_model = path.endswith(".onnx") and "/" not in path
    return None if is_model else "an ONNX model is one file whose name ends in .onnx"


_FAULTS: Mapping[PredictorType, Callable[[frozenset[str]], str | None]] = {
    PredictorType.PYTHON: _python_fault,
    PredictorType.TENSORFLOW: _tensorflow_fault,
    PredictorType.ONNX: _onnx_fault,
}


def _draw(paths: Collection[str]) -> list[str]:
    """Return a drawing of the first paths as a tree, one line per file and folder."""
    lines: list[str] = []
    above: list[str] = []
    for parts in islice(sorted(path.split("/") for path in paths), _MOST_DRAWN):
        pairs = zip(parts[:-1], above, strict=False)
        shared = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
        above = parts[:-1]
        lines += ["  " * depth + f"{above[depth]}/" for depth in range(shared, len(above))]
        lines.append("  " * len(above) + parts[-1])
    hidden = len(paths) - _MOST_DRAWN
    return [*lines, f"... and {hidden} more files"] if hidden > 0 else lines


def _titled(drawings: Mapping[str, Iterable[str]]) -> Iterable[str]:
    for title, lines in drawings.items():
        yield f"{title}:"
        yield from (f"  {line}" for line in lines)
