"""The examples run, and their expected answers are the answers of a server."""

import json
from pathlib import Path

import pytest

from tests.docs import pages
from tests.docs.running import run_example
from tests.serving import Server, body

EXAMPLES = pages.ROOT / "examples"
EXPECTATIONS = sorted(EXAMPLES.glob("*/requests/*.expected.json"))
MAKING = {
    "home-value": ("home-value/train.py", "--cities", "Houston_TX", "Dallas_TX"),
    "onnx-many": ("onnx-many/make.py", "--count", "20"),
}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Every example's models below one folder, made by its own script."""
    folder = tmp_path_factory.mktemp("examples")
    for example, (script, *options) in MAKING.items():
        made = run_example(script, "--out", str(folder / example), *options)
        assert made.returncode == 0, made.stderr
    with Server(folder, "--endpoint", "examples") as server:
        yield server


@pytest.mark.long
def test_demo_does_what_it_promises():
    demo = run_example("home-value/demo.py")

    assert demo.returncode == 0, demo.stdout
    assert "Every step gave the expected result." in demo.stdout


def test_every_example_has_an_expected_answer():
    examples = {path.parent.name for path in EXAMPLES.glob("*/README.md")}
    of_cortex = {path.parent.name for path in EXAMPLES.glob("*/cortex.yaml")}

    assert {path.parts[-3] for path in EXPECTATIONS} == examples - of_cortex == set(MAKING)


@pytest.mark.parametrize("path", EXPECTATIONS, ids=lambda path: f"{path.parts[-3]}-{path.name}")
def test_expected_answer_is_the_answer(served: Server, path: Path):
    expected = json.loads(path.read_text())

    answer = served.client().invoke_endpoint(
        EndpointName="examples",
        TargetModel=f"{path.parts[-3]}/{expected['target_model']}",
        ContentType=expected["content_type"],
        Accept=expected["accept"],
        Body=path.with_name(path.name.replace(".expected.json", ".csv")).read_bytes(),
    )

    tolerances = (expected.get("relative_tolerance"), expected.get("absolute_tolerance"))
    assert flat(body(answer)) == pytest.approx(
        flat(expected["expected"]), rel=tolerances[0], abs=tolerances[1]
    )


def flat(value: object) -> list[float]:
    if isinstance(value, list):
        return [number for item in value for number in flat(item)]
    assert isinstance(value, float)
    return [value]
