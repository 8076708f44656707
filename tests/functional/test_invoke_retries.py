"""A model that loads longer than a call is held, in every retry mode of the stock SDK."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.functional import artifacts
from tests.functional.served import Served
from tests.serving import body, eventually

# Retrying does not depend on where models lie, and it takes its time.

OTHER_ENVIRONMENT = "a retry may meet another execution environment, which has to load, too"
MODES = ("legacy", "standard", "adaptive")
LOAD_S = 8.0
OVERLAY = {
    "version": 1.0,
    "merge": {"shapes": {"ModelNotReadyException": {"retryable": {"throttling": False}}}},
}
"""What makes every retry mode of the SDK know a 429 of ours as one to retry."""


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the SDK slept between attempts, without sleeping."""
    seconds: list[float] = []
    impatient = SimpleNamespace(sleep=seconds.append, time=time.time)
    monkeypatch.setattr("botocore.endpoint.time", impatient)
    return seconds


def on_send(client: Any, act: Callable[[int], object]) -> list[int]:
    """Have `act` called with the number of each request before it is sent."""
    sent: list[int] = []

    def count(**_: object) -> None:
        sent.append(len(sent) + 1)
        act(len(sent))

    client.meta.events.register("before-send.sagemaker-runtime.InvokeEndpoint", count)
    return sent


def loaded_before(
    attempt: int, served: Served, endpoint: str, target: str, gate: Path
) -> Callable[[int], None]:
    """Return what opens the gate of a model, and waits until it is loaded, before an attempt."""

    def act(number: int) -> None:
        if number == attempt:
            gate.touch()
            eventually(lambda: served.server.models(endpoint)[target]["status"] == "LOADED")

    return act


@pytest.mark.local_door(OTHER_ENVIRONMENT)
@pytest.mark.parametrize(
    ("mode", "endpoint", "attempts"),
    [("legacy", "brisk", 5), ("standard", "brisk", 2), ("adaptive", "brisk", 2)],
    ids=["row04 legacy", "row05 standard", "row05 adaptive"],
)
def test_row04_05_a_retry_finds_the_model_loaded(
    served: Served, tmp_path: Path, slept: list[float], mode: str, endpoint: str, attempts: int
) -> None:
    gate = tmp_path / "gate"
    target = served.publish(artifacts.gated(gate))
    client = served.server.client(mode)
    on_send(client, loaded_before(attempts, served, endpoint, target, gate))

    answer = client.invoke_endpoint(EndpointName=endpoint, TargetModel=target, Body=b"")

    assert body(answer) == "ready"
    assert answer["ResponseMetadata"]["RetryAttempts"] == attempts - 1 == len(slept)


@pytest.mark.parametrize(
    ("mode", "attempts"), [("legacy", 5), ("standard", 3), ("adaptive", 3)], ids=MODES
)
def test_row04_05_all_attempts_used_up_is_model_not_ready(
    served: Served, tmp_path: Path, slept: list[float], mode: str, attempts: int
) -> None:
    gate = tmp_path / "gate"
    target = served.publish(artifacts.gated(gate))
    client = served.server.client(mode)
    sent = on_send(client, lambda number: None)

    with pytest.raises(client.exceptions.ModelNotReadyException) as caught:
        client.invoke_endpoint(EndpointName="brisk", TargetModel=target, Body=b"")

    gate.touch()
    assert len(sent) == attempts
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == attempts - 1
    assert len(slept) == attempts - 1


@pytest.mark.parametrize("mode", MODES)
def test_row04_05_a_fixed_429_is_retried_by_legacy_only(
    served: Served, tmp_path: Path, slept: list[float], mode: str
) -> None:
    gate = tmp_path / "gate"
    target = served.publish(artifacts.gated(gate))
    client = served.server.client(mode)
    sent = on_send(client, lambda number: None)

    with pytest.raises(client.exceptions.ModelNotReadyException) as caught:
        client.invoke_endpoint(EndpointName="brisk-429", TargetModel=target, Body=b"")

    gate.touch()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert len(sent) == (5 if mode == "legacy" else 1)


