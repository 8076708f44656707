"""Check the folders of a project's models, as Cortex v0.24 does before it deploys."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from modelyard.cortex.layouts import check_layout
from modelyard.cortex.project import (
    SINGLE_MODEL,
    ApiModels,
    ApiProject,
    ModelLocation,
    PredictorType,
)
from modelyard.domain.ports import ModelRepository

_SINGLE = "predictor: model_path"
_PATHS = "predictor: models: paths"
_DIRECTORY = "predictor: models: dir"
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Findings:
    """What a check found, one message each; a message that draws trees has several lines."""

    problems: tuple[str, ...] = ()
    """The API cannot start until these are solved."""
    warnings: tuple[str, ...] = ()
    """The API can start, but may not do what its author expects."""


def check_models(
    project: ApiProject, open_repository: Callable[[str], ModelRepository]
) -> Findings:
    """Return what is wrong with the folders of a project's models; they are only listed.

    Raises:
        DependencyError: a repository cannot be listed.
    """
    models = project.models or ApiModels()
    if models.directory is not None:
        return _check_directory(open_repository(models.directory), project.type)
    return Findings(tuple(_location_problems(models, project.type, open_repository)))


def _location_problems(
    models: ApiModels,
    predictor_type: PredictorType,
    open_repository: Callable[[str], ModelRepository],
) -> Iterator[str]:
    for place, location in _locations(models):
        objects = open_repository(location.repository).objects(location.key)
        keys = [item.key for item in objects]
        if keys == [location.key] and predictor_type is not PredictorType.ONNX:
            wrong = "found a file; allowed: a folder; name the folder that holds the file"
            yield f"{place}: {wrong} ({_code(predictor_type)})"
        else:
            paths = [key.removeprefix(f"{location.key}/") for key in keys]
            yield from _layout_problems(place, paths, predictor_type)


def _locations(models: ApiModels) -> Iterator[tuple[str, ModelLocation]]:
    """Yield the models that have an entry of their own, each with its place in the config."""
    if models.single is not None:
        yield _SINGLE, models.single
    for name, location in models.paths.items():
        yield f"{_PATHS}: {name}", location


def _check_directory(repository: ModelRepository, predictor_type: PredictorType) -> Findings:
    folders: dict[str, list[str]] = {}
    loose: list[str] = []
    for item in repository.objects():
        name, slash, path = item.key.partition("/")
        if slash:
            folders.setdefault(name, []).append(path)
        else:
            loose.append(name)
    if not folders and not loose:
        return Findings(warnings=(f"{_DIRECTORY}: found no models; each folder in it is one",))
    problems = [*_loose_problems(loose, predictor_type), *_name_problems(folders)]
    for name, paths in folders.items():
        problems += _layout_problems(f"{_DIRECTORY}: {name}", paths, predictor_type)
    return Findings(tuple(problems))


def _loose_problems(files: list[str], predictor_type: PredictorType) -> Iterator[str]:
    if files:
        more = ["..."] if len(files) > _MOST_NAMED else []
        found = ", ".join(files[:_MOST_NAMED] + more)
        yield (
            f"{_DIRECTORY}: found files beside the models: {found}; allowed: one folder per model; "
            f"move the files elsewhere ({_code(predictor_type)})"
        )


def _name_problems(names: Iterable[str]) -> Iterator[str]:
    if SINGLE_MODEL in names:
        yield (
            f"{_DIRECTORY}: {SINGLE_MODEL}: found a name that Cortex reserves; "
            "allowed: any other; rename the folder (spec.reserved_model_name)"
        )


def _layout_problems(place: str, paths: list[str], predictor_type: PredictorType) -> Iterator[str]:
    fault = check_layout(paths, predictor_type)
    if fault is not None:
        remedy = "move, complete or remove files until they make one of the allowed trees"
        yield f"{place}: {fault}\n{remedy} ({_code(predictor_type)})"


def _code(predictor_type: PredictorType) -> str:
    return f"spec.invalid_{predictor_type}_model_path"
