"""`modelyard serve --lambda`: the functions of the checkout behind the doors of a deployment."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import boto3
import httpx
import psutil
import pytest

from modelyard.aws.lambda_payload import members_of
from modelyard.domain.envelope import render_request
from modelyard.domain.errors import ConfigurationError
from modelyard.domain.requests import Invoke
from modelyard.domain.values import ModelSource, Payload, TargetModel
from modelyard.local.emulation import deployment as emulated
from tests.functional import artifacts
from tests.functional.served import DirectoryModels, Served
from tests.serving import COMMANDS, KEYS, REGION, Server, body, clean_environment, eventually


@pytest.fixture
def models(tmp_path: Path) -> DirectoryModels:
    return DirectoryModels(tmp_path / "yard")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The functions of an endpoint `yard`, for tests that neither wait nor end them."""
    repository = DirectoryModels(tmp_path_factory.mktemp("shared") / "yard")
    with Server(repository.target, "--lambda", "--allow-code") as server:
        yield Served(server, repository)


def test_model_too_slow_for_its_call_is_loaded_by_the_functions(
    models: DirectoryModels, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    models.put("slow.tar.gz", artifacts.gated(gate))

    with Server(models.target, "--lambda", "--allow-code", "--sync-window", "200ms") as server:
        served = Served(server, models)
        with pytest.raises(served.sdk.exceptions.ModelNotReadyException):
            served.invoke("slow.tar.gz", endpoint="yard")
        gate.touch()
        eventually(lambda: server.metric("ModelLoadingTime_count", "yard") == 1)
        answer = body(served.invoke("slow.tar.gz", endpoint="yard"))
        hits = server.metric("ModelCacheHit_sum", "yard")
        eventually(lambda: " warmed " in server.log)
        runtimes = psutil.Process(server.pid).children()

    assert answer == "ready"
    assert hits == 1
    assert len(runtimes) == 3  # router, warmer and one shard, each with one environment
    assert not any(runtime.is_running() for runtime in runtimes)


@pytest.fixture(scope="module")
def invoke_url(shared: Served) -> str:
    """The URL of Lambda's own API, which the server prints at its start."""
    stdout = shared.server.process.stdout
    assert stdout is not None
    lines = (line.decode() for line in stdout)
    return next(line.split()[-1] for line in lines if "Invoke API" in line)


def test_router_is_a_function_that_stock_sdks_invoke(shared: Served, invoke_url: str) -> None:
    target = shared.publish(artifacts.onnx(), "model.onnx")
    session = boto3.session.Session(region_name=REGION, **KEYS)
    event = {"EndpointName": "yard", "TargetModel": target, "Body": "1,2,3,4"}

    client = session.client("lambda", endpoint_url=invoke_url)
    members = {"ContentType": "text/csv", **event}
    answer = client.invoke(FunctionName="modelyard-router", Payload=json.dumps(members))
    with answer["Payload"] as stream:
        payload = json.loads(stream.read())
    client.close()

    assert json.loads(payload["Body"]) == [[10.0]]


MARK = "import pathlib\npathlib.Path({!r}).touch()\n"
PREDICT = "def model_fn(folder): return 1\ndef predict_fn(body, model): return 'owned'\n"
PAGE = {"Origin": "https://page.example", "Content-Type": "text/plain;charset=UTF-8"}


def post(api_url: str, function: str, event: object, **headers: str) -> httpx.Response:
    url = f"{api_url}/2015-03-31/functions/{function}/invocations"
    return httpx.post(url, json=event, headers=headers, timeout=60, trust_env=False)


def test_envelope_of_somebody_else_runs_no_code(invoke_url: str, tmp_path: Path) -> None:
    """An envelope names any folder and whether code may run: functions take only each other's."""
    mark, script = tmp_path / "mark", tmp_path / "other" / "x" / "code" / "inference.py"
    script.parent.mkdir(parents=True)
    script.write_text(MARK.format(str(mark)) + PREDICT)
    source = ModelSource("yard", TargetModel("x"), f"{tmp_path.as_uri()}/other/", allow_code=True)
    invoke = Invoke(source, Payload(b"0", "text/plain"), 25.0, 25.0)
    event = members_of(render_request(invoke))

    refused = post(invoke_url, "modelyard-yard-0", event)

    assert refused.status_code == 403
    assert refused.headers["x-amzn-errortype"] == "AccessDeniedException"
    assert not mark.exists()


@pytest.mark.parametrize(
    "headers", [PAGE, {"Sec-Fetch-Site": "cross-site"}, {"Host": "rebound.example:9001"}]
)
def test_page_that_the_developer_visits_invokes_nothing(
    shared: Served, invoke_url: str, headers: dict[str, str]
) -> None:
    target = shared.publish(artifacts.onnx(), "model.onnx")
    event = {"EndpointName": "yard", "TargetModel": target, "Body": "1,2,3,4"}

    response = post(invoke_url, "modelyard-router", event, **headers)

    assert (response.status_code, response.text) == (403, "not for browsers")


def test_models_do_not_learn_how_functions_are_invoked(shared: Served) -> None:
    script = (
        "import json, os\ndef model_fn(folder): return 1\n"
        "def input_fn(body, content_type): return body\n"
        "def predict_fn(body, model): return json.dumps(dict(os.environ))\n"
        "def output_fn(text, accept): return text\n"
    )
    target = shared.publish(artifacts.script(script))

    environ = body(shared.invoke(target, endpoint="yard"))

    assert "AWS_ENDPOINT_URL_LAMBDA" not in environ


def test_frozen_runtimes_do_not_outlive_a_killed_server(models: DirectoryModels) -> None:
    with (
        pytest.raises(AssertionError, match="exit code -9"),
        Server(models.target, "--lambda") as server,
    ):
        assert server.http.get("/ping").status_code == 200
        runtimes = psutil.Process(server.pid).children()
        server.process.kill()
        server.process.wait()

    assert runtimes
    eventually(lambda: all(map(_is_gone, runtimes)))


def test_keys_need_a_folder(models: DirectoryModels) -> None:
    command = [COMMANDS / "modelyard", "serve", models.target, "--lambda", "--auth", "key"]

    result = subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, check=False
    )

    assert result.returncode == 1
    assert "auth: key needs --keys-folder" in result.stderr


def _is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_packages_that_only_a_lambda_of_ones_own_takes_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(emulated, "find_spec", lambda name: None if name == "moto" else name)

    with pytest.raises(ConfigurationError, match=r"needs packages that are missing: moto\. Run"):
        emulated.serve(cast(Any, None), "none", 0, print)
