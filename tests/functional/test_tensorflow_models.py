"""SavedModels through the door of the stock SDK: from an archive and from a folder."""

import importlib
import shutil

import httpx
import pytest

from tests.serving import Server, body

pytestmark = pytest.mark.long  # TensorFlow takes seconds to import, once for each model


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    build = importlib.import_module("tests.models.tensorflow_models")
    models = tmp_path_factory.mktemp("repository") / "models"
    build.linear(models / "folder" / "1", 2, 1)
    archived = tmp_path_factory.mktemp("archived")
    build.linear(archived / "export" / "Servo" / "3", 3, 0)
    shutil.make_archive(str(models / "archive"), "gztar", archived)
    (models / "damaged").mkdir()
    graph = (models / "folder" / "1" / "saved_model.pb").read_bytes()
    (models / "damaged" / "saved_model.pb").write_bytes(graph[: len(graph) // 2])
    with Server(models, "--endpoint", "tensors", "--sync-window", "60s") as running:
        yield running


def invoked(server: Server, model: str, content: bytes, content_type: str):
    answer = server.client().invoke_endpoint(
        EndpointName="tensors", TargetModel=model, Body=content, ContentType=content_type
    )
    return body(answer)


@pytest.mark.parametrize(("model", "expected"), [("folder", 21), ("archive.tar.gz", 30)])
def test_rows_are_answered(server, model, expected):
    assert invoked(server, model, b"1,2,3,4\n", "text/csv") == {"predictions": [[expected]]}


def test_tensorflow_serving_client_is_answered(server):
    url = f"{server.url}/endpoints/tensors/v1/models/folder:predict"
    sent = {"signature_name": "serving_default", "instances": [{"x": [1, 2, 3, 4]}]}

    assert httpx.post(url, json=sent, timeout=60).json() == {"predictions": [[21]]}


def test_damaged_model_is_a_model_error(server):
    client = server.client()

    with pytest.raises(client.exceptions.ModelError, match=r"saved_model\.pb is damaged"):
        client.invoke_endpoint(EndpointName="tensors", TargetModel="damaged", Body=b"[[1]]")
