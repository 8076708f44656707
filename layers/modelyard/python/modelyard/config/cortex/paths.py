"""Paths in a Cortex config: files of the project, models, the path of the API."""

import re
from pathlib import Path, PurePosixPath

from pydantic import ValidationInfo
from pydantic_core import PydanticKnownError

from modelyard.config.cortex.problems import refusal
from modelyard.config.endpoint_config import (
    PATH_FORMS,
    found,
    is_folder,
    is_in_store,
    repository_uri,
)
from modelyard.cortex.project import ModelLocation
from modelyard.domain.errors import ConfigurationError

FILE_FORMS = "a .py file of the project, by its path from the config file"
FOLDER_FORMS = "a folder of the project, by its path from the config file"
LOCATION_FORMS = PATH_FORMS.replace("folder", "folder (or, for onnx, an .onnx file)")
ROUTE_FORMS = "a path of letters, digits and _ . / - such as /iris, without //, not / alone"

_ROUTE = re.compile(r"[a-zA-Z0-9_./-]+", re.ASCII)


def predictor_file(path: str, info: ValidationInfo) -> str:
    """Return the relative path of an existing `.py` file of the project."""
    inside = _inside(path, FILE_FORMS)
    if not inside.endswith(".py"):
        words = f"{found(path)}; allowed: {FILE_FORMS}; put the class itself into such a file"
        raise refusal("configreader.must_have_suffix", words)
    if not _is_file(_project(info) / inside):
        words = f"{found(path)}, which does not exist; allowed: {FILE_FORMS}"
        raise refusal("files.file_does_not_exist", words)
    return inside


def python_path(path: str, info: ValidationInfo) -> str:
    """Return the relative path of an existing folder of the project."""
    inside = _inside(path, FOLDER_FORMS)
    if inside == ".":
        words = f"{found(path)}; allowed: {FOLDER_FORMS}; leave it out, imports look there anyway"
        raise refusal("configreader.disallowed_value", words)
    if not is_folder(_project(info) / inside):
        words = f"{found(path)}, which does not exist; allowed: {FOLDER_FORMS}"
        raise refusal("spec.python_path_not_found", words)
    return inside


def directory(location: str, info: ValidationInfo) -> str:
    """Return the URI, ending in `/`, of a folder of models."""
    return _uri(location, _project(info))


def model_location(location: object, info: ValidationInfo) -> ModelLocation:
    """Return where a model's folder is, or its single `.onnx` file."""
    if not isinstance(location, str):
        raise PydanticKnownError("string_type")
    path = _project(info) / location
    is_file = location.endswith(".onnx") and _is_file(path)
    if not is_file and is_in_store(uri := _uri(location, _project(info))):
        parent, _, key = uri.rstrip("/").rpartition("/")
        is_whole = parent.endswith(":/")
    else:
        path = path.resolve()
        parent, key = str(path.parent), path.name
        is_whole = not key
    if is_whole:
        words = f"{found(location)}, all there is; allowed: a folder below it, for this model alone"
        raise refusal("spec.model_path_not_directory", words)
    return ModelLocation(repository_uri(parent, Path()), key)


def route(path: str) -> str:
    """Return the path of an API, with a slash at its start and none at its end."""
    words = f"{found(path)}; allowed: {ROUTE_FORMS}"
    if _ROUTE.fullmatch(path) is None:
        raise refusal("urls.endpoint", words)
    if "//" in path:
        raise refusal("urls.endpoint_double_slash", words)
    if path == "/":
        raise refusal("urls.endpoint_empty_path", words)
    return "/" + path.strip("/")


def _project(info: ValidationInfo) -> Path:
    assert isinstance(info.context, Path)
    return info.context


def _inside(path: str, forms: str) -> str:
    parts = PurePosixPath(path)
    if parts.is_absolute() or path.startswith("~") or ".." in parts.parts:
        words = f"{found(path)}, which leads out of the project; allowed: {forms}"
        raise refusal("spec.must_be_relative_project_path", words)
    return str(parts)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, or a folder without permission
        return False


def _uri(location: str, project: Path) -> str:
    if not location:
        raise refusal("configreader.cannot_be_empty", f"found ''; allowed: {PATH_FORMS}")
    is_uri = "://" in location
    if is_uri and not is_in_store(location):
        words = f"{found(location)}, which cannot be reached; allowed: {PATH_FORMS}"
        raise refusal("spec.incorrect_bucket_provider", f"{words}; copy the models there")
    try:
        return repository_uri(location, project)
    except ConfigurationError as error:
        code = "spec.s3_dir_not_found" if is_uri else "files.dir_does_not_exist"
        raise refusal(code, error.message) from error
