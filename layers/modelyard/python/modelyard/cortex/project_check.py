"""Check the models, packages and class of a Cortex project without serving it."""

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import orjson

from modelyard.cortex.interpreter import ignored_files, python_for
from modelyard.cortex.layout_check import Findings, check_models
from modelyard.cortex.project import ApiProject
from modelyard.domain.errors import ConfigurationError
from modelyard.inference.environments.environments import Environments
from modelyard.repositories.opening import open_repository

CLASS_TIMEOUT_S = 300.0
_CLUSTER_ADDRESS = re.compile(r"http://api-[^\s/\"']+:8888")


def check_project(project: ApiProject, cache_dir: Path) -> Findings:
    """Return what is wrong with an API; its file is imported, its class is not constructed.

    Raises:
        DependencyError: its models cannot be listed.
    """
    found = check_models(project, open_repository)
    findings = replace(found, warnings=(*found.warnings, *remarks(project)))
    try:
        environments = Environments(cache_dir)
        python = python_for(project, environments, install=False, report=lambda _: None)
        problem = _class_problem(project, python)
    except ConfigurationError as error:
        problem = error.message
    return (
        findings if problem is None else replace(findings, problems=(*findings.problems, problem))
    )


def remarks(project: ApiProject) -> list[str]:
    """Return what a project brings or says that works only in a cluster of Cortex."""
    folder = Path(project.folder)
    found = [
        f"{name} is not used here; allowed: requirements.txt" for name in ignored_files(folder)
    ]
    file = folder / project.predictor_file
    source = file.read_text(errors="replace") if file.is_file() else ""
    settings = [orjson.dumps(project.config).decode(), *project.env.values()]
    for address in sorted({*_CLUSTER_ADDRESS.findall("\n".join([source, *settings]))}):
        found.append(
            f"{address} is an address inside a cluster of Cortex and reaches nothing here; "
            "call this server instead, at /NAME, and give its address in predictor.env"
        )
    return found


def _class_problem(project: ApiProject, python: Path) -> str | None:
    command = [str(python), "-P", "-m", "modelyard.cortex.class_check"]
    try:
        check = subprocess.run(  # noqa: S603  # the user asked to check this project
            command,
            input=orjson.dumps(project) + b"\n",
            stdout=subprocess.PIPE,
            cwd=project.folder,
            env={**os.environ, **project.env},
            timeout=CLASS_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{project.predictor_file}: its import takes longer than {CLASS_TIMEOUT_S:.0f} s"
    if check.returncode != 0:
        return f"{project.predictor_file}: its import ends the process ({check.returncode})"
    return check.stdout.decode(errors="replace") or None
