import sys
from pathlib import Path

import pytest

from modelyard.cortex.interpreter import ignored_files, python_for, requirements_file
from modelyard.cortex.project import ApiProject, PredictorType
from modelyard.domain.errors import ConfigurationError
from modelyard.inference.environments.environments import Environments
from tests.models.wheels import write_requirements, write_wheel


def project(folder: Path, predictor_file: str = "predictor.py") -> ApiProject:
    return ApiProject("api", PredictorType.PYTHON, str(folder), predictor_file)


def no_report(line: str) -> None:
    raise AssertionError(f"pip was not to run, yet it said: {line}")


def test_requirements_are_read_at_the_root_as_in_cortex(tmp_path: Path) -> None:
    root = write_requirements(tmp_path, "")
    write_requirements(tmp_path / "src", "")

    assert requirements_file(tmp_path, "src/predictor.py") == root


def test_requirements_beside_the_predictor_are_read_too(tmp_path: Path) -> None:
    beside = write_requirements(tmp_path / "src", "")

    assert requirements_file(tmp_path, "src/predictor.py") == beside
    assert requirements_file(tmp_path, "predictor.py") is None


def test_files_that_only_cortex_installs_from_are_named(tmp_path: Path) -> None:
    assert ignored_files(tmp_path) == []

    (tmp_path / "dependencies.sh").touch()
    (tmp_path / "conda-packages.txt").touch()

    assert ignored_files(tmp_path) == ["conda-packages.txt", "dependencies.sh"]


def test_project_without_requirements_runs_on_the_servers_interpreter(tmp_path: Path) -> None:
    environments = Environments(tmp_path)

    found = python_for(project(tmp_path), environments, install=True, report=no_report)

    assert found == Path(sys.executable)


def test_requirements_the_server_meets_need_no_environment(tmp_path: Path) -> None:
    write_requirements(tmp_path, "orjson\npytest>=1\n")

    found = python_for(project(tmp_path), Environments(tmp_path), install=True, report=no_report)

    assert found == Path(sys.executable)


def test_what_is_missing_is_said_with_the_remedy(tmp_path: Path) -> None:
    write_requirements(tmp_path, "no-such-package>=2\npytest==1.0\n")

    with pytest.raises(ConfigurationError) as caught:
        python_for(project(tmp_path), Environments(tmp_path), install=False, report=no_report)

    assert caught.value.message == (
        f"requirements.txt: no-such-package>=2: not installed; pytest==1.0: {pytest.__version__} "
        "is installed. Run again with --install, which installs them into a separate "
        "environment, or: pip install -r requirements.txt"
    )


def test_remedy_names_the_file_from_the_project(tmp_path: Path) -> None:
    write_requirements(tmp_path / "src", "no-such-package\n")
    api = project(tmp_path, "src/predictor.py")

    with pytest.raises(ConfigurationError) as caught:
        python_for(api, Environments(tmp_path), install=False, report=no_report)

    assert caught.value.message.startswith("src/requirements.txt: no-such-package: not installed")
    assert caught.value.message.endswith("pip install -r src/requirements.txt")


@pytest.mark.long
def test_what_only_pip_can_tell_is_taken_for_installed_until_asked_to_install(
    tmp_path: Path,
) -> None:
    write_requirements(tmp_path, "--no-index\npytest[some-extra]\n")
    environments = Environments(tmp_path / "cache")

    before = python_for(project(tmp_path), environments, install=False, report=no_report)
    made = python_for(project(tmp_path), environments, install=True, report=lambda line: None)
    after = python_for(project(tmp_path), environments, install=False, report=no_report)

    assert before == Path(sys.executable)
    assert made == after
    assert made.is_relative_to(tmp_path / "cache")


@pytest.mark.long
def test_a_wheel_of_the_project_is_known_by_its_name(tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels", "tinypkg", "1.0")
    write_requirements(tmp_path, "--no-index\n./wheels/tinypkg-1.0-py3-none-any.whl\n")
    environments = Environments(tmp_path / "cache")

    with pytest.raises(ConfigurationError, match="tinypkg: not installed"):
        python_for(project(tmp_path), environments, install=False, report=no_report)
    made = python_for(project(tmp_path), environments, install=True, report=lambda line: None)

    assert python_for(project(tmp_path), environments, install=False, report=no_report) == made
