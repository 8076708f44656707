"""From source to what is deployed: layers, zips and the context of an image.

Every asset holds exactly what its function runs, so a file that does not run changes no hash.
"""

import hashlib
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from aws_cdk import AssetHashType, IgnoreMode
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_

from infra.settings import DeployedModels
from modelyard.projects import ApiProject
from modelyard.routing.manifest import DeployedEndpoint, render_manifest
from modelyard.settings import ApiWorkerSettings, WorkerSettings

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build"
PROJECT_FOLDER = "/var/task/project"
PROJECT_FILE = ".modelyard.json"
ENDPOINTS_FILE = "/opt/modelyard/endpoints.json"
_BYTECODE = ("__pycache__", "*.pyc")
_UNDEPLOYED = shutil.ignore_patterns(*_BYTECODE, ".*", "models")


def function_code(name: str) -> lambda_.Code:
    """Return the code of a zip function: its handler and nothing else."""
    return lambda_.Code.from_asset(str(ROOT / "functions" / name), exclude=["*", "!handler.py"])


def package_code() -> lambda_.Code:
    """Return our package as a layer."""
    return lambda_.Code.from_asset(
        str(ROOT / "layers" / "modelyard"),
        exclude=["*", "!python", "!python/**", *_BYTECODE],
        ignore_mode=IgnoreMode.GIT,
    )


def dependencies_code(architecture: str) -> lambda_.Code:
    """Return the third-party wheels as a layer, by the hash of the pins they were made from.

    `make layers` makes them; a template can be looked at without.
    """
    pins = ROOT / "layers" / "dependencies" / "requirements.txt"
    folder = BUILD / "layers" / f"dependencies-{architecture}"
    (folder / "python").mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(pins.read_bytes() + architecture.encode()).hexdigest()
    return lambda_.Code.from_asset(
        str(folder), asset_hash=digest, asset_hash_type=AssetHashType.CUSTOM
    )


def manifest_code(endpoints: list[DeployedEndpoint]) -> lambda_.Code:
    """Return the manifest of the endpoints as a layer."""
    content = render_manifest(endpoints)
    folder = BUILD / "manifests" / hashlib.sha256(content).hexdigest()[:16]
    (folder / "modelyard").mkdir(parents=True, exist_ok=True)
    (folder / "modelyard" / "endpoints.json").write_bytes(content)
    return lambda_.Code.from_asset(str(folder))


def image_code(
    models: DeployedModels, architecture: ecr_assets.Platform
) -> lambda_.DockerImageCode:
    """Return the image of an endpoint's functions; those without a project share one."""
    return lambda_.DockerImageCode.from_image_asset(
        str(_image_context(models.project)),
        file="functions/inference/Dockerfile",
        build_args={"RUNTIME": models.runtime},
        platform=architecture,
    )


def _image_context(project: ApiProject | None) -> Path:
    """Lay out what the Dockerfile copies, in a folder of its own."""
    name = "models" if project is None else f"api-{project.name}"
    context = BUILD / "images" / name
    shutil.rmtree(context, ignore_errors=True)
    for part in ("functions/inference", "layers/modelyard/python"):
        shutil.copytree(ROOT / part, context / part, ignore=shutil.ignore_patterns(*_BYTECODE))
    if project is None:
        (context / "project").mkdir()
        (context / "project" / ".keep").touch()
    else:
        shutil.copytree(project.folder, context / "project", ignore=_UNDEPLOYED)
        (context / "project" / PROJECT_FILE).write_text(_project_line(project))
    return context


def _project_line(project: ApiProject) -> str:
    """Return what the function is told of its API; the function itself knows its limits."""
    settings = ApiWorkerSettings(
        worker=WorkerSettings(project.name, "", 0, 0, 1),
        project=replace(project, folder=PROJECT_FOLDER),
        repository=f"file:///{project.config_file}#{project.name}",
        revalidate_s=10.0,
        window_s=25.0,
    )
    return json.dumps(asdict(settings), sort_keys=True)
