"""Virtual environments of the peers in `.venvs`, each with its own pinned requirements."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / ".venvs"
REQUIREMENTS = HERE / "peers" / "requirements"
OWN = "modelyard"
"""The environment of the project itself, which runs this code."""


class CannotRunError(Exception):
    """A peer cannot run here; the message says why."""


def binaries(name: str) -> Path:
    """Return the folder of an environment's commands; it may not exist yet."""
    return Path(sys.executable).parent if name == OWN else FOLDER / name / "bin"


def python(name: str) -> str:
    """Return the interpreter of an environment."""
    return str(binaries(name) / "python")


def ensure(name: str) -> None:
    """Create the environment unless it exists and matches its requirements.

    Raises:
        CannotRunError: its packages cannot be installed.
    """
    if name == OWN:
        return
    wanted = REQUIREMENTS / f"{name}.txt"
    installed = FOLDER / name / ".installed"
    if installed.is_file() and installed.read_text() == wanted.read_text():
        return
    print(f"creating the environment of {name}", flush=True)
    venv.create(FOLDER / name, with_pip=True, clear=True)
    pip = [python(name), "-m", "pip", "install", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--quiet", "--require-hashes", "-r", str(wanted)],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        problems = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise CannotRunError(f"cannot be installed: {(problems or ['pip failed'])[0]}")
    shutil.copy(wanted, installed)


def versions(name: str) -> dict[str, str]:
    """Return the version of each package that the environment's requirements pin."""
    pins = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    pairs = (line.split(" ")[0].split("==") for line in pins if line[:1].isalnum())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
