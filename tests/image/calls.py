"""Predictions of an image: through our control plane, and through AWS's own emulator."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import orjson

from infra.settings import PlannedEndpoint
from modelyard.aws.lambda_payload import parse_payload, render_payload
from modelyard.domain.envelope import render_request
from modelyard.domain.requests import CallApi, Invoke, Request
from modelyard.domain.values import Payload, TargetModel
from modelyard.local.emulation.control_plane import create_control_plane
from modelyard.local.emulation.functions import Functions
from modelyard.local.emulation.listener import Listener
from tests.image.functions import BuiltFunction
from tests.image.models import MODELS
from tests.image.report import say

WARM_CALLS = 20


def request_to(models: PlannedEndpoint) -> Request:
    """Return what is asked of the functions of an endpoint."""
    endpoint = models.functions.endpoint
    if models.project is None:
        model = MODELS[endpoint.name]
        payload = Payload(model.row, content_type="text/csv", accept="text/csv")
        return Invoke(endpoint.source(model.target), payload, window_s=25.0, patience_s=25.0)
    headers = (("content-type", "application/json"),)
    source = endpoint.source(TargetModel(""))
    return CallApi(source, "", headers, b'{"word": "model"}', window_s=25.0)


def check_answer(models: PlannedEndpoint, payload: bytes) -> None:
    """Hold the answer against what the model or the class computes."""
    answer = parse_payload(payload)
    assert answer.error is None, answer.error
    if models.project is None:
        assert answer.prediction is not None
        found = np.float32(answer.prediction.body)
        assert found == np.float32(MODELS[models.functions.endpoint.name].answer), answer
    else:
        assert answer.response is not None
        expected = {"greeting": "hello", "plural": "models"}
        assert orjson.loads(answer.response.body) == expected, answer


def predict(function: BuiltFunction, emulator: Path, folder: Path) -> None:
    """Call the function in both ways; both must give the right answer."""
    payload = render_payload(render_request(request_to(function.models)))
    for line in asyncio.run(_through_control_plane(function, payload, folder)):
        say(line)
    with function.witnessed(emulator) as witness:
        began = time.perf_counter()
        check_answer(function.models, orjson.dumps(witness.invoke(payload)))
        say(f"{function.name}: AWS's emulator: the same, first call {_since(began)}")


async def _through_control_plane(
    function: BuiltFunction, payload: bytes, folder: Path
) -> list[str]:
    lines: list[str] = []
    functions = Functions(lambda _, line: lines.append(line))
    functions.define(function.definition(folder))
    async with functions, Listener(create_control_plane(functions)) as door:
        client = boto3.client(
            "lambda",
            endpoint_url=f"http://{door.address}",
            region_name=function.aws["AWS_REGION"],
            aws_access_key_id="none",
            aws_secret_access_key="none",
        )
        try:
            times = await asyncio.to_thread(lambda: list(_calls(function, client, payload)))
        except AssertionError:
            say("\n".join(lines))
            raise
    init_s = next(line.rpartition("Init Duration: ")[2] for line in lines if "Init Dur" in line)
    first_s, *rest_s = times
    median_ms = sorted(rest_s)[len(rest_s) // 2] * 1000
    return [
        f"{function.name}: control plane: right answer {len(times)} times, first call"
        f" {first_s:.2f} s (init {init_s}), then {median_ms:.1f} ms in the median"
    ]


def _calls(function: BuiltFunction, client: Any, payload: bytes) -> Iterator[float]:
    name = function.models.functions.function_name(0)
    for _ in range(1 + WARM_CALLS):
        began = time.perf_counter()
        answer = client.invoke(FunctionName=name, Payload=payload)
        content = answer["Payload"].read()
        assert "FunctionError" not in answer, content
        yield time.perf_counter() - began
        check_answer(function.models, content)


def _since(began: float) -> str:
    return f"{time.perf_counter() - began:.2f} s"
