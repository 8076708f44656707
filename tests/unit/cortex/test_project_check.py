"""What a project brings or says that works only in a cluster of Cortex is named."""

from pathlib import Path
from typing import Any

import pytest

from modelyard.cortex.project import ApiProject, PredictorType
from modelyard.cortex.project_check import remarks

PLAIN = "class PythonPredictor: ...\n"


def project(folder: Path, source: str = PLAIN, **members: Any) -> ApiProject:
    (folder / "predictor.py").write_text(source)
    return ApiProject("text", PredictorType.PYTHON, str(folder), "predictor.py", **members)


def test_nothing_is_said_of_a_project_that_needs_no_cluster(tmp_path: Path) -> None:
    assert remarks(project(tmp_path, config={"url": "http://api.example.org:8888"})) == []


@pytest.mark.parametrize(
    ("source", "members"),
    [
        ("requests.post('http://api-stats:8888/predict')\n", {}),
        (PLAIN, {"config": {"next": {"url": "http://api-stats:8888/predict"}}}),
        (PLAIN, {"env": {"NEXT": "http://api-stats:8888"}}),
    ],
)
def test_address_of_another_api_in_a_cluster_is_named(
    tmp_path: Path, source: str, members: dict[str, Any]
) -> None:
    (found,) = remarks(project(tmp_path, source, **members))

    assert found.startswith("http://api-stats:8888 is an address inside a cluster of Cortex")


def test_address_with_a_computed_name_is_named(tmp_path: Path) -> None:
    source = 'requests.post(f"http://api-{name}:8888/predict")\n'

    assert "http://api-{name}:8888 is" in remarks(project(tmp_path, source))[0]


def test_files_that_only_cortex_installs_from_are_named(tmp_path: Path) -> None:
    (tmp_path / "dependencies.sh").touch()

    assert remarks(project(tmp_path)) == [
        "dependencies.sh is not used here; allowed: requirements.txt"
    ]
