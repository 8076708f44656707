"""Estimate the memory that models need from the sizes of their files.

Each factor was measured in a fresh process (Linux, Python 3.11, 2026): resident and peak
memory around the load of models from 1 kB to 110 MB, divided by the file's size.
"""

import ctypes
import zipfile
from dataclasses import dataclass
from pathlib import Path

from modelyard.domain import model_files
from modelyard.domain.errors import ArtifactInvalidError
from modelyard.runtimes.model_format import PICKLES, Format

# A model of a few hundred bytes: an ONNX session 110 kB, a booster 30 kB beyond its file.
FIXED_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class _Trees:
    """Memory of a model of trees for each byte of its file."""

    peak: float
    """While it is loaded: the file and its parsed trees are in memory, too."""
    kept: float


_TREES = {
    Format.XGBOOST_UBJ: _Trees(4.0, 1.6),  # xgboost 3.2: 3.7 and 1.54 x a 9 MB model
    Format.XGBOOST_JSON: _Trees(13.0, 1.2),  # 12.4 and 1.12 x the same model's 15 MB
    Format.XGBOOST_LEGACY: _Trees(5.5, 1.6),  # 5.2 x a 22 MB file: with its UBJSON
    # A 6.8 MB model, LightGBM 4.7: peak 2.3 x with the check of its numbers, then 0.95 x.
    Format.LIGHTGBM: _Trees(3.0, 1.2),
    Format.CATBOOST: _Trees(3.5, 3.5),  # CatBoost 1.2: 2.9 x a 4.2 MB model
    # 3.7 x a 6.2 MB file, which is parsed before to see that it is complete.
    Format.CATBOOST_JSON: _Trees(4.0, 4.0),
}
_OTHER_TREES = {
    "xgboost": _Trees(7.5, 1.6),  # a pickle holds the legacy format or UBJSON, and is copied twice
    "lightgbm": _TREES[Format.LIGHTGBM],
    "catboost": _TREES[Format.CATBOOST],
}
"""Where the format of the file has no factors of its own."""

# A 52 MB multi-layer perceptron, onnxruntime 1.31, loaded by path: 1.02 x, peak 1.92 x.
_SESSION_PER_FILE_BYTE = 1.1
_SESSION_PEAK = 2.0

# A 110 MB random forest: 1.01 x, peak 2.0 x (joblib) and 3.0 x its uncompressed members (skops).
_JOBLIB_PEAK = 2.0
_SKOPS_PEAK = 3.0
# The same forest as compressed joblib: peak 7.1 x. Text compresses better, so with a margin.
_COMPRESSED_JOBLIB_PEAK = 12.0

# TensorFlow 2.21, resident memory after a first call, beyond the size of the variables' files:
# graphs of operations cost 50 to 71 x their saved_model.pb (0.6 to 2.3 MB: MobileNetV2,
# ResNet50, 200 dense layers), a constant of 40 MB in the graph 9 x.
_GRAPH_PER_FILE_BYTE = 75
_CONSTANTS_PER_FILE_BYTE = 10
_MOST_GRAPH_FILE_BYTES = 4 * 1024 * 1024
# A process of its own with TensorFlow 2.21, whose memory no other process shares: 550 MiB.
_TENSORFLOW_BYTES = 560 * 1024 * 1024

_WORTH_GIVING_BACK_BYTES = 16 * 1024**2
"""It takes some milliseconds, in which other threads may have to wait for memory."""
_LIBC = ctypes.CDLL(None)


@dataclass(slots=True)
class _Heap:
    """What this process has freed since memory was given back for the last time."""

    freed_bytes: int = 0


_heap = _Heap()

# Only the script knows how it uses its files: assume one copy as read and one in use.
_SCRIPT_PEAK = 2.0


def estimate(
    runtime: str, model_dir: Path, model_file: Path | None, kind: Format = Format.UNKNOWN
) -> int:
    """Return the peak memory of a load in bytes; `kind` is the format of the file.

    Raises:
        ArtifactInvalidError: a skops file is not a zip archive.
    """
    if runtime == "saved_model":
        return _saved_model_bytes(model_dir)
    if model_file is None:
        return FIXED_BYTES + int(_SCRIPT_PEAK * folder_bytes(model_dir))
    if runtime == "tensorflow":
        return _TENSORFLOW_BYTES + _saved_model_bytes(model_file.parent)
    if runtime in _OTHER_TREES:
        trees = _TREES.get(kind, _OTHER_TREES[runtime])
        return FIXED_BYTES + int(trees.peak * model_file.stat().st_size)
    if runtime in ("onnx", "huggingface"):
        is_alone = runtime == "onnx"  # Hugging Face's folders have it in several precisions
        weights = folder_bytes(model_file.parent) if is_alone else _with_data_bytes(model_file)
        return FIXED_BYTES + int(_SESSION_PEAK * weights)
    return FIXED_BYTES + _sklearn_peak(model_file, kind)


def give_back(freed_bytes: int) -> None:
    """Return what a load or a model has freed to the system, as soon as it is worth the time.

    glibc keeps freed memory in its arenas: without this, each ONNX model of 40 MB takes 73 MB, and
    a process that loads and unloads them, one after the other, stays two to three models larger.
    """
    _heap.freed_bytes += max(0, freed_bytes)
    if _heap.freed_bytes >= _WORTH_GIVING_BACK_BYTES and hasattr(_LIBC, "malloc_trim"):
        _heap.freed_bytes = 0
        _LIBC.malloc_trim(0)


def trees_bytes(runtime: str, model_file: Path, kind: Format) -> int:
    """Return the memory that a loaded XGBoost or LightGBM model keeps, in bytes."""
    trees = _TREES.get(kind, _OTHER_TREES[runtime])
    return FIXED_BYTES + int(trees.kept * model_file.stat().st_size)


def session_bytes(model_file: Path) -> int:
    """Return the memory that an ONNX session keeps, in bytes; weights may be in other files."""
    return FIXED_BYTES + int(_SESSION_PER_FILE_BYTE * folder_bytes(model_file.parent))


def _with_data_bytes(model_file: Path) -> int:
    """Return the size of an ONNX file and its weights, `model.onnx_data`, without other models."""
    parts = model_file.parent.glob(f"{model_file.name}*")
    return sum(path.stat().st_size for path in parts)


def _saved_model_bytes(model_dir: Path) -> int:
    """Return the memory that a SavedModel keeps after a first call; loading needs less."""
    graph_file = model_dir / "saved_model.pb"
    file_bytes = graph_file.stat().st_size if graph_file.is_file() else 0
    graph_bytes = min(file_bytes, _MOST_GRAPH_FILE_BYTES)
    return (
        FIXED_BYTES
        + folder_bytes(model_dir)
        + _GRAPH_PER_FILE_BYTE * graph_bytes
        + _CONSTANTS_PER_FILE_BYTE * (file_bytes - graph_bytes)
    )


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder in bytes, without hidden ones."""
    kept = [path for path in folder.iterdir() if not model_files.is_hidden(path.name)]
    return sum(folder_bytes(path) if path.is_dir() else path.stat().st_size for path in kept)


def _sklearn_peak(model_file: Path, kind: Format) -> int:
    if model_files.suffix_of(model_file.name) == ".skops":
        return int(_SKOPS_PEAK * _unzipped_bytes(model_file))
    factor = _JOBLIB_PEAK if kind in PICKLES else _COMPRESSED_JOBLIB_PEAK
    return int(factor * model_file.stat().st_size)


def _unzipped_bytes(path: Path) -> int:
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ArtifactInvalidError(f"{path.name} is not a skops file: it is no zip") from error
