"""The third-party packages of the zip functions, as wheels for Lambda: `python -m infra.wheels`.

pip downloads them for the functions' processor; that needs no Docker.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from infra.package_parts import ROOT

PYTHON_VERSION = "3.13"
PINS = ROOT / "layers" / "dependencies" / "requirements.txt"
_MACHINES = {"arm64": "aarch64", "x86_64": "x86_64"}
_LIBC = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


def wheels_folder(architecture: str) -> Path:
    """Return the folder of the layer for a processor, which may not exist yet."""
    return ROOT / "build" / "layers" / f"dependencies-{architecture}"


def are_wheels_made(architecture: str) -> bool:
    """Return whether the folder has the packages in the pinned versions."""
    made = wheels_folder(architecture) / ".made"
    return made.is_file() and made.read_bytes() == PINS.read_bytes()


def make_wheels(architecture: str) -> None:
    """Fill the folder, unless it has the pinned versions.

    Raises:
        CalledProcessError: pip fails.
    """
    if are_wheels_made(architecture):
        return
    folder = wheels_folder(architecture)
    shutil.rmtree(folder, ignore_errors=True)
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-compile", "--require-hashes", "--only-binary=:all:", "--implementation", "cp"),
        *("--python-version", PYTHON_VERSION, "--target", str(folder / "python")),
        *(f"--platform={libc}_{_MACHINES[architecture]}" for libc in _LIBC),
        *("-r", str(PINS)),
    ]
    subprocess.run(command, check=True)  # noqa: S603
    (folder / ".made").write_bytes(PINS.read_bytes())


if __name__ == "__main__":
    make_wheels(*sys.argv[1:])
