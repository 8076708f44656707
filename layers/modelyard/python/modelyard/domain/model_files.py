"""What the names of files mean, in model repositories and in artifacts: the one table of names.

A name can say that a file is a model, an archive, a companion of a model or hidden. Where it says
none of these, the content decides (`runtimes.model_format`). Names are compared without regard to
case, except for the XGBoost prefix and hidden names.
"""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum

SCRIPT = "code/inference.py"
"""The usual file of an artifact that is served by its own code."""


ARCHIVES = {
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".tar.bz2": "tar.bz2",
    ".tbz2": "tar.bz2",
    ".tbz": "tar.bz2",
    ".tar.xz": "tar.xz",
    ".txz": "tar.xz",
    ".tar.zst": "tar.zst",
    ".tzst": "tar.zst",
    ".tar": "tar",
    ".zip": "zip",
}
"""How a file with this suffix is packed, unless its first bytes tell another way."""
_ARCHIVE_SUFFIXES = tuple(ARCHIVES)

RUNTIMES = {
    ".ubj": "xgboost",
    ".bst": "xgboost",
    ".model": "xgboost",
    ".lgb": "lightgbm",
    ".lgbm": "lightgbm",
    ".cbm": "catboost",
    ".onnx": "onnx",
    ".keras": "tensorflow",
    ".h5": "tensorflow",
    ".skops": "sklearn",
    ".joblib": "sklearn",
    ".pkl": "sklearn",
    ".pickle": "sklearn",
}
"""Which runtime loads a model with this suffix, unless the content is of another one.

A pickle may hold an XGBoost booster, and `.model` may be LightGBM's.
"""

PICKLES = (".joblib", ".pkl", ".pickle")
_KERAS = (".keras", ".h5")
_COMPRESSED = (".gz", ".z", ".bz2", ".xz", ".lzma")
"""Suffixes that joblib's users put behind that of a pickle."""

_XGBOOST_MODEL = "xgboost-model"
"""What SageMaker's XGBoost training jobs call their model; some add a number to it."""

_TEXT_MODEL = re.compile(r"(?:model|(?:lightgbm|lgbm|lgb).*)\.txt", re.IGNORECASE)
"""Texts that are models about as often as they are not: the content decides."""

_NOTES = re.compile(
    r"(?:.*[-_. ])?"
    r"(?:readme|licen[cs]e|notice|note|changelog|change|todo|requirement|constraint|package|vocab|"
    r"merge|label|class|classe|feature|column|categorie|metric|param|log|output|summary|info|"
    r"description|version|stopword|data|train|test)"
    r"s?[-_. v]*\d*\.txt",
    re.IGNORECASE,
)
"""Texts that are notes or lists by their names; LightGBM's users call models any other name."""

_OFTEN_MODELS = (".json", "")
"""Suffixes of models and of other files alike: the content decides, as if the name had told."""

_NEVER_PACKED = frozenset(
    {
        *(".bin", ".cbm", ".h5", ".keras", ".npy", ".npz", ".ort", ".pt", ".pt2", ".pth"),
        *(".safetensors", ".tflite", ".xgb"),
    }
)
"""Suffixes of files that may be zip or gzip inside without being archives of a model."""

_COMPANIONS = frozenset(
    {
        *("added_tokens.json", "config.json", "generation_config.json", "manifest.json"),
        *("metadata.json", "modelyard.json", "preprocessor_config.json", "special_tokens_map.json"),
        *("tokenizer.json", "tokenizer_config.json", "vocab.json", "input_example.json"),
        *("serving_input_example.json", "mlmodel", "registered_model_meta"),
        *("readme", "license", "licence", "notice", "changelog", "makefile", "dockerfile"),
        *("_success", "checkpoint"),
    }
)
"""Files that tools write beside a model or a data set, in lower case."""

