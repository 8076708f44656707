"""The command `check`: what of a location can be served, and what is wrong with the rest."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from modelyard.cli.model_check import ModelReport, Progress, check_models
from modelyard.config.endpoint_config import PATH_FORMS, Config, is_in_store, repository_uri
from modelyard.config.location import is_config_file, load_location
from modelyard.cortex.layout_check import Findings
from modelyard.cortex.project import ApiProject
from modelyard.cortex.project_check import check_project
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import ConfigurationError
from modelyard.repositories.opening import open_repository


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was found at a location."""

    models: Mapping[str, tuple[ModelReport, ...]]
    """By the name of each multi-model endpoint."""
    apis: tuple[tuple[ApiProject, Findings], ...]
    warnings: tuple[str, ...]

    @property
    def is_faulty(self) -> bool:
        """Whether a model or an API cannot be served."""
        faulty_models = any(report.problems for found in self.models.values() for report in found)
        return faulty_models or any(found.problems for _, found in self.apis)

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints: the findings by the name of the endpoint or API."""
        models = {name: list(map(asdict, found)) for name, found in self.models.items()}
        return models | {project.name: asdict(found) for project, found in self.apis}


def check_location(
    location: str, cache_dir: Path, progress: Progress, *, allow_code: bool | None = None
) -> CheckReport:
    """Check what `serve` would serve, or one model alone.

    `allow_code` replaces the setting of every endpoint unless it is None.

    Raises:
        ConfigurationError: nothing can be served: one line per problem.
        DependencyError: a repository cannot be listed.
    """
    folder, only = _folder_and_model(location)
    config = load_location(folder)
    warnings = list(config.warnings)
    models = {}
    for endpoint in _multi_model_endpoints(config, allow_code):
        report = check_models(endpoint, progress, only)
        if only is not None and not report.models:
            raise ConfigurationError(
                f"{location}: not a model that is served, by its name; allowed: a model or an"
                f" archive, {PATH_FORMS}, or a config file ending in .yaml"
            )
        models[endpoint.name] = report.models
        warnings += report.warnings
    apis = [found.project for found in config.endpoints if found.project is not None]
    if not apis and not any(models.values()):
        raise ConfigurationError(f"{location}: there is nothing to serve: no file is a model")
    findings = tuple((project, check_project(project, cache_dir)) for project in apis)
    return CheckReport(models, findings, tuple(warnings))


def _folder_and_model(location: str) -> tuple[str, str | None]:
    """Return the folder or prefix that one file or object of a bucket lies in, and its name.

    For every other location, return the location and None.
    """
    path = Path(location)
    if path.is_file() and not is_config_file(location):
        return str(path.parent), path.name
    folder, _, name = location.rpartition("/")
    if name and is_in_store(folder):
        first = next(open_repository(repository_uri(folder, Path())).objects(name), None)
        if first is not None and first.key == name:
            return folder, name
    return location, None


def _multi_model_endpoints(config: Config, allow_code: bool | None) -> Iterator[Endpoint]:
    for endpoint in (found.endpoint for found in config.endpoints):
        if not endpoint.is_api:
            yield endpoint if allow_code is None else replace(endpoint, allow_code=allow_code)
