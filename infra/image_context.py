"""The build context of an inference image: only the files that its Dockerfile copies."""

import shutil
from dataclasses import replace
from pathlib import Path

from infra.package_parts import BYTECODE, OF_IMAGES, ROOT, copy_package
from infra.settings import PlannedEndpoint
from modelyard.cortex.project import ApiProject
from modelyard.cortex.settings import ApiSettings
from modelyard.domain.endpoints import Endpoint

DOCKERFILE = "functions/inference/Dockerfile"
PROJECT_FOLDER = "/var/task/project"
PROJECT_FILE = ".modelyard.json"
_UNDEPLOYED = shutil.ignore_patterns(*BYTECODE, ".*")


def lay_out(endpoint: PlannedEndpoint, context: Path) -> None:
    """Fill the folder `context` for the image of an endpoint."""
    part = "functions/inference"
    shutil.copytree(ROOT / part, context / part, ignore=shutil.ignore_patterns(*BYTECODE))
    copy_package(OF_IMAGES, context / "layers/modelyard/python/modelyard")
    project = context / "project"
    if endpoint.project is None:
        project.mkdir()
        (project / ".keep").touch()
    else:
        shutil.copytree(endpoint.project.folder, project, ignore=_UNDEPLOYED)
        settings = _api_settings(endpoint.project, endpoint.functions.endpoint)
        (project / PROJECT_FILE).write_bytes(settings.to_line())


def build_arguments(endpoint: PlannedEndpoint) -> dict[str, str]:
    """Return the build arguments of the Dockerfile for an endpoint."""
    return {"RUNTIME": endpoint.runtime}


def _api_settings(project: ApiProject, endpoint: Endpoint) -> ApiSettings:
    """Return the settings that the function of an API reads."""
    return ApiSettings(
        project=replace(project, folder=PROJECT_FOLDER),
        repository=endpoint.repository,
        revalidate_s=endpoint.revalidate_s,
        window_s=endpoint.sync_window_s,
    )
