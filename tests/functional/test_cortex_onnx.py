"""ONNX models of a Cortex API through the door: `onnx_client`, inputs and outputs, versions.

The class hands the payload to the client, as it is or as an array.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from onnx import TensorProto

from tests.functional.cortex_project import Project, post
from tests.models import onnx_models
from tests.serving import Server, eventually

ASKING = """
    import numpy as np

    class ONNXPredictor:
        def __init__(self, onnx_client, config):
            self.client = onnx_client

        def predict(self, payload, query_params):
            value = payload
            if "dtype" in query_params:
                value = np.array(payload, dtype=query_params["dtype"])
            outputs = self.client.predict(
                value, query_params.get("model"), query_params.get("version", "latest")
            )
            return [{"type": str(one.dtype), "values": one} for one in outputs]
"""

DESCRIBING = """
    class ONNXPredictor:
        def __init__(self, onnx_client, config):
            self.client = onnx_client

        def predict(self, query_params):
            model = self.client.get_model(query_params["model"])
            return {
                "session": type(model["session"]).__name__,
                "signatures": [one.name for one in model["signatures"]],
                "input_signatures": model["input_signatures"],
                "caching": self.client.caching,
                "versions": self.client.metadata[query_params["model"]]["versions"],
            }
"""

FLOAT = TensorProto.FLOAT
ECHOES: dict[str, tuple[int, list[Any]]] = {
    "row": (FLOAT, ["batch", 4]),
    "unnamed": (FLOAT, [None, 2]),
    "free": (FLOAT, ["batch", "length"]),
    "fixed": (FLOAT, [2]),
    "int64": (TensorProto.INT64, ["n"]),
    "string": (TensorProto.STRING, ["n"]),
    "bool": (TensorProto.BOOL, ["n"]),
    "float16": (TensorProto.FLOAT16, ["n"]),
    "float64": (TensorProto.DOUBLE, ["n"]),
    **{
        f"{sign}int{bits}": (getattr(TensorProto, f"{sign}int{bits}".upper()), ["n"])
        for sign, bits in [("", 8), ("", 16), ("", 32), ("u", 8), ("u", 16), ("u", 32), ("u", 64)]
    },
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("repository") / "models"


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    for name, (element, dimensions) in ECHOES.items():
        onnx_models.echo(made(models / "dir" / name), element, dimensions)
    onnx_models.sum_and_difference(made(models / "dir" / "two"))
    onnx_models.listed_initializer(made(models / "dir" / "initializer"), ir_version=3)
    onnx_models.versioned_onnx(models / "dir" / "versions", 1, 0, "2")
    onnx_models.versioned_onnx(models / "dir" / "versions", 1, 5, "10")
    onnx_models.linear_onnx(made(models), 2, 1, name="single.onnx")
    project = Project(tmp_path_factory.mktemp("project"))
    directory = str(models / "dir")
    project.api("asking", ASKING, type="onnx", models={"dir": directory})
    limits = {"cache_size": 2, "disk_cache_size": 3}
    project.api("describing", DESCRIBING, type="onnx", models={"dir": directory, **limits})
    project.api("file", ASKING, type="onnx", models={"path": str(models / "single.onnx")})
    with project.served() as server:
        yield server


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def ask(server: Server, model: str, value: Any, **query: str) -> httpx.Response:
    return post(server, "/asking", value, model=model, **query)


def values(server: Server, model: str, value: Any, **query: str) -> Any:
    """Return the only output's values."""
    answer = ask(server, model, value, **query)
    assert answer.status_code == 200, answer.text
    [output] = answer.json()
    return output["values"]


def reason(server: Server, answer: httpx.Response) -> str:
    """Return why a call failed: the caller learns nothing, the log has it."""
    assert (answer.status_code, answer.content) == (500, b"internal server error")
    request_id = answer.headers["x-amzn-requestid"]
    [line] = [line for line in server.log.splitlines() if f"request_id={request_id}" in line]
    return line.partition(" reason=")[2]


def test_c32_one_input_takes_its_value_or_a_dict_with_its_name(server: Server) -> None:
    assert values(server, "row", [[1, 2, 3, 4]]) == [[1, 2, 3, 4]]
    assert values(server, "row", {"x": [[1, 2, 3, 4]], "other": "key"}) == [[1, 2, 3, 4]]


@pytest.mark.parametrize("value", [{"y": [1, 2, 3, 4]}, {"x": None}, {}])
def test_c32_a_dict_without_the_name_is_refused(server: Server, value: Any) -> None:
    assert "key 'x' is missing" in reason(server, ask(server, "row", value))


def test_c32_several_inputs_take_a_dict_of_all(server: Server) -> None:
    answer = ask(server, "two", {"a": [[3, 4]], "b": [[1, 1]]})

    assert [output["values"] for output in answer.json()] == [[[4, 5]], [[2, 3]]]
    assert "the keys 'a', 'b'" in reason(server, ask(server, "two", {"a": [[3, 4]]}))
    assert "the keys 'a', 'b'" in reason(server, ask(server, "two", [[3, 4]]))


