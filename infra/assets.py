"""The deployed assets: layers, zip files and the build context of images.

Every asset contains only files that its function runs, so other files do not change its hash.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from aws_cdk import AssetHashType
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_

from infra.image_context import DOCKERFILE, build_arguments, lay_out
from infra.package_parts import OF_LAYER, ROOT, copy_package
from infra.settings import PlannedEndpoint
from infra.wheels import PINS, are_wheels_made, wheels_folder
from modelyard.aws.function_table import FunctionTable, render_function_table

PYTHON = lambda_.Runtime.PYTHON_3_13
"""Of the zip functions; the image of the inference functions and `make layers` have the same."""
BUILD = ROOT / "build"
IMAGES = BUILD / "images"
ENDPOINTS_FILE = "/opt/modelyard/endpoints.json"


def function_code(name: str) -> lambda_.Code:
    """Return the code of a zip function, which is only its handler."""
    return lambda_.Code.from_asset(str(ROOT / "functions" / name), exclude=["*", "!handler.py"])


def package_code() -> lambda_.Code:
    """Return the part of the package `modelyard` that zip functions run, as a layer."""
    folder = _new_folder(BUILD / "packages")
    copy_package(OF_LAYER, folder / "python" / "modelyard")
    return lambda_.Code.from_asset(str(_named_by_content(folder)))


def dependencies_code(architecture: str) -> lambda_.Code:
    """Return the third-party packages as a layer; its hash is that of their pinned versions.

    `make layers` makes them. Without them a template can be synthesised, but not deployed.
    """
    folder = wheels_folder(architecture)
    (folder / "python").mkdir(parents=True, exist_ok=True)
    is_made = "made" if are_wheels_made(architecture) else "not made"
    what = f"{architecture} {is_made}\n".encode() + PINS.read_bytes()
    return lambda_.Code.from_asset(
        str(folder),
        asset_hash=hashlib.sha256(what).hexdigest(),
        asset_hash_type=AssetHashType.CUSTOM,
    )


def function_table_code(table: FunctionTable) -> lambda_.Code:
    """Return the table of endpoints and functions as a layer."""
    content = render_function_table(table)
    folder = BUILD / "manifests" / hashlib.sha256(content).hexdigest()[:16]
    (folder / "modelyard").mkdir(parents=True, exist_ok=True)
    (folder / "modelyard" / "endpoints.json").write_bytes(content)
    return lambda_.Code.from_asset(str(folder))


def image_code(
    endpoint: PlannedEndpoint, architecture: ecr_assets.Platform, base_image: str | None = None
) -> lambda_.DockerImageCode:
    """Return the image of an endpoint's functions. Multi-model endpoints share one image.

    `base_image` replaces the base of the Dockerfile and is part of the asset's hash.
    """
    base = {} if base_image is None else {"BASE_IMAGE": base_image}
    return lambda_.DockerImageCode.from_image_asset(
        str(_image_context(endpoint)),
        file=DOCKERFILE,
        build_args=build_arguments(endpoint) | base,
        platform=architecture,
    )


def _image_context(endpoint: PlannedEndpoint) -> Path:
    """Write what the Dockerfile copies to a folder that is named by its content."""
    context = _new_folder(IMAGES)
    lay_out(endpoint, context)
    return _named_by_content(context)


def _new_folder(parent: Path) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=parent))


def _named_by_content(folder: Path) -> Path:
    """Rename a folder to the hash of its content. Another synthesis may have made the same one."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, content = path.relative_to(folder).as_posix().encode(), path.read_bytes()
        digest.update(b"%d %s%d " % (len(name), name, len(content)) + content)
    home = folder.with_name(digest.hexdigest()[:16])
    try:
        return folder.rename(home)
    except OSError:  # a folder with this content exists
        shutil.rmtree(folder)
        return home
