"""From source to what is deployed: layers, zips and the context of an image.

Every asset holds exactly what its function runs, so a file that does not run changes no hash.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from aws_cdk import AssetHashType, IgnoreMode
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_

from infra.image_context import BYTECODE, DOCKERFILE, ROOT, build_arguments, lay_out
from infra.settings import PlannedEndpoint
from modelyard.aws.function_table import EndpointFunctions, render_function_table

BUILD = ROOT / "build"
IMAGES = BUILD / "images"
PINS = ROOT / "layers" / "dependencies" / "requirements.txt"
ENDPOINTS_FILE = "/opt/modelyard/endpoints.json"


def function_code(name: str) -> lambda_.Code:
    """Return the code of a zip function: its handler and nothing else."""
    return lambda_.Code.from_asset(str(ROOT / "functions" / name), exclude=["*", "!handler.py"])


def package_code() -> lambda_.Code:
    """Return our package as a layer."""
    return lambda_.Code.from_asset(
        str(ROOT / "layers" / "modelyard"),
        exclude=["*", "!python", "!python/**", *BYTECODE],
        ignore_mode=IgnoreMode.GIT,
    )


def dependencies_code(architecture: str) -> lambda_.Code:
    """Return the third-party wheels as a layer, by the hash of the pins they were made from.

    `make layers` makes them; without, a template can be looked at but not deployed.
    """
    folder = _wheels(architecture)
    (folder / "python").mkdir(parents=True, exist_ok=True)
    is_made = "made" if are_dependencies_made(architecture) else "not made"
    what = f"{architecture} {is_made}\n".encode() + PINS.read_bytes()
    return lambda_.Code.from_asset(
        str(folder),
        asset_hash=hashlib.sha256(what).hexdigest(),
        asset_hash_type=AssetHashType.CUSTOM,
    )


def are_dependencies_made(architecture: str) -> bool:
    """Tell whether the wheels of that layer are here, in the versions pinned now."""
    made = _wheels(architecture) / ".made"
    return made.is_file() and made.read_bytes() == PINS.read_bytes()


def _wheels(architecture: str) -> Path:
    return BUILD / "layers" / f"dependencies-{architecture}"


def function_table_code(endpoints: list[EndpointFunctions]) -> lambda_.Code:
    """Return the manifest of the endpoints as a layer."""
    content = render_function_table(endpoints)
    folder = BUILD / "manifests" / hashlib.sha256(content).hexdigest()[:16]
    (folder / "modelyard").mkdir(parents=True, exist_ok=True)
    (folder / "modelyard" / "endpoints.json").write_bytes(content)
    return lambda_.Code.from_asset(str(folder))


def image_code(
    endpoint: PlannedEndpoint, architecture: ecr_assets.Platform
) -> lambda_.DockerImageCode:
    """Return the image of an endpoint's functions; those without a project share one."""
    return lambda_.DockerImageCode.from_image_asset(
        str(_image_context(endpoint)),
        file=DOCKERFILE,
        build_args=build_arguments(endpoint),
        platform=architecture,
    )


def _image_context(endpoint: PlannedEndpoint) -> Path:
    """Lay out what the Dockerfile copies, in a folder named after what is in it."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    context = Path(tempfile.mkdtemp(dir=IMAGES))
    lay_out(endpoint, context)
    return _settled(context)


def _settled(folder: Path) -> Path:
    """Give a folder its name by content; another synthesis may have made the same one."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, content = path.relative_to(folder).as_posix().encode(), path.read_bytes()
        digest.update(b"%d %s%d " % (len(name), name, len(content)) + content)
    home = folder.with_name(digest.hexdigest()[:16])
    try:
        return folder.rename(home)
    except OSError:  # it is there
        shutil.rmtree(folder)
        return home
