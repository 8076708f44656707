"""`python -m benchmarks.router_overhead`: measure the router function without its Lambda call.

It measures the time from API Gateway's event, and from a direct invocation, to the answer, with
log line, metrics and access control. For comparison: an empty `async` route of Starlette behind
Mangum. All calls run in turns in this process.
"""

import argparse
import contextlib
import cProfile
import json
import os
import pstats
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mangum import Mangum
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.turns import measured, report
from modelyard.aws import router
from modelyard.aws.function_settings import RouterSettings
from modelyard.aws.function_table import EndpointFunctions, FunctionTable, render_function_table
from modelyard.aws.lambda_payload import render_answer_members
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.requests import Answer
from modelyard.domain.values import Prediction, Timings
from modelyard.local.emulation.gateway import HttpRequest, RestApi, build_event

ROW = b"0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0\n"
ANSWER = b"42.0\n"
CALLER = "arn:aws:iam::000000000000:user/forecaster"

Work = Callable[[], dict[str, Any]]


class CannedClients:
    """Creates Lambda clients that return a prepared answer of the inference function."""

    def __init__(self) -> None:
        answer = Answer(prediction=Prediction(ANSWER, "text/csv"), timings=Timings(predict_s=1e-4))
        self._payload = json.dumps(render_answer_members(answer)).encode()

    def reading_for(self, timeout_s: float) -> "CannedClients":
        """Return the client."""
        return self

    def invoke(self, **_: object) -> dict[str, Any]:
        """Return the prepared answer to an Invoke call."""
        return {"StatusCode": 200, "Payload": BytesIO(self._payload)}


def main() -> None:
    """Measure in turns and print the medians."""
    parser = argparse.ArgumentParser("python -m benchmarks.router_overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="number of turns")
    parser.add_argument("--calls", type=int, default=200, help="number of calls per turn")
    parser.add_argument("--profile", action="store_true", help="print a profile instead")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder, _nowhere():
        handle = _router(Path(folder))
        works: dict[str, Work] = {
            "Mangum and a bare route": _bare(),
            "direct invocation": _direct(handle),
            "router": _proxied(handle),
        }
        for work in works.values():
            assert ANSWER.decode() in work().values(), work()
        if told.profile:
            profile = _profile(works["router"], told.calls * told.rounds)
        else:
            found = measured(works, told.rounds, told.calls)
    if told.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
    else:
        report(found)


@contextlib.contextmanager
def _nowhere() -> Any:
    """Log in JSON as on Lambda, and discard the lines of log and metrics."""
    as_on_lambda = patch.dict(os.environ, {"AWS_LAMBDA_LOG_FORMAT": "JSON"})
    with Path(os.devnull).open("w") as sink, contextlib.redirect_stdout(sink), as_on_lambda:
        yield


def _router(folder: Path) -> Callable[[dict[str, Any]], dict[str, Any]]:
    manifest = folder / "endpoints.json"
    endpoint = Endpoint("models", folder.as_uri())
    table = FunctionTable((EndpointFunctions(endpoint, "models", 4, 60.0),))
    manifest.write_bytes(render_function_table(table))
    queue = "https://sqs.us-east-1.amazonaws.com/000000000000/warm.fifo"
    with patch.object(router, "LambdaClients", CannedClients):
        handler = router.handler_of(RouterSettings(str(manifest), queue).to_environ())
    return lambda event: handler(event, None)


def _proxied(handle: Callable[[dict[str, Any]], dict[str, Any]]) -> Work:
    event = _event()
    return lambda: handle(event)


def _direct(handle: Callable[[dict[str, Any]], dict[str, Any]]) -> Work:
    event = {
        "EndpointName": "models",
        "TargetModel": "paris.ubj",
        "ContentType": "text/csv",
        "Accept": "text/csv",
        "Body": ROW.decode(),
    }
    return lambda: handle(event)


def _bare() -> Work:
    async def answer(request: Request) -> Response:
        await request.body()
        return Response(ANSWER, media_type="text/csv")

    path = "/endpoints/{endpoint}/invocations"
    app = Mangum(Starlette(routes=[Route(path, answer, methods=["POST"])]), lifespan="off")
    event: Any = _event()
    context: Any = None
    return lambda: app(event, context)


def _event() -> dict[str, Any]:
    """Return API Gateway's event for a request that boto3 sends."""
    headers = (
        ("X-Amzn-SageMaker-Target-Model", "paris.ubj"),
        ("Content-Type", "text/csv"),
        ("Accept", "text/csv"),
        ("User-Agent", "Boto3/1.43 md/Botocore#1.43 ua/2.1 os/linux lang/python#3.11"),
        ("X-Amz-Date", "20260101T000000Z"),
        ("Authorization", "AWS4-HMAC-SHA256 Credential=0, SignedHeaders=host, Signature=0"),
        ("Host", "localhost"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Proto", "https"),
    )
    path = "/endpoints/models/invocations"
    request = HttpRequest("POST", path, "", headers, ROW, "127.0.0.1", "benchmark")
    return build_event(request, RestApi(auth="iam"), CALLER)


def _profile(work: Work, calls: int) -> cProfile.Profile:
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(calls):
        work()
    profile.disable()
    return profile


if __name__ == "__main__":
    main()
