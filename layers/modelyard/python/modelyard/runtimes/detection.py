"""Find the one model in an artifact's folder, by names and first bytes; imports no framework."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from modelyard.domain import model_files
from modelyard.domain.errors import ArtifactInvalidError
from modelyard.domain.model_files import Role
from modelyard.runtimes import foreign_formats, mlmodel_file
from modelyard.runtimes.model_format import XGBOOST_FORMATS, Format, edges

_EXPECTED = (
    "xgboost-model, *.ubj, *.json, *.bst or *.model (XGBoost), "
    "*.txt, *.lgb or *.lgbm (LightGBM), "
    "*.cbm or *.json (CatBoost), "
    "*.onnx or <number>/model.onnx (ONNX), "
    "saved_model.pb, *.keras or *.h5 (TensorFlow), "
    "*.skops, *.joblib, *.pkl or *.pickle (scikit-learn), or code/inference.py (script)"
)
_RUNTIMES_BY_FORMAT = {
    Format.PICKLE: "sklearn",
    Format.ONNX: "onnx",
    Format.LIGHTGBM: "lightgbm",
    Format.CATBOOST: "catboost",
    Format.CATBOOST_JSON: "catboost",
}
_SAVED_MODEL_DEPTH = 3
_TEXT_MODELS = ("model.onnx", "model_quantized.onnx")
_NAMED_FILES = 5
_EXAMINED_FILES = 20
_NAMED_FOREIGN = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that is a model, judged by its name and its first bytes."""

    runtime: str
    path: Path


def find_model(model_dir: Path) -> Candidate:
    """Return the only file in an artifact's folder that is a model.

    Raises:
        ArtifactInvalidError: no file is a model, or several are, or it is an MLflow model of a
            flavour that is not served.
    """
    flavours = mlmodel_file.flavours(model_dir)
    if mlmodel_file.needs_mlflow(flavours):
        return Candidate("pyfunc", model_dir / "MLmodel")
    if why := mlmodel_file.refusal(flavours):
        raise ArtifactInvalidError(f"the artifact cannot be loaded: {why}")
    if text_model := _text_model(model_dir):
        return Candidate("huggingface", text_model)
    candidates = find_candidates(model_dir)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        names = ", ".join(_name(candidate.path, model_dir) for candidate in candidates)
        raise ArtifactInvalidError(
            f"the artifact holds {len(candidates)} models ({names}): keep one, "
            "or choose in a code/inference.py"
        )
    instead = _foreign(model_dir) or [f"expected is {_EXPECTED}"]
    raise ArtifactInvalidError("; ".join((f"the artifact holds {_content(model_dir)}", *instead)))


def find_candidates(model_dir: Path) -> list[Candidate]:
    """Return every file that is a model: by its name, or if no name tells, by its content."""
    files = (path for path in _children(model_dir) if path.is_file())
    judged = [path for path in files if model_files.role_of(path.name) is not Role.COMPANION]
    versioned = [Candidate("onnx", path) for path in _versioned_onnx(model_dir)]
    saved = [Candidate("tensorflow", path) for path in _saved_models(model_dir)]
    named = _candidates(judged, _runtime_by_name) + versioned + saved
    return named or _candidates(judged, _runtime_by_content)


def _candidates(files: Iterable[Path], runtime_of: Callable[[Path], str | None]) -> list[Candidate]:
    found = ((runtime_of(path), path) for path in files)
    return [Candidate(runtime, path) for runtime, path in found if runtime is not None]


def _runtime_by_name(path: Path) -> str | None:
    named = model_files.runtime_of(path.name)
    if model_files.is_pickle(path.name):  # of an estimator or of a booster
        return _runtime_by_content(path) or named
    if model_files.is_often_model(path.name):
        return _runtime_by_content(path)
    if named == "xgboost" and model_files.suffix_of(path.name):  # LightGBM's users write m.model
        return _runtime_of_text(path) or named
    return named


def _runtime_of_text(path: Path) -> str | None:
    return "lightgbm" if edges(path).format is Format.LIGHTGBM else None


def _runtime_by_content(path: Path) -> str | None:
    found = edges(path).format
    if found in XGBOOST_FORMATS:
        return "xgboost"
    if found is Format.PICKLE and foreign_formats.refusal(path):  # PyTorch's older files
        return None
    return _RUNTIMES_BY_FORMAT.get(found)


def _versioned_onnx(model_dir: Path) -> list[Path]:
    """Return the newest `<number>/model.onnx` of the folder and of each Triton folder in it."""
    folders = [path for path in _children(model_dir) if not path.name.isdecimal()]
    models = [_highest_version(folder) for folder in (model_dir, *folders)]
    return [path for path in models if path is not None]


def _highest_version(folder: Path) -> Path | None:
    models = [path / "model.onnx" for path in _children(folder) if path.name.isdecimal()]
    found = [path for path in models if path.is_file()]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def _text_model(model_dir: Path) -> Path | None:
    """Return the ONNX model of a folder of Hugging Face with a tokenizer, or None.

    Beside `model.onnx` there may be the same model in other precisions.
    """
    if not all((model_dir / name).is_file() for name in model_files.OF_TEXT_MODELS):
        return None
    folders = (model_dir, model_dir / model_files.ONNX_FOLDER)
    models = [folder / name for folder in folders for name in _TEXT_MODELS]
    return next((path for path in models if path.is_file()), None)


def _saved_models(folder: Path, depth: int = 0) -> list[Path]:
    """Return each SavedModel in a folder; of numbered ones beside each other only the newest.

    Estimators of TensorFlow 1 export to `export/Servo/<number>`.
    """
    own = folder / model_files.SAVED_MODEL
    if own.is_file():
        return [own]
    folders = [path for path in _children(folder) if path.is_dir()]
    inner = [_saved_models(path, depth + 1) for path in folders if depth < _SAVED_MODEL_DEPTH]
    found = [path for paths in inner for path in paths]
    own_folders = [path for path in found if path.parent.parent == folder]
    versions = [path for path in own_folders if path.parent.name.isdecimal()]
    newest = max(versions, key=lambda path: int(path.parent.name), default=None)
    return [path for path in found if path == newest or path not in versions]


def _children(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if not model_files.is_hidden(path.name))


def _content(model_dir: Path) -> str:
    names = [_name(path, model_dir) for path in _files(model_dir)]
    if not names:
        return "no files"
    more = f" and {len(names) - _NAMED_FILES} more" if len(names) > _NAMED_FILES else ""
    return f"no model but {', '.join(names[:_NAMED_FILES])}{more}"


def _foreign(model_dir: Path) -> list[str]:
    """Return what the first files are that seem to be models, and why they are not served."""
    files = islice(_files(model_dir), _EXAMINED_FILES)
    clauses = (_misplaced(path, model_dir) or foreign_formats.refusal(path) for path in files)
    return [clause for clause in clauses if clause is not None][:_NAMED_FOREIGN]


def _misplaced(path: Path, model_dir: Path) -> str | None:
    name = _name(path, model_dir)
    if model_files.packing_of(path.name):
        return f"{name} is an archive inside of the artifact: pack the files themselves"
    is_model = path.parent != model_dir and model_files.role_of(path.name) is not Role.COMPANION
    if is_model and _runtime_by_name(path):
        return f"{name} lies in a folder: pack the model at the top level"
    return None


def _files(folder: Path) -> Iterator[Path]:
    for path in _children(folder):
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _name(path: Path, model_dir: Path) -> str:
    return path.relative_to(model_dir).as_posix()
