from pathlib import Path

import pytest

from modelyard.domain.errors import ConfigurationError
from modelyard.runtimes.artifact_requirements import requirements_of
from modelyard.runtimes.base import LoadPlan

PYTHON_ENV = """
python: 3.11.7
build_dependencies:
- pip==24.0
dependencies:
- -r requirements.txt
- tinypkg==1.0
"""
CONDA = """
channels: [conda-forge]
dependencies:
- python=3.11.7
- pip<=24.0
- pip:
  - mlflow==2.9
  - tinypkg==2.0
name: mlflow-env
"""


def plan_of(folder: Path, runtime: str = "script", saved_with: str | None = None) -> LoadPlan:
    return LoadPlan(
        runtime, folder, folder / "m.pkl", 0, allow_code=True, own_process=True,
        saved_with=saved_with,
    )  # fmt: skip


def lines_of(plan: LoadPlan) -> list[str]:
    asked = requirements_of(plan)
    assert asked is not None
    return asked.lines


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_txt", ".txt").replace("_yaml", ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_requirements_of_the_code_come_first(tmp_path: Path) -> None:
    write(tmp_path, code__requirements_txt="a==1\n", requirements_txt="b==1\n", conda_yaml=CONDA)

    asked = requirements_of(plan_of(tmp_path))

    assert asked is not None
    assert (asked.name, asked.lines) == ("code/requirements.txt", ["a==1"])


def test_environment_of_mlflow_is_read_with_the_files_it_names(tmp_path: Path) -> None:
    write(tmp_path, python_env_yaml=PYTHON_ENV, conda_yaml=CONDA)
    (tmp_path / "requirements.txt").mkdir()  # not a file, so the other one counts

    with pytest.raises(ConfigurationError, match=r"requirements\.txt: this file does not exist"):
        requirements_of(plan_of(tmp_path))


def test_part_for_pip_of_a_conda_environment_is_read(tmp_path: Path) -> None:
    assert lines_of(plan_of(write(tmp_path, conda_yaml=CONDA), "pyfunc")) == [
        "mlflow==2.9",
        "tinypkg==2.0",
    ]


@pytest.mark.parametrize(
    "files", [{"conda_yaml": CONDA}, {"requirements_txt": "mlflow\ntinypkg==2.0"}]
)
def test_model_that_is_loaded_without_mlflow_does_not_require_it(
    tmp_path: Path, files: dict[str, str]
) -> None:
    write(tmp_path, MLmodel="flavors:\n  sklearn:\n", **files)

    assert lines_of(plan_of(tmp_path, "sklearn")) == ["tinypkg==2.0"]


@pytest.mark.parametrize(
    ("saved_with", "lines"),
    [
        ("1.2.2", ["scikit-learn==1.2.2", "numpy<2"]),
        ("1.5.0", ["scikit-learn==1.5.0"]),
    ],
)
def test_pickle_requires_the_version_that_saved_it(
    tmp_path: Path, saved_with: str, lines: list[str]
) -> None:
    assert lines_of(plan_of(tmp_path, "sklearn", saved_with)) == lines


def test_model_without_such_files_requires_nothing(tmp_path: Path) -> None:
    assert requirements_of(plan_of(tmp_path)) is None


@pytest.mark.parametrize(
    "text", ["- a\n", "dependencies: 3\n", "a: [\n", "", "dependencies: [{pip: [[a]]}]", "[" * 5000]
)
def test_environment_file_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path, conda_yaml=text)

    with pytest.raises(ConfigurationError, match=r"conda\.yaml: it does not list `dependencies`"):
        requirements_of(plan_of(tmp_path))


def _doubled(begin: str, again: str, end: str) -> str:
    """Return YAML whose aliases expand to a thousand million values."""
    levels = [f"a0: &a0 {begin}"]
    levels += [f"a{n}: &a{n} {again.format(', '.join([f'*a{n - 1}'] * 10))}" for n in range(1, 10)]
    return "\n".join([*levels, end])


@pytest.mark.parametrize(
    "text",
    [
        _doubled("[x]", "[{}]", "dependencies: [{pip: *a9}]"),
        _doubled("{k: v}", "{{<<: [{}]}}", "dependencies: *a9"),
    ],
    ids=["lists", "merged mappings"],
)
def test_aliases_are_not_expanded(tmp_path: Path, text: str) -> None:
    write(tmp_path, conda_yaml=text)

    with pytest.raises(ConfigurationError, match=r"conda\.yaml: aliases are not read"):
        requirements_of(plan_of(tmp_path))
