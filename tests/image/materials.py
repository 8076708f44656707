"""What the build takes from package registries; with it here, no step after needs a network."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.markers import Marker

from infra.image_context import lay_out
from infra.package_parts import ROOT
from infra.settings import PlannedEndpoint

CONFIG = Path(__file__).parent / "project" / "cortex.yaml"
BUILD = ROOT / "build" / "image"
PYTHON = "3.13"
"""Of the Dockerfile's default base, and of the Debian release that stands in for it."""
RELEASE = "trixie"
PACKAGES = "ca-certificates,python3-minimal,libpython3-stdlib,python3-pip"
WITNESS_PINS = Path(__file__).parent / "witness-requirements.txt"
MACHINE = os.uname().machine


def base_root(name: str = "rootfs", packages: str = PACKAGES) -> Path:
    """Return a folder with a base image's files: Debian's own Python, nothing of AWS."""
    root, made = BUILD / name, BUILD / f"{name}.made"
    wanted = f"{RELEASE} {packages}\n"
    if not made.is_file() or made.read_text() != wanted:
        made.unlink(missing_ok=True)
        shutil.rmtree(root, ignore_errors=True)
        wanted_packages = ("--variant=minbase", f"--include={packages}")
        _run(*_ALONE, "debootstrap", *wanted_packages, RELEASE, root, _mirror())
        made.write_text(wanted)
    return root


def witness() -> Path:
    """Return AWS's runtime interface emulator."""
    program = BUILD / "aws-lambda-rie"
    if not program.is_file():
        folder = BUILD / "witness"
        _download(folder, "-r", WITNESS_PINS, "--no-deps")
        suffix = {"aarch64": "arm64"}.get(MACHINE, MACHINE)
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            content = wheel.read(f"samcli/local/rapid/aws-lambda-rie-{suffix}")
        program.write_bytes(content)
        program.chmod(0o755)
    return program


def context_of(models: PlannedEndpoint) -> Path:
    """Return the folder that the deployment builds from, and beside it the wheels it needs."""
    context = BUILD / "contexts" / models.functions.endpoint.name
    shutil.rmtree(context, ignore_errors=True)
    lay_out(models, context)
    requirements = context / "functions" / "inference" / "requirements"
    wheels = BUILD / "wheels" / models.functions.endpoint.name
    _download(wheels, "--require-hashes", "-r", requirements / f"{models.runtime}.txt", *_FOR_BASE)
    if (own := context / "project" / "requirements.txt").is_file():
        _download(wheels, "-r", own, *_FOR_BASE)
    shutil.copytree(wheels, requirements / "wheels", copy_function=os.link)
    return context


def server_context() -> Path:
    """Return a folder with what the image of the local server is built from, and its wheels."""
    context = BUILD / "contexts" / "server"
    shutil.rmtree(context, ignore_errors=True)
    for name in ("container", "examples/home-value", "layers/modelyard/python"):
        shutil.copytree(ROOT / name, context / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "README.md", "pyproject.toml", "requirements-serve.txt"):
        shutil.copy(ROOT / name, context / name)
    wheels = BUILD / "wheels" / "server"
    wanted = BUILD / "contexts" / "server.txt"
    pins = (context / "requirements-serve.txt").read_text()
    wanted.write_text("".join(_pins_of_base(pins)))
    _download(wheels, "--require-hashes", "-r", wanted, *_FOR_BASE)
    shutil.copytree(wheels, context / "container" / "wheels", copy_function=os.link)
    return context


def _pins_of_base(text: str) -> Iterator[str]:
    """Yield the pins that hold for the base's Python: pip would judge by the one it runs on."""
    base = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}
    for block in re.split(r"(?m)^(?=[a-z0-9])", text):
        pin, _, hashes = block.partition(" \\\n")
        name, _, marker = pin.partition(" ; ")
        if hashes and (not marker or Marker(marker).evaluate(base)):
            yield f"{name} \\\n{hashes}"


_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
"""debootstrap mounts /proc and /sys in the folder that it fills: not for others, nor for longer."""
_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
_FOR_BASE = (
    *("--implementation", "cp", "--python-version", PYTHON),
    *(word for name in _PLATFORMS for word in ("--platform", f"{name}_{MACHINE}")),
)


def _download(folder: Path, *arguments: str | Path) -> None:
    command = ("pip", "download", "--quiet", "--disable-pip-version-check")
    _run(sys.executable, "-m", *command, "--only-binary=:all:", "--dest", folder, *arguments)


def _mirror() -> str:
    """Return where this machine has its packages from; debootstrap would ask Debian's own host."""
    wanted = ("--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian")
    found = subprocess.run(
        ["apt-get", "indextargets", *wanted], check=True, capture_output=True, text=True
    )
    return found.stdout.split()[0]


def _run(*command: str | Path) -> None:
    ended = subprocess.run(
        [str(word) for word in command],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if ended.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{ended.stdout[-4000:]}")
