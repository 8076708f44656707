"""What a deployment does when loads are slow, warmers die, models are broken and callers many.

Genuine Lambda runtimes run the functions. Time is scaled down by ten: the window of a call is
2.5 s where a deployment has 25 s, and a load that takes 40 s there lasts here until the test opens
a gate, which it does after the window has passed.
"""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import boto3
import botocore.exceptions
import psutil
import pytest
from botocore.config import Config

from modelyard.local.emulation import deployment as emulated
from tests.functional import artifacts
from tests.functional.emulated_deployment import ENDPOINT, INFERENCE, EmulatedDeployment, TimeScale
from tests.functional.served import DirectoryModels
from tests.serving import KEYS, REGION, body, eventually

pytestmark = pytest.mark.long

NOT_READY = "ModelNotReadyException"
PATIENCE_S = 150.0
"""For what takes seconds on a machine that has nothing else to do."""
RECEIPTS = 5


@pytest.fixture
def models(tmp_path: Path) -> DirectoryModels:
    return DirectoryModels(tmp_path / "models")


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
def scale() -> TimeScale:
    return TimeScale()


@pytest.fixture
def deployment(
    models: DirectoryModels, tmp_path: Path, scale: TimeScale
) -> Iterator[EmulatedDeployment]:
    folder = tmp_path / "functions"
    folder.mkdir()
    with EmulatedDeployment(folder, models.root, scale) as found:
        yield found


def test_load_longer_than_the_window_is_completed_though_its_caller_is_gone(
    deployment: EmulatedDeployment, models: DirectoryModels, gate: Path
) -> None:
    models.put("slow.tar.gz", artifacts.gated(gate))

    first = deployment.call("slow.tar.gz")
    eventually(Path(f"{gate}.began").exists, PATIENCE_S)
    gate.touch()
    eventually(lambda: deployment.said('"warmed"') == 1, PATIENCE_S)
    retry = deployment.call("slow.tar.gz")

    assert (first["__type"], retry.get("Body")) == (NOT_READY, '"ready"')
    assert deployment.invocations(emulated.WARMER) == 1
    assert deployment.said('"staged"') == 1


@pytest.mark.parametrize("scale", [TimeScale(inference_s=30.0, warmer_s=10.0)])
def test_message_of_a_killed_warmer_returns_and_the_model_becomes_ready(
    deployment: EmulatedDeployment, models: DirectoryModels, gate: Path
) -> None:
    models.put("slow.tar.gz", artifacts.gated(gate))

    first = deployment.call("slow.tar.gz")
    eventually(lambda: deployment.invocations(INFERENCE) == 2, PATIENCE_S)
    os.kill(_runtime_of(emulated.WARMER).pid, signal.SIGKILL)
    gate.touch()
    eventually(lambda: deployment.said('"warmed"') == 1, PATIENCE_S)

    assert first["__type"] == NOT_READY
    assert deployment.invocations(emulated.WARMER) == 2
    assert deployment.call("slow.tar.gz").get("Body") == '"ready"'


def test_model_that_never_loads_becomes_a_dead_letter_and_its_callers_get_a_model_error(
    deployment: EmulatedDeployment, models: DirectoryModels, gate: Path
) -> None:
    models.put("broken.tar.gz", artifacts.gated(gate, failure="never"))

    first = deployment.call("broken.tar.gz")
    eventually(Path(f"{gate}.began").exists, PATIENCE_S)
    gate.touch()
    eventually(lambda: deployment.dead_letters() == 1, PATIENCE_S)
    last = deployment.call("broken.tar.gz")

    assert first["__type"] == NOT_READY
    assert last["__type"] == "ModelError"
    assert deployment.invocations(emulated.WARMER) <= RECEIPTS
    assert deployment.invocations(INFERENCE) <= RECEIPTS + 2


@pytest.mark.parametrize("mode", ["legacy", "standard", "adaptive"])
def test_function_that_was_idle_for_weeks_answers_the_stock_sdk(
    deployment: EmulatedDeployment, models: DirectoryModels, mode: str
) -> None:
    """Lambda takes longer to prepare it than the window of one call."""
    models.put("model.onnx", artifacts.onnx(features=6))
    deployment.functions.find(INFERENCE).deactivate(waking_s=4.0)
    session = boto3.session.Session(region_name=REGION, **KEYS)
    config = Config(retries={"mode": mode}, read_timeout=60)
    client = session.client("sagemaker-runtime", endpoint_url=deployment.gateway_url, config=config)

    with closing(client):
        answer = client.invoke_endpoint(
            EndpointName=ENDPOINT,
            TargetModel="model.onnx",
            ContentType="text/csv",
            Body=artifacts.ROW,
        )

    assert body(answer)
    eventually(lambda: deployment.invocations(emulated.WARMER) == 1)


def test_burst_over_many_cold_models_fetches_each_once_and_ends_with_all_ready(
    deployment: EmulatedDeployment, models: DirectoryModels
) -> None:
    targets = [f"model-{number}.tar.gz" for number in range(50)]
    for number, target in enumerate(targets):
        models.put(target, artifacts.house(float(number)))
    expected = {target: f"[{number}.0]" for number, target in enumerate(targets)}

    with ThreadPoolExecutor(200) as callers:
        asked = targets * 4
        answers = list(callers.map(lambda target: _outcome(deployment, target), asked))
    found = Counter(
        "right" if answer == expected[target] else answer
        for target, answer in zip(asked, answers, strict=True)
    )
    eventually(lambda: _all_ready(deployment, expected), PATIENCE_S)

    assert found.keys() <= {"right", NOT_READY, "TooManyRequestsException", "ThrottlingException"}
    assert deployment.said('"staged"') == len(targets)


def _all_ready(deployment: EmulatedDeployment, expected: dict[str, str]) -> bool:
    return all(_outcome(deployment, target) == body for target, body in expected.items())


def _outcome(deployment: EmulatedDeployment, target: str) -> str:
    """Return the body of an answer, or the name of the error."""
    try:
        answer = deployment.call(target)
    except botocore.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return str(answer.get("Body") or answer["__type"])


def _runtime_of(function: str) -> psutil.Process:
    return next(
        child
        for child in psutil.Process().children(recursive=True)
        if child.environ().get("AWS_LAMBDA_FUNCTION_NAME") == function
    )
