"""What holds for calls of models holds over every protocol that a client may speak."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from botocore.eventstream import EventStreamBuffer

from modelyard.sagemaker.async_invocations import MAX_ASYNC_BODY_BYTES
from modelyard.sagemaker.constraints import MAX_BODY_BYTES
from tests.functional import artifacts
from tests.functional.guarded import WRONG, Guarded
from tests.functional.served import Served, over_each_repository
from tests.serving import eventually

ROW = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
HEADER_LENGTH = "inference-header-content-length"


@dataclass(frozen=True)
class Protocol:
    """How a client of one protocol calls a model with the row `ROW`."""

    name: str
    path: str
    """The path below the endpoint; `{model}` is the name of the model."""
    headers: Mapping[str, str]
    body: bytes
    scores: Callable[[httpx.Response], Any]
    not_ready: tuple[int, ...] = (503,)
    unknown_model: int = 404
    too_large: int = 413
    message: str = "error"
    """The member of an error that has its message."""
    max_body_bytes: int = MAX_BODY_BYTES

    def call(
        self,
        http: httpx.Client,
        model: str,
        endpoint: str = "safe",
        *,
        key: str | None = None,
        body: bytes | None = None,
    ) -> httpx.Response:
        """Return the response to a call."""
        path = f"/endpoints/{endpoint}{self.path.format(model=model)}"
        headers = {name: value.format(model=model) for name, value in self.headers.items()}
        if key is not None:
            headers["x-api-key"] = key
        return http.post(path, headers=headers, content=self.body if body is None else body)

    def in_path(self, model: str) -> str:
        """Return a name as clients put it there, so that nobody on the way resolves its dots."""
        return quote(model, safe="") if "{model}" in self.path else model

    def error(self, response: httpx.Response) -> str:
        """Return the message of an error."""
        return str(response.json()[self.message])


def tensor(**members: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "rows", "shape": [1, 6], "datatype": "FP32", **members}]}


BINARY = json.dumps(
    tensor(parameters={"binary_data_size": 24}) | {"parameters": {"binary_data_output": True}}
).encode()


def binary_scores(response: httpx.Response) -> list[float]:
    json_bytes = int(response.headers[HEADER_LENGTH])
    [output] = json.loads(response.content[:json_bytes])["outputs"]
    assert output["datatype"] == "FP32"
    values: list[float] = np.frombuffer(response.content[json_bytes:], "<f4").tolist()
    return values


def streamed_scores(response: httpx.Response) -> Any:
    buffer = EventStreamBuffer()
    buffer.add_data(response.content)
    return json.loads(b"".join(event.payload for event in buffer))


PROTOCOLS = [
    Protocol(
        "InvokeEndpoint",
        "/invocations",
        {"x-amzn-sagemaker-target-model": "{model}", "content-type": "text/csv"},
        artifacts.ROW,
        lambda response: response.json(),
        not_ready=(429, 503),
        unknown_model=400,
        too_large=400,
        message="Message",
    ),
    Protocol(
        "InvokeEndpointWithResponseStream",
        "/invocations-response-stream",
        {"x-amzn-sagemaker-target-model": "{model}", "content-type": "text/csv"},
        artifacts.ROW,
        streamed_scores,
        not_ready=(429, 503),
        unknown_model=400,
        too_large=400,
        message="Message",
    ),
    Protocol(
        "v2 JSON",
        "/v2/models/{model}/infer",
        {"content-type": "application/json"},
        json.dumps(tensor(data=ROW)).encode(),
        lambda response: response.json()["outputs"][0]["data"],
    ),
    Protocol(
        "v2 binary",
        "/v2/models/{model}/infer",
        {HEADER_LENGTH: str(len(BINARY)), "content-type": "application/octet-stream"},
        BINARY + np.array(ROW, "<f4").tobytes(),
        binary_scores,
    ),
    Protocol(
        "v1 instances",
        "/v1/models/{model}:predict",
        {},
        json.dumps({"instances": [ROW]}).encode(),
        lambda response: response.json()["predictions"],
    ),
    Protocol(
        "v1 inputs",
        "/v1/models/{model}:predict",
        {"content-type": "application/json"},
        json.dumps({"inputs": {"rows": [ROW]}}).encode(),
        lambda response: response.json()["outputs"],
    ),
    Protocol(
        "MLflow CSV",
        "/models/{model}/invocations",
        {"content-type": "text/csv; charset=utf-8"},
        b"a,b,c,d,e,f\n" + artifacts.ROW,
        lambda response: response.json()["predictions"],
        message="message",
    ),
    *(
        Protocol(
            f"MLflow {form}",
            "/models/{model}/invocations",
            {"content-type": "application/json"},
            json.dumps({form: value}).encode(),
            lambda response: response.json()["predictions"],
            message="message",
        )
        for form, value in {
            "dataframe_split": {"columns": list("abcdef"), "data": [ROW]},
            "dataframe_records": [dict(zip("abcdef", ROW, strict=True))],
            "inputs": [ROW],
        }.items()
    ),
]
ASYNCHRONOUS = Protocol(
    "InvokeEndpointAsync",
    "/async-invocations",
    {"x-amzn-sagemaker-custom-attributes": "modelyard.target_model={model}"},
    artifacts.ROW,
    lambda response: response.headers["x-amzn-sagemaker-outputlocation"],
    unknown_model=202,
    too_large=400,
    message="Message",
    max_body_bytes=MAX_ASYNC_BODY_BYTES,
)
over_each_door = pytest.mark.parametrize(
    "protocol", [*PROTOCOLS, ASYNCHRONOUS], ids=lambda one: one.name
)
over_each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda one: one.name)
guarded_locally = pytest.mark.local_door("its keys are in a folder, those of functions in SSM")


@over_each_repository
@over_each_protocol
def test_a_model_answers(served: Served, protocol: Protocol) -> None:
    target = served.publish(artifacts.house(7.5))

    cold = protocol.call(served.server.http, target)
    warm = protocol.call(served.server.http, target)

    assert (cold.status_code, warm.status_code) == (200, 200), cold.text
    assert protocol.scores(cold) == protocol.scores(warm) == [7.5]
    assert warm.headers["x-amzn-requestid"]
    assert warm.headers["x-content-type-options"] == "nosniff"


@over_each_protocol
def test_a_call_is_counted_and_logged(served: Served, protocol: Protocol) -> None:
    target = served.publish(artifacts.house())
    before = served.server.metric("Invocations_count", "safe")

    response = protocol.call(served.server.http, target)

    request_id = response.headers["x-amzn-requestid"]
    eventually(lambda: f"request_id={request_id}" in served.server.log)
    [line] = [one for one in served.server.log.splitlines() if request_id in one]
    assert f"target={target} outcome=" in line
    after = served.server.metric("Invocations_count", "safe")
    assert after > before


@over_each_protocol
def test_a_model_that_is_loading_is_not_ready(
    served: Served, protocol: Protocol, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    target = served.publish(artifacts.gated(gate))

    loading = protocol.call(served.server.http, target, endpoint="brisk")
    gate.touch()

    assert loading.status_code in protocol.not_ready
    assert int(loading.headers["retry-after"]) >= 1
    assert "load" in protocol.error(loading)

    def status() -> int:
        return protocol.call(served.server.http, target, endpoint="brisk").status_code

    eventually(lambda: status() not in protocol.not_ready)


@over_each_protocol
def test_errors_have_their_status(served: Served, protocol: Protocol) -> None:
    broken = served.publish(b"no archive")

    unknown = protocol.call(served.server.http, "nothing-there.tar.gz")
    failing = protocol.call(served.server.http, broken)
    outside = protocol.call(served.server.http, protocol.in_path("a/../../b"))

    assert unknown.status_code == protocol.unknown_model
    assert failing.status_code in (424, 500)
    assert outside.status_code in (400, 404)
    for response in (unknown, failing, outside):
        assert protocol.error(response)


@pytest.mark.local_door("Lambda's own limit of an event is lower")
@over_each_door
def test_a_body_has_the_same_limit(served: Served, protocol: Protocol) -> None:
    response = protocol.call(
        served.server.http, served.good_model, body=b" " * (protocol.max_body_bytes + 1)
    )

    assert response.status_code == protocol.too_large
    assert str(protocol.max_body_bytes) in protocol.error(response)


def spellings(name: str) -> list[str]:
    """Return other texts for the same name in a path."""
    return [name, quote(name, safe=""), f"/{name}", "".join(f"%{ord(one):02x}" for one in name)]


@guarded_locally
@over_each_door
def test_a_key_is_needed(guarded: Guarded, protocol: Protocol) -> None:
    for key in (None, WRONG, "myk_nonsense"):
        response = protocol.call(
            guarded.server.http, "company_a/one.tar.gz", endpoint="housing", key=key
        )

        assert response.status_code == 403
        assert "key" in protocol.error(response)


@guarded_locally
@over_each_door
def test_rules_hold_under_any_spelling(guarded: Guarded, protocol: Protocol) -> None:
    def status(model: str, key: str) -> int:
        found = protocol.call(guarded.server.http, model, endpoint="housing", key=key)
        return found.status_code

    plain = "{model}" not in protocol.path  # a header is not decoded
    for model in ("company_b/one.tar.gz", "company_a/secret.tar.gz", "company_b/nothing"):
        for spelled in [model, f"/{model}"] if plain else spellings(model):
            assert status(spelled, guarded.tenant_key) == 403
    assert status("company_a/one.tar.gz", guarded.tenant_key) != 403
    assert status("company_b/one.tar.gz", guarded.admin_key) != 403
