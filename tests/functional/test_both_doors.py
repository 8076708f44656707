"""The first calls that people make, as the guides of SageMaker and Cortex print them.

What `modelyard serve` answers, the functions of a deployment answer to the byte.
"""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional import artifacts
from tests.functional.cortex_project import Project
from tests.functional.test_aws_cli import aws
from tests.models import archives
from tests.serving import Server, clean_environment

pytestmark = pytest.mark.local_door("it has both doors itself")

TWO_ROWS = "1.0,2.0,5.0" + "\n" + "2.0,3.0,4.0"
MPG = """
    import json, os

    class PythonPredictor:
        def __init__(self, config, python_client):
            self.client = python_client

        def load_model(self, model_path):
            with open(os.path.join(model_path, "model.json")) as file:
                return json.load(file)

        def predict(self, payload, query_params):
            model_version = query_params.get("version")
            model = self.client.get_model(model_version=model_version)
            result = model["a"] * payload["weight"]
            return {"prediction": result, "model": {"version": model_version}}
"""
ANALYZER = """
    from starlette.responses import JSONResponse, PlainTextResponse

    class PythonPredictor:
        def __init__(self, config):
            self.analyzer = {"Machine learning": "POSITIVE"}.get
            self.summarizer = str.upper

        def predict(self, query_params, payload):
            model_name = query_params.get("model")
            model_input = payload["text"]
            if model_name == "sentiment":
                return {"label": self.analyzer(model_input)}
            elif model_name == "summarizer":
                return PlainTextResponse(self.summarizer(model_input))
            else:
                return JSONResponse({"error": f"unknown model: {model_name}"}, status_code=400)
"""
CLASSIFIER = """
    class ONNXPredictor:
        def __init__(self, onnx_client, config):
            self.client = onnx_client

        def predict(self, payload, query_params):
            model_name = query_params["model"]
            results = self.client.predict(payload["rows"], model_name)
            return {"label": [float(value) for value in results[0].ravel()]}
"""


Doors = tuple[Server, Server]
"""The same project behind the local server and behind the functions."""


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """A multi-model endpoint and three Cortex APIs, served twice."""
    folder = tmp_path_factory.mktemp("project")
    project = project_in(folder)
    with ExitStack() as stack:
        servers = [Server(project.config), Server(project.config, "--lambda")]
        with ThreadPoolExecutor(2) as pool:
            local, deployed = pool.map(stack.enter_context, servers)
        yield local, deployed


def project_in(folder: Path) -> Project:
    """Write the project and its models."""
    project = Project(folder)
    project.resource({"name": "houses", "kind": "MultiModelEndpoint", "models": {"path": "yard"}})
    project.write("yard/sum.tar.gz", archives.tar_gz_of({"model.onnx": artifacts.onnx(features=3)}))
    project.write("yard/house.tar.gz", artifacts.house(7.5))
    project.slope("mpg/1", 0.1)
    project.slope("mpg/2", 0.3)
    project.api("mpg-estimator", MPG, model_path="mpg/")
    project.api("multi-model-text-analyzer", ANALYZER)
    paths = [{"name": name, "model_path": f"onnx/{name}/"} for name in ("resnet50", "shufflenet")]
    for slope, model in enumerate(paths, 1):
        project.write(f"{model['model_path']}/1/model.onnx", artifacts.onnx(slope, features=3))
    project.api("multi-model-classifier", CLASSIFIER, type="onnx", models={"paths": paths})
    return project


def invoked(server: Server, target: str, body: str) -> tuple[bytes, str, str]:
    """Return what boto3 gets from the call of the guide, with the guide's retries."""
    runtime_sagemaker_client = server.client(read_timeout=70, retries={"max_attempts": 2})
    response = runtime_sagemaker_client.invoke_endpoint(
        EndpointName="houses", ContentType="text/csv", TargetModel=target, Body=body
    )
    with response["Body"] as stream:
        return stream.read(), response["ContentType"], response["InvokedProductionVariant"]


@pytest.mark.parametrize(
    ("target", "body", "answer"),
    [
        ("sum.tar.gz", TWO_ROWS, [[8.0], [9.0]]),
        ("house.tar.gz", "1,2,3,4,5,6", [7.5]),
    ],
)
def test_boto3_gets_the_same_bytes_at_both_doors(
    doors: Doors, target: str, body: str, answer: Any
) -> None:
    local, deployed = (invoked(server, target, body) for server in doors)

    assert deployed == local
    assert json.loads(local[0]) == answer


def test_boto3_gets_the_same_error_at_both_doors(doors: Doors) -> None:
    errors = []
    for server in doors:
        with pytest.raises(ClientError) as caught:
            invoked(server, "nobody.tar.gz", TWO_ROWS)
        errors.append(caught.value.response["Error"])

    assert errors[0] == errors[1]
    assert errors[0]["Code"] == "ValidationError"


def test_aws_cli_writes_the_same_file_at_both_doors(doors: Doors, tmp_path: Path) -> None:
    written = []
    for server in doors:
        call = ["--endpoint-url", server.url, "--endpoint-name", "houses", "--body", TWO_ROWS]
        call += ["--content-type", "text/csv", "--target-model", "sum.tar.gz"]
        done = aws(tmp_path, *call, "output_file.txt")
        assert (done.returncode, done.stderr) == (0, "")
        written.append((done.stdout, (tmp_path / "output_file.txt").read_bytes()))

    assert written[0] == written[1]
    assert json.loads(written[0][1]) == [[8.0], [9.0]]


def curl(url: str, sample: Path) -> tuple[bytes, bytes]:
    """Return the body and the status and content type that the guide's curl line gets."""
    header = "Content-Type: application/json"
    line = ["curl", "--silent", url, "-X", "POST", "-H", header, "-d", f"@{sample.name}"]
    seen = "\n%{http_code} %{content_type}"
    done = subprocess.run(
        [*line, "--write-out", seen],
        cwd=sample.parent,
        env=clean_environment(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    body, _, status = done.stdout.rpartition(b"\n")
    return body, status


JSON = b"200 application/json"
CAR, TEXT, ROWS = {"weight": 80}, {"text": "Machine learning"}, {"rows": [[1, 2, 5]]}
CALLS = {
    "mpg-estimator?version=1": (CAR, b'{"prediction": 8.0, "model": {"version": "1"}}', JSON),
    "mpg-estimator?version=2": (CAR, b'{"prediction": 24.0, "model": {"version": "2"}}', JSON),
    "multi-model-text-analyzer?model=sentiment": (TEXT, b'{"label": "POSITIVE"}', JSON),
    "multi-model-text-analyzer?model=summarizer": (
        TEXT,
        b"MACHINE LEARNING",
        b"200 text/plain; charset=utf-8",
    ),
    "multi-model-text-analyzer?model=other": (
        TEXT,
        b'{"error":"unknown model: other"}',
        b"400 application/json",
    ),
    "multi-model-classifier?model=resnet50": (ROWS, b'{"label": [8.0]}', JSON),
    "multi-model-classifier?model=shufflenet": (ROWS, b'{"label": [16.0]}', JSON),
}


@pytest.mark.parametrize("path", CALLS)
def test_curl_gets_the_same_bytes_at_both_doors(doors: Doors, tmp_path: Path, path: str) -> None:
    sample, body, status = CALLS[path]
    file = tmp_path / "sample.json"
    file.write_text(json.dumps(sample))

    local, deployed = (curl(f"{server.url}/{path}", file) for server in doors)

    assert deployed == local
    assert local == (body, status)