def test_c32_arrays_of_numbers_are_cast_others_refused(server: Server) -> None:
    assert values(server, "int64", [1.9, -1.9], dtype="float64") == [1, -1]
    assert values(server, "float16", [1, 2], dtype="int64") == [1, 2]
    refused = reason(server, ask(server, "int64", ["1"], dtype="str"))
    assert "takes int64 [*]" in refused
    assert "got an array of str" in refused


@pytest.mark.parametrize("value", [["text"], [[1], [2, 3]], [None]])
def test_c32_values_that_make_no_array_are_refused(server: Server, value: Any) -> None:
    assert "takes int64 [*]" in reason(server, ask(server, "int64", value))


@pytest.mark.parametrize("dtype", [name for name in ECHOES if name[-1].isdecimal()])
def test_c32_numbers_become_the_declared_type(server: Server, dtype: str) -> None:
    [output] = ask(server, dtype, [1, 2, 3]).json()

    assert output == {"type": dtype, "values": [1, 2, 3]}


def test_c32_texts_and_truths_have_types_too(server: Server) -> None:
    [text] = ask(server, "string", ["grün", ""]).json()

    assert text == {"type": "object", "values": ["grün", ""]}
    assert ask(server, "bool", [True, False]).json() == [{"type": "bool", "values": [True, False]}]


def test_c32_with_one_free_dimension_values_are_reshaped(server: Server) -> None:
    assert values(server, "row", [1, 2, 3, 4]) == [[1, 2, 3, 4]]
    assert values(server, "row", [[1, 2], [3, 4]]) == [[1, 2, 3, 4]]
    assert values(server, "fixed", [[1], [2]]) == [1, 2]
    assert "takes float32 [*, 4], got [3]" in reason(server, ask(server, "row", [1, 2, 3]))


def test_c32_with_two_free_dimensions_they_are_not(server: Server) -> None:
    assert values(server, "free", [[1, 2, 3]]) == [[1, 2, 3]]
    assert "the model refuses the input" in reason(server, ask(server, "free", [1, 2, 3]))


def test_c32_an_unnamed_dimension_takes_a_batch(server: Server) -> None:
    assert values(server, "unnamed", [[1, 2], [3, 4]]) == [[1, 2], [3, 4]]


def test_c32_a_constant_is_no_input(server: Server) -> None:
    assert values(server, "initializer", [1, 2]) == [11, 12]


def test_the_client_describes_a_model(server: Server) -> None:
    assert post(server, "/describing", model="two").json() == {
        "session": "InferenceSession",
        "signatures": ["a", "b"],
        "input_signatures": {
            "a": {"shape": [None, 2], "type": "float32"},
            "b": {"shape": [None, 2], "type": "float32"},
        },
        "caching": True,
        "versions": ["1"],
    }


def test_versions_are_asked_for_by_number(server: Server) -> None:
    row = [[1, 1, 1, 1]]

    assert values(server, "versions", row) == [[9]]
    assert values(server, "versions", row, version="2") == [[4]]
    assert ask(server, "versions", row, version="3").status_code == 404


def test_c43_a_file_may_be_the_model(server: Server) -> None:
    assert post(server, "/file", [[1, 1, 1, 1]]).json()[0]["values"] == [[9]]
    assert post(server, "/file", [[1, 1, 1, 1]], version="1").status_code == 200


def test_c36_a_malformed_version_beside_a_good_one_hides_nothing(
    server: Server, models: Path
) -> None:
    row = [[1, 1, 1, 1]]
    folder = models / "dir" / "growing"
    onnx_models.versioned_onnx(folder, 1, 0, "1")
    assert values(server, "growing", row) == [[4]]

    (folder / "2").mkdir()
    onnx_models.linear_onnx(folder / "2", 1, 1)
    (folder / "2" / "labels.txt").touch()
    (folder / "README").touch()
    onnx_models.versioned_onnx(folder, 1, 2, "3")

    eventually(lambda: values(server, "growing", row) == [[6]])
    assert values(server, "growing", row, version="1") == [[4]]
    assert ask(server, "growing", row, version="2").status_code == 404
    (folder / "2" / "labels.txt").unlink()
    eventually(lambda: ask(server, "growing", row, version="2").status_code == 200)


def test_c36_latest_is_the_newest_that_onnx_runtime_can_load(server: Server, models: Path) -> None:
    row = [[1, 1, 1, 1]]
    folder = models / "dir" / "damaged"
    onnx_models.versioned_onnx(folder, 1, 0, "1")
    assert values(server, "damaged", row) == [[4]]

    (folder / "2").mkdir()
    (folder / "2" / "model.onnx").write_bytes(b"half of a mod")

    eventually(lambda: ask(server, "damaged", row, version="2").status_code == 500)
    assert values(server, "damaged", row) == [[4]]
