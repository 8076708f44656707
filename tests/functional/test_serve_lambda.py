"""`modelyard serve --lambda`: the functions of the checkout behind the doors of a deployment."""

import json
import subprocess
from pathlib import Path
from typing import Any, cast

import boto3
import psutil
import pytest

from modelyard.domain.errors import ConfigurationError
from modelyard.local.emulation import deployment as emulated
from tests.functional import artifacts
from tests.functional.served import DirectoryModels, Served
from tests.serving import COMMANDS, KEYS, REGION, Server, body, clean_environment, eventually


@pytest.fixture
def models(tmp_path: Path) -> DirectoryModels:
    return DirectoryModels(tmp_path / "yard")


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


def test_router_is_a_function_that_stock_sdks_invoke(models: DirectoryModels) -> None:
    models.put("model.onnx", artifacts.onnx())
    session = boto3.session.Session(region_name=REGION, **KEYS)
    event = {"EndpointName": "yard", "TargetModel": "model.onnx", "Body": "1,2,3,4"}

    with Server(models.target, "--lambda") as server:
        client = session.client("lambda", endpoint_url=_lambda_url(server))
        members = {"ContentType": "text/csv", **event}
        answer = client.invoke(FunctionName="modelyard-router", Payload=json.dumps(members))
        with answer["Payload"] as stream:
            payload = json.loads(stream.read())
        client.close()

    assert json.loads(payload["Body"]) == [[10.0]]


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


def test_keys_of_a_folder_are_refused(models: DirectoryModels, tmp_path: Path) -> None:
    command = [COMMANDS / "modelyard", "serve", models.target, "--lambda", "--port", "0"]

    result = subprocess.run(
        [*command, "--keys-folder", tmp_path],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    assert "--keys-folder" in result.stderr


def _lambda_url(server: Server) -> str:
    assert server.process.stdout is not None
    lines = (line.decode() for line in server.process.stdout)
    return next(line.split()[-1] for line in lines if "Invoke API" in line)


def _is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_packages_that_only_a_lambda_of_ones_own_takes_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(emulated, "find_spec", lambda name: None if name == "moto" else name)

    with pytest.raises(ConfigurationError, match=r"needs packages that are missing: moto\. Run"):
        emulated.serve(cast(Any, None), print)
