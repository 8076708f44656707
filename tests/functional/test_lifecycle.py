"""Start, stop and restart: no call is cut off, no warm request is lost."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.functional import artifacts
from tests.functional.served import DirectoryModels, Served
from tests.models.archives import tar_gz_of
from tests.serving import PATIENCE_S, Server, body, eventually

ONE_WORKER = ("--workers", "1")
CODE = ("--allow-code", *ONE_WORKER)
BRIEFLY = ("--sync-window", "200ms")


@pytest.fixture
def models(tmp_path: Path) -> DirectoryModels:
    return DirectoryModels(tmp_path / "yard")


def ask(served: Served, target: str) -> Any:
    return body(served.invoke(target, b"1", "yard"))


@pytest.mark.parametrize(
    ("build", "expected"),
    [(artifacts.slow_to_predict, "finished"), (artifacts.gated, "ready")],
    ids=["predicting", "waiting for its model"],
)
def test_a_running_call_is_answered_when_the_server_is_told_to_end(
    models: DirectoryModels, tmp_path: Path, build: Callable[[Path], bytes], expected: str
) -> None:
    gate = tmp_path / "gate"
    models.put("slow.tar.gz", build(gate))

    with Server(models.target, *CODE) as server, ThreadPoolExecutor(1) as pool:
        call = pool.submit(ask, Served(server, models), "slow.tar.gz")
        eventually(Path(f"{gate}.began").exists)
        server.terminate()
        eventually(lambda: not takes_calls(server))
        gate.touch()
        answer = call.result(PATIENCE_S)

    assert answer == expected


def takes_calls(server: Server) -> bool:
    try:
        httpx.get(f"{server.url}/ping", trust_env=False, timeout=PATIENCE_S)
    except httpx.TransportError:
        return False
    return True


@pytest.mark.local_door("the queue of functions here lives as long as the server")
def test_a_pending_warm_request_survives_a_restart(models: DirectoryModels, tmp_path: Path) -> None:
    gate, cache = tmp_path / "gate", tmp_path / "cache"
    models.put("slow.tar.gz", artifacts.gated(gate))
    options = (models.target, *CODE, *BRIEFLY)
    with Server(*options, cache_dir=cache) as server:
        served = Served(server, models)
        with pytest.raises(served.sdk.exceptions.ModelNotReadyException):
            ask(served, "slow.tar.gz")
    gate.touch()

    with Server(*options, cache_dir=cache) as server:
        eventually(lambda: server.models("yard")["slow.tar.gz"]["status"] == "LOADED")
        waits = server.metric("Invocations_count", "yard")
        answer = ask(Served(server, models), "slow.tar.gz")
        misses = server.metric("ModelLoadingWaitTime_count", "yard")

    assert (waits, answer, misses) == (0, "ready", 0)


def test_a_load_by_warming_is_measured_too(models: DirectoryModels, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    models.put("slow.tar.gz", artifacts.gated(gate))

    with Server(models.target, *CODE, *BRIEFLY) as server:
        served = Served(server, models)
        with pytest.raises(served.sdk.exceptions.ModelNotReadyException):
            ask(served, "slow.tar.gz")
        gate.touch()
        eventually(lambda: " warmed " in server.log)
        # A function tells its metrics after its log, a local server before.
        eventually(lambda: server.metric("ModelLoadingTime_count", "yard") > 0)
        loads = server.metric("ModelLoadingTime_count", "yard")

    assert loads == 1


def test_a_model_staged_before_a_restart_is_not_fetched_again(
    models: DirectoryModels, tmp_path: Path
) -> None:
    models.put("model.tar.gz", tar_gz_of({"model.onnx": artifacts.onnx()}))
    cache = tmp_path / "cache"
    for _ in range(2):
        with Server(models.target, *ONE_WORKER, cache_dir=cache) as server:
            answer = body(Served(server, models).invoke("model.tar.gz", b"1,2,3,4", "yard"))
            downloads = server.metric("ModelDownloadingTime_count", "yard")

    assert answer == [[10.0]]
    assert downloads == 0


def test_a_load_that_fails_after_the_window_ends_as_a_model_error(
    models: DirectoryModels, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    models.put("bad.tar.gz", artifacts.gated(gate, failure="weights are for another net"))

    with Server(models.target, *CODE, *BRIEFLY) as server:
        served = Served(server, models)
        with pytest.raises(served.sdk.exceptions.ModelNotReadyException):
            ask(served, "bad.tar.gz")
        gate.touch()
        eventually(lambda: server.models("yard")["bad.tar.gz"]["status"] == "LOADING_FAILED")
        with pytest.raises(served.sdk.exceptions.ModelError) as caught:
            ask(served, "bad.tar.gz")

    assert "ValueError: weights are for another net" in caught.value.response["OriginalMessage"]
    assert "code/inference.py, line " in caught.value.response["OriginalMessage"]
    assert str(tmp_path) not in caught.value.response["Message"]


@pytest.mark.local_door("about worker processes; that of runtimes is in test_serve_lambda.py")
def test_the_workers_end_with_a_server_that_is_killed(models: DirectoryModels) -> None:
    two_workers = Server(models.target, "--workers", "2")
    with pytest.raises(AssertionError, match="exit code -9"), two_workers as server:
        workers = psutil.Process(server.pid).children()
        server.process.kill()
        server.process.wait()
        assert len(workers) == 2
        eventually(lambda: not any(worker.is_running() for worker in workers))
