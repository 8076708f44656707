"""SavedModels of a Cortex API through the door: `tensorflow_client`, signatures, outputs, versions.

The class hands the payload to the client and its answer to the caller.
"""

import base64
import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.functional.cortex_project import Project, post
from tests.serving import Server, eventually

ASKING = """
    class TensorFlowPredictor:
        def __init__(self, tensorflow_client, config):
            self.client = tensorflow_client

        def predict(self, payload, query_params):
            if payload == "metadata":
                return self.client.metadata
            return self.client.predict(
                payload, query_params.get("model"), query_params.get("version", "latest")
            )
"""


@pytest.fixture(scope="module")
def build() -> Any:
    """The builders of models: importing TensorFlow takes seconds."""
    return importlib.import_module("tests.models.tensorflow_models")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("repository") / "models"


@pytest.fixture(scope="module")
def server(build: Any, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    build.echo(models / "echo")
    build.of_shape(models / "square", [None, 2])
    build.of_shape(models / "scalar", [])
    build.of_shape(models / "any", None)
    build.sum_and_difference(models / "two")
    build.sum_and_difference(models / "preferred", keys=("classify", "predict", "serving_default"))
    build.sum_and_difference(models / "several", keys=("classify", "serving_default"))
    build.estimator_export(models / "estimator" / "1607000000")
    build.linear(models / "growing" / "1", 1, 0)
    names = sorted(path.name for path in models.iterdir())
    signed = {"several": "classify"}
    entries = [
        {"name": name, "model_path": str(models / name)}
        | ({"signature_key": signed[name]} if name in signed else {})
        for name in names
    ]
    unsigned = {"name": "unsigned", "model_path": str(models / "several")}
    wrong = {"name": "wrong", "model_path": str(models / "several"), "signature_key": "nope"}
    project = Project(tmp_path_factory.mktemp("project"))
    paths = [*entries, unsigned, wrong]
    project.api("asking", ASKING, type="tensorflow", models={"paths": paths})
    with project.served() as server:
        yield server


def ask(server: Server, model: str, value: Any, **query: str) -> httpx.Response:
    return post(server, "/asking", value, model=model, **query)


def outputs(server: Server, model: str, value: Any, **query: str) -> Any:
    answer = ask(server, model, value, **query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def reason(server: Server, answer: httpx.Response) -> str:
    """Return why a call failed: the caller learns nothing, the log has it."""
    assert (answer.status_code, answer.content) == (500, b"internal server error")
    request_id = answer.headers["x-amzn-requestid"]
    [line] = [line for line in server.log.splitlines() if f"request_id={request_id}" in line]
    return line.partition(" reason=")[2]


def test_c33_outputs_are_flat_lists_by_name(server: Server) -> None:
    assert outputs(server, "two", {"a": [[3, 4], [5, 6]], "b": [[1, 1], [1, 1]]}) == {
        "sum": [4, 5, 6, 7],
        "difference": [2, 3, 4, 5],
    }


def test_c33_a_missing_or_extra_key_is_refused_with_the_names(server: Server) -> None:
    missing = reason(server, ask(server, "two", {"a": [[1, 2]]}))
    extra = reason(server, ask(server, "two", {"a": [[1, 2]], "b": [[1, 2]], "c": 1}))

    assert "model 'two', version 1: key 'b' is missing" in missing
    assert "key 'c' is unknown" in extra


@pytest.mark.parametrize("value", [[[1, 2]], 1, "text", None])
def test_c33_an_input_is_a_dict(server: Server, value: Any) -> None:
    assert "a dict with the keys 'a', 'b'" in reason(server, ask(server, "two", value))


def test_c33_values_that_do_not_fit_are_refused_with_what_would(server: Server) -> None:
    assert "float32 [*, 2], got [2]" in reason(server, ask(server, "square", {"x": [1, 2]}))
    assert "a float32 scalar, got [1]" in reason(server, ask(server, "scalar", {"x": [1]}))
    assert "float32 of any shape" in reason(server, ask(server, "any", {"x": "text"}))


def test_c33_no_dimension_is_added(server: Server) -> None:
    assert outputs(server, "square", {"x": [[1, 2]]})["shape"] == [1, 2]
    assert outputs(server, "any", {"x": [[[1]]]})["shape"] == [1, 1, 1]
    assert outputs(server, "scalar", {"x": 5})["y"] == [5]


def test_c33_outputs_are_encoded_as_in_json_of_protobuf(server: Server, build: Any) -> None:
    texts = ["grün", ""]
    vectors = {name: [1, 2] for name in build.ECHOED}

    found = outputs(server, "echo", vectors | {"bool": [True, False], "string": texts})

    assert found["int64"] == ["1", "2"]
    assert found["int32"] == found["float32"] == found["float64"] == [1, 2]
    assert found["bool"] == [True, False]
    assert found["float16"] == [0x3C00, 0x4000]
    assert found["string"] == [base64.b64encode(text.encode()).decode() for text in texts]


def test_c33_outputs_that_cortex_failed_on_are_numbers(server: Server, build: Any) -> None:
    vectors = {name: [1, 2] for name in build.ECHOED} | {"bool": [True], "string": ["x"]}

    found = outputs(server, "echo", vectors | {"float64": []})

    for name in ("int8", "int16", "uint8", "uint16", "uint32", "uint64"):
        assert found[name] == [1, 2]
    assert found["float64"] == []


def test_c33_what_is_no_number_in_json_is_a_word(server: Server) -> None:
    answer = server.http.post(
        "/asking",
        params={"model": "any"},
        content='{"x": [NaN, Infinity, -Infinity]}',
        headers={"content-type": "application/json"},
    )

    assert answer.json()["y"] == ["NaN", "Infinity", "-Infinity"]


def test_c33_the_signature_is_the_only_one_or_predict_or_the_chosen(server: Server) -> None:
    value = {"a": [[3, 4]], "b": [[1, 1]]}

    for model in ("two", "preferred", "several"):
        assert outputs(server, model, value)["sum"] == [4, 5]
    assert "set signature_key to one of 'classify', 'serving_default'" in reason(
        server, ask(server, "unsigned", value)
    )
    assert "signature_key 'nope' is not in the SavedModel" in reason(
        server, ask(server, "wrong", value)
    )


def test_c33_the_scalars_of_the_iris_example_are_taken(server: Server) -> None:
    found = outputs(server, "estimator", {"width": 5.2, "length": 3.6})

    assert found["class_ids"] == ["1"]
    assert int(found["class_ids"][0]) == 1


def test_versions_and_names_are_as_with_the_other_clients(server: Server) -> None:
    row = {"x": [[1, 1, 1, 1]]}

    assert outputs(server, "estimator", {"width": 1, "length": 1}, version="1607000000")
    assert ask(server, "growing", row, version="7").status_code == 404
    assert ask(server, "nope", row).status_code == 404
    assert ask(server, "growing", row, version="abc").status_code == 400
    metadata = post(server, "/asking", "metadata").json()
    assert metadata["estimator"]["versions"] == ["1607000000"]


def test_c36_a_half_uploaded_version_hides_nothing(
    server: Server, models: Path, build: Any, tmp_path: Path
) -> None:
    row = {"x": [[1, 1, 1, 1]]}
    made = build.linear(tmp_path / "2", 1, 1)
    assert outputs(server, "growing", row) == {"y": [4]}

    shutil.copytree(made, models / "growing" / "2", ignore=shutil.ignore_patterns("*.index"))
    (models / "growing" / "README").touch()
    build.linear(tmp_path / "3", 1, 2).rename(models / "growing" / "3")

    eventually(lambda: outputs(server, "growing", row) == {"y": [6]})
    assert ask(server, "growing", row, version="2").status_code == 404
    assert outputs(server, "growing", row, version="1") == {"y": [4]}
    shutil.copytree(made, models / "growing" / "2", dirs_exist_ok=True)
    eventually(lambda: ask(server, "growing", row, version="2").status_code == 200)


def test_c36_latest_is_the_newest_that_tensorflow_can_load(
    server: Server, models: Path, build: Any, tmp_path: Path
) -> None:
    row = {"x": [[1, 1, 1, 1]]}
    latest = outputs(server, "growing", row)
    damaged = build.linear(tmp_path / "20", 1, 20)
    (damaged / "saved_model.pb").write_bytes(b"half of a mod")

    damaged.rename(models / "growing" / "20")

    eventually(lambda: ask(server, "growing", row, version="20").status_code == 500)
    assert outputs(server, "growing", row) == latest