_COMPANION_SUFFIXES = frozenset(
    {
        # Text, data and pictures.
        *(".md", ".rst", ".html", ".pdf", ".png", ".jpg", ".jpeg", ".svg", ".log"),
        *(".csv", ".tsv", ".jsonl", ".parquet", ".avro", ".orc", ".feather", ".arrow"),
        # Settings and code.
        *(".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".xml", ".pbtxt", ".lock"),
        *(".py", ".pyc", ".ipynb", ".sh", ".sql", ".r"),
        # Parts of a model that other files need.
        *(".pb", ".index", ".data", ".onnx_data", ".proto"),
        # What editors, downloads and checksum tools leave.
        *(".bak", ".old", ".orig", ".tmp", ".part", ".swp", ".md5", ".sha256", ".sig", ".asc"),
    }
)

_MODEL_SUFFIXES = (*RUNTIMES, ".json")
OF_TEXT_MODELS = ("config.json", "tokenizer.json")
"""The files beside an ONNX model of Hugging Face that takes text."""
ONNX_FOLDER = "onnx"
_VERSIONED_MODEL = "model.onnx"
SAVED_MODEL = "saved_model.pb"
_MARKS = ("MLmodel", _XGBOOST_MODEL, SAVED_MODEL, "model.txt")


class Role(StrEnum):
    """What a file's name says that it is."""

    HIDDEN = "hidden"
    """Treated as if it did not exist: dotfiles, and the extra files that archivers write."""
    ARCHIVE = "archive"
    COMPANION = "companion"
    """Never a model by itself: descriptions, data, documents, parts of models."""
    MODEL = "model"
    """A model of the runtime that `runtime_of` names."""
    UNKNOWN = "unknown"
    """The content decides."""


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is treated as if it were not there.

    Those are dotfiles, macOS's resource forks (`__MACOSX`) and TorchServe's manifest (`MAR-INF`).
    """
    return name.startswith(".") or name in ("__MACOSX", "MAR-INF")


def role_of(name: str) -> Role:
    """Return what a file's name, without its folders, says that the file is."""
    if is_hidden(name):
        return Role.HIDDEN
    if packing_of(name) is not None:
        return Role.ARCHIVE
    if not name.startswith(_XGBOOST_MODEL) and _is_companion(name):
        return Role.COMPANION
    return Role.UNKNOWN if runtime_of(name) is None else Role.MODEL


def _is_companion(name: str) -> bool:
    is_text = suffix_of(name) == ".txt" and _NOTES.fullmatch(name) is not None
    return is_text or name.lower() in _COMPANIONS or suffix_of(name) in _COMPANION_SUFFIXES


def suffix_of(name: str) -> str:
    """Return the last suffix of a file's name in lower case, with its dot; empty without one."""
    stem, dot, suffix = name.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def packing_of(name: str) -> str | None:
    """Return how an archive of this name is packed, or None when the name is not an archive's."""
    lowered = name.lower()
    if not lowered.endswith(_ARCHIVE_SUFFIXES):  # most names; a listing asks for each
        return None
    return next(how for suffix, how in ARCHIVES.items() if lowered.endswith(suffix))


def runtime_of(name: str) -> str | None:
    """Return the runtime that the name of a model tells, or None when it tells none."""
    if name.startswith(_XGBOOST_MODEL):
        return "xgboost"
    return RUNTIMES.get(_model_suffix(name))


def _model_suffix(name: str) -> str:
    """Return the suffix of a model's name: of `a.joblib.gz` it is that of the pickle inside."""
    suffix = suffix_of(name)
    inner = suffix_of(name[: -len(suffix)]) if suffix in _COMPRESSED else ""
    return inner if inner in PICKLES else suffix


def is_pickle(name: str) -> bool:
    """Return whether the name is that of a pickle, which runs code when it is loaded."""
    return _model_suffix(name) in PICKLES


def may_run_code(name: str) -> bool:
    """Return whether the name says that loading the file may run code that it holds."""
    return is_pickle(name) or suffix_of(name) in _KERAS


def may_be_packed(name: str) -> bool:
    """Return whether a file that looks like an archive inside is to be taken for one.

    SageMaker's own samples call archives by names without a suffix.
    """
    suffix = _model_suffix(name)
    is_plain = suffix in _MODEL_SUFFIXES or suffix in (*_NEVER_PACKED, ".txt")
    return not is_plain and role_of(name) is not Role.COMPANION


def is_often_model(name: str) -> bool:
    """Return whether files of such names are models about as often as they are not."""
    is_often = suffix_of(name) in _OFTEN_MODELS or _TEXT_MODEL.fullmatch(name) is not None
    return is_often and role_of(name) is Role.UNKNOWN


def may_be_script(path: str) -> bool:
    """Return whether a path in an artifact is that of code in the folder for code."""
    folder, _, name = path.rpartition("/")
    return folder == "code" and suffix_of(name) == ".py"


def is_versioned_model(path: str) -> bool:
    """Return whether a path in a folder is that of one numbered version of an ONNX model."""
    version, _, name = path.partition("/")
    return version.isdecimal() and name == _VERSIONED_MODEL


def targets(keys: Iterable[str]) -> dict[str, list[str]]:
    """Return the models of a repository by the names that callers use, with the keys of each.

    `keys` are those of all its objects, relative to it. A folder that bears the marks of a model
    is one model with all that lies in it. Elsewhere every file is one that is not hidden and not
    a companion. What the files contain is not looked at.
    """
    visible = [key for key in keys if _is_visible(key)]
    folders = {folder for key in visible if (folder := _marked_folder(key)) is not None}
    folders |= _text_model_folders(visible)
    found: dict[str, list[str]] = {}
    for key in visible:
        folder = next((parent for parent in _parents(key) if parent in folders), None)
        if folder is not None or role_of(_base(key)) is not Role.COMPANION:
            found.setdefault(folder or key, []).append(key)
    return found


def _marked_folder(key: str) -> str | None:
    """Return the folder that this file makes one model, or None.

    Other folders only group models, each of which is called by its own path.
    """
    folder, _, name = key.rpartition("/")
    outer, _, inner = folder.rpartition("/")
    if name == "inference.py" and inner == "code":
        return outer or None
    if name in (_VERSIONED_MODEL, SAVED_MODEL) and outer and inner.isdecimal():
        return outer
    is_mark = name in _MARKS or _is_plain_model(name)
    return folder or None if is_mark else None


def _text_model_folders(keys: Iterable[str]) -> set[str]:
    """Return the folders of Hugging Face, whose models lie in a folder `onnx` beside the others."""
    folders: dict[str, set[str]] = {}
    for key in keys:
        folder, _, name = key.rpartition("/")
        folders.setdefault(folder, set()).add(name)
    return {
        folder
        for folder, names in folders.items()
        if folder and names.issuperset(OF_TEXT_MODELS) and f"{folder}/{ONNX_FOLDER}" in folders
    }


def _is_plain_model(name: str) -> bool:
    """Return whether this is `model` with the suffix of a model and nothing else."""
    suffix = _model_suffix(name)
    dots = 2 if suffix != suffix_of(name) else 1
    return name.startswith("model.") and name.count(".") == dots and suffix in _MODEL_SUFFIXES


def _is_visible(key: str) -> bool:
    # Consoles of object stores make an empty object `folder/` for a folder.
    return not key.endswith("/") and not any(map(is_hidden, key.split("/")))


def _parents(key: str) -> Iterator[str]:
    """Yield the folders a key lies in, the outermost first."""
    parts = key.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def _base(key: str) -> str:
    return key.rpartition("/")[2]
