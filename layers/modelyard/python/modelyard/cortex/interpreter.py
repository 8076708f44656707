"""The Python interpreter of a Cortex project: one that has what its requirements.txt asks for."""

import os
import sys
from pathlib import Path

from modelyard.cortex.project import ApiProject
from modelyard.domain.errors import ConfigurationError
from modelyard.inference.environments.environments import Environments, Report
from modelyard.runtimes.requirements import Requirements


def requirements_file(project_folder: Path, predictor_file: str) -> Path | None:
    """Return the requirements.txt of a project: at its root as in Cortex, or by the predictor."""
    folders = (project_folder, (project_folder / predictor_file).parent)
    return next((file for one in folders if (file := one / "requirements.txt").is_file()), None)


def ignored_files(project_folder: Path) -> list[str]:
    """Return the files of a project that Cortex installs from and Modelyard does not."""
    names = ("conda-packages.txt", "dependencies.sh")
    return [name for name in names if (project_folder / name).is_file()]


def python_for(
    project: ApiProject, environments: Environments, *, install: bool, report: Report
) -> Path:
    """Return the interpreter that has what a project's requirements.txt asks for.

    That is the running one if it meets them, else that of an environment, which is not removed
    while `environments` exists; `install` creates it.

    Raises:
        ConfigurationError: something is missing and `install` is false; pip failed; a file that
            cannot be read.
    """
    running = Path(sys.executable)
    file = requirements_file(Path(project.folder), project.predictor_file)
    if file is None:
        return running
    asked = Requirements.of_file(file, os.path.relpath(file, project.folder))
    missing = asked.missing()
    if missing or asked.needs_pip:
        found = environments.find(asked)
        if found is None and install:
            found = environments.create(asked, report)
        if found is not None:
            return environments.keep(found)
    if not missing:
        return running
    raise ConfigurationError(
        f"{asked.name}: {'; '.join(missing)}. Run again with --install, which installs them into a "
        f"separate environment, or: pip install -r {asked.name}"
    )