@pytest.mark.local_door(OTHER_ENVIRONMENT)
@pytest.mark.parametrize("mode", MODES)
def test_an_older_sdk_that_names_no_mode_retries_in_every_mode(
    served: Served, tmp_path: Path, slept: list[float], mode: str
) -> None:
    gate = tmp_path / "gate"
    target = served.publish(artifacts.gated(gate))
    client = served.server.client(mode)
    statuses: list[int] = []

    def send_older_agent(request: Any, **_: object) -> None:
        request.headers["User-Agent"] = "Boto3/1.26.165 Python/3.11.7 Linux/6 Botocore/1.29.165"

    def note_status(response: Any, **_: object) -> None:
        statuses.append(response[0].status_code)

    client.meta.events.register("before-send.sagemaker-runtime.InvokeEndpoint", send_older_agent)
    client.meta.events.register_first("needs-retry.sagemaker-runtime.InvokeEndpoint", note_status)
    on_send(client, loaded_before(2, served, "brisk", target, gate))

    answer = client.invoke_endpoint(EndpointName="brisk", TargetModel=target, Body=b"")

    assert body(answer) == "ready"
    assert set(statuses[:-1]) == {503}


@pytest.mark.local_door(OTHER_ENVIRONMENT)
@pytest.mark.parametrize("mode", ["standard", "adaptive"])
def test_row06_with_the_overlay_a_plain_429_is_retried(
    served: Served,
    tmp_path: Path,
    slept: list[float],
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    overlay = tmp_path / "data/sagemaker-runtime/2017-05-13/service-2.sdk-extras.json"
    overlay.parent.mkdir(parents=True)
    overlay.write_text(json.dumps(OVERLAY))
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path / "data"))
    gate = tmp_path / "gate"
    target = served.publish(artifacts.gated(gate))
    client = served.server.client(mode)
    on_send(client, loaded_before(2, served, "brisk-429", target, gate))

    answer = client.invoke_endpoint(EndpointName="brisk-429", TargetModel=target, Body=b"")

    assert body(answer) == "ready"
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one call in one retry mode ended."""

    mode: str
    requests: int
    seconds: float
    prediction: str | None

    def __str__(self) -> str:
        end = self.prediction or "ModelNotReadyException"
        return f"{self.mode}: {self.requests} requests, {self.seconds:.1f} s, {end}"


def call_patiently(served: Served, mode: str, target: str) -> Outcome:
    client = served.server.client(mode)
    sent = on_send(client, lambda number: None)
    started_at = time.monotonic()
    try:
        prediction = body(
            client.invoke_endpoint(EndpointName="impatient", TargetModel=target, Body=b"")
        )
    except client.exceptions.ModelNotReadyException:
        prediction = None
    return Outcome(mode, len(sent), time.monotonic() - started_at, prediction)


@pytest.mark.long
def test_eight_seconds_of_loading_behind_a_window_of_two_end_well(served: Served) -> None:
    targets = {mode: served.publish(artifacts.slow_to_load(LOAD_S, answer=mode)) for mode in MODES}

    with ThreadPoolExecutor() as pool:
        outcomes = list(pool.map(lambda mode: call_patiently(served, mode, targets[mode]), MODES))

    print(*outcomes, sep="\n")  # noqa: T201 - the numbers are worth seeing, with -s
    for outcome in outcomes:
        assert outcome.prediction in (outcome.mode, None)
        assert 1 <= outcome.requests <= 5
    for mode, target in targets.items():
        wait_until_loaded(served, target)
        assert body(served.invoke(target, endpoint="impatient")) == mode


def wait_until_loaded(served: Served, target: str) -> None:
    deadline = time.monotonic() + LOAD_S + 5
    while served.server.models("impatient")[target]["status"] != "LOADED":
        assert time.monotonic() < deadline
        time.sleep(0.1)
