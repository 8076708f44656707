"""Prepares the start of a Cortex API: checks its models, finds an interpreter for its worker."""

from collections.abc import Callable

from modelyard.cortex.interpreter import python_for
from modelyard.cortex.layout_check import check_models
from modelyard.cortex.project import ApiProject
from modelyard.cortex.project_check import remarks
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import ConfigurationError
from modelyard.inference.environments.environments import Environments
from modelyard.local.options import ServedApi, labelled
from modelyard.repositories.opening import open_repository


def prepare_api(
    endpoint: Endpoint,
    project: ApiProject,
    environments: Environments,
    *,
    install: bool,
    warn: Callable[[str], None],
    report: Callable[[str], None],
) -> ServedApi:
    """Return the API and the Python interpreter for its worker.

    `warn` is called with each warning, `report` with each line that the installation prints.

    Raises:
        ConfigurationError: the folders of its models are wrong, or packages of its requirements.txt
            are missing (without `install`) or cannot be installed.
        DependencyError: its models cannot be listed.
    """
    findings = check_models(project, open_repository)
    if findings.problems:
        raise ConfigurationError("\n".join(labelled(project, *findings.problems)))
    for warning in labelled(project, *findings.warnings, *remarks(project)):
        warn(warning)
    try:
        python = python_for(project, environments, install=install, report=report)
    except ConfigurationError as error:
        raise ConfigurationError("\n".join(labelled(project, error.message))) from error
    return ServedApi(endpoint, project, str(python))
