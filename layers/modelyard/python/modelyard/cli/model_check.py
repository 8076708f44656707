"""What a repository holds, judged by names and sizes only: nothing is fetched or loaded."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import InvalidRequestError
from modelyard.domain.values import StoredObject
from modelyard.sagemaker.target_model import parse_target_model

ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")
_KINDS = {
    ".onnx": "onnx",
    ".json": "xgboost",
    ".ubj": "xgboost",
    ".bst": "xgboost",
    ".model": "xgboost",
    ".skops": "sklearn",
    ".joblib": "pickle",
    ".pkl": "pickle",
    ".pickle": "pickle",
}
_CODE = "code/inference.py"
_XGBOOST_MODEL = "xgboost-model"
_Files = Mapping[PurePosixPath, int]


@dataclass(frozen=True, slots=True)
class ModelReport:
    """One target model of a repository and what is wrong with it."""

    target_model: str
    kind: str
    size_bytes: int
    files: tuple[str, ...] = ()
    """What a folder holds, relative to it."""
    problems: tuple[str, ...] = ()


def check_models(endpoint: Endpoint) -> list[ModelReport]:
    """Return every model candidate of an endpoint's repository, in key order.

    Raises:
        DependencyError: the repository cannot be listed.
    """
    from modelyard.repositories.opening import open_repository

    objects = open_repository(endpoint.repository).objects()
    return report_models(objects, allow_code=endpoint.allow_code)


def report_models(objects: Iterable[StoredObject], *, allow_code: bool) -> list[ModelReport]:
    """Return the models that a listing makes; hidden files are none."""
    # Consoles make an empty object `folder/` for a folder.
    files = [found for found in objects if not found.key.endswith("/")]
    sizes = {PurePosixPath(found.key): found.size_bytes for found in files}
    visible = {path: size for path, size in sizes.items() if not _is_hidden(path)}
    owners = _model_folders(visible)
    models: dict[PurePosixPath, dict[PurePosixPath, int]] = {}
    for path, size in visible.items():
        folder = next((parent for parent in reversed(path.parents) if parent in owners), None)
        model = models.setdefault(folder or path, {})
        if folder is not None:
            model[path.relative_to(folder)] = size
    return [
        _folder_report(name, files, allow_code=allow_code)
        if files
        else _file_report(name, visible[name], allow_code=allow_code)
        for name, files in models.items()
    ]


def _is_hidden(path: PurePosixPath) -> bool:
    return any(part.startswith(".") or part in ("__MACOSX", "MAR-INF") for part in path.parts)


def _model_folders(files: _Files) -> set[PurePosixPath]:
    """Return the folders that are one model each, by the marks only such a folder bears.

    Any other folder merely groups models, each called by its own path.
    """
    return {
        parent
        for path in files
        for parent in path.parents[:-1]
        if _marks_a_model_folder(path.relative_to(parent))
    }


def _marks_a_model_folder(path: PurePosixPath) -> bool:
    if str(path) == _CODE or _is_version(path):
        return True
    is_named_model = path.stem == "model" and path.suffix in _KINDS
    return len(path.parts) == 1 and (is_named_model or path.name == _XGBOOST_MODEL)


def _is_version(path: PurePosixPath) -> bool:
    return len(path.parts) == 2 and path.parts[0].isdecimal() and path.name == "model.onnx"


def _file_report(path: PurePosixPath, size: int, *, allow_code: bool) -> ModelReport:
    kind = _file_kind(path.name)
    problems = [*_name_problems(path), *([] if size else ["the file is empty"])]
    if kind == "unknown":
        allowed = " ".join((*ARCHIVE_SUFFIXES, *_KINDS))
        problems.append(f"unknown suffix {path.suffix}; allowed: {allowed}")
    problems += _code_problems([kind], allow_code=allow_code)
    return ModelReport(str(path), kind, size, problems=tuple(problems))


def _folder_report(folder: PurePosixPath, files: _Files, *, allow_code: bool) -> ModelReport:
    candidates = _candidates(files)
    has_code = PurePosixPath(_CODE) in files
    kinds = [*candidates.values(), *(["python"] if has_code else [])]
    problems = [*_name_problems(folder), *_code_problems(kinds, allow_code=allow_code)]
    if len(candidates) > 1 and not has_code:
        found = ", ".join(candidates)
        problems.append(f"{len(candidates)} candidate models: {found}; allowed: one")
    return ModelReport(
        target_model=str(folder),
        kind="python" if has_code else next(iter(candidates.values()), "unknown"),
        size_bytes=sum(files.values()),
        files=tuple(str(path) for path in files),
        problems=tuple(problems),
    )


def _candidates(files: _Files) -> dict[str, str]:
    """Return the kinds of what could be the folder's model; all its versions count as one."""
    found = {path.name: _file_kind(path.name) for path in files if _is_candidate(path)}
    if any(_is_version(path) for path in files):
        found["<number>/model.onnx"] = "onnx"
    return found


def _is_candidate(path: PurePosixPath) -> bool:
    if len(path.parts) > 1 or _file_kind(path.name) in ("unknown", "archive"):
        return False
    # Any other .json beside a model is usually its description.
    return path.suffix != ".json" or path.stem == "model"


def _file_kind(name: str) -> str:
    if name.endswith(ARCHIVE_SUFFIXES):
        return "archive"
    if name.startswith(_XGBOOST_MODEL):
        return "xgboost"
    suffix = PurePosixPath(name).suffix
    # SageMaker's own samples call archives by names without any suffix.
    return _KINDS.get(suffix, "unknown") if suffix else "archive"


def _name_problems(path: PurePosixPath) -> Iterator[str]:
    try:
        parse_target_model(str(path))
    except InvalidRequestError:
        yield "no caller can name it; allowed: up to 1024 printable ASCII characters"


def _code_problems(kinds: Iterable[str], *, allow_code: bool) -> Iterator[str]:
    for kind in sorted({"pickle", "python"}.intersection(kinds)):
        if not allow_code:
            what = "a pickle" if kind == "pickle" else _CODE
            yield f"{what} runs code of its own; allowed: only with allow_code: true"
