"""What API Gateway does before a function and after it."""

import asyncio
import json
import os
import textwrap
import threading
from collections.abc import Iterator

import httpx
import pytest

from modelyard.local.emulation.definitions import FunctionDefinition
from modelyard.local.emulation.functions import Functions
from modelyard.local.emulation.gateway import RestApi
from modelyard.local.emulation.gateway_front import Gateway, create_gateway
from modelyard.local.emulation.listener import Listener
from tests.serving import eventually

HANDLER = """
    import base64, json, time

    def handler(event, context):
        path = event["path"]
        if path == "/raise":
            raise ValueError
        if path == "/malformed":
            return {"body": "no status"}
        if path == "/slow":
            time.sleep(2)
        if path == "/binary":
            body = base64.b64encode(bytes(range(256))).decode()
            return {"statusCode": 201, "body": body, "isBase64Encoded": True}
        if path == "/cookies":
            return {"statusCode": 200, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]}}
        return {"statusCode": 200, "body": json.dumps(event)}
"""


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("function")
    (folder / "handler.py").write_text(textwrap.dedent(HANDLER))
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    urls: list[str] = []

    async def serve() -> None:
        functions = Functions(lambda *_: None)
        functions.define(
            FunctionDefinition("front", folder, {"PATH": os.environ["PATH"]}, timeout_s=10)
        )
        gateway = Gateway(functions, "front", RestApi(), timeout_s=1.0)
        async with functions, Listener(create_gateway(gateway, lambda: b"metric 1\n")) as listener:
            urls.append(f"http://{listener.address}")
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    with httpx.Client(base_url=urls[0], timeout=30, trust_env=False) as client:
        eventually(lambda: client.get("/binary").status_code == 201)  # its start may take seconds
        yield client
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    loop.close()


def test_function_gets_the_event_and_the_client_its_answer(http: httpx.Client) -> None:
    answer = http.post("/some/path?a=1", content=b"\x00", headers={"x-mine": "yes"})

    event = json.loads(answer.content)
    assert event["headers"]["x-mine"] == "yes"
    assert (event["body"], event["isBase64Encoded"]) == ("AA==", True)
    assert answer.headers["x-amzn-requestid"] == event["requestContext"]["requestId"]


def test_binary_answer_arrives_as_bytes(http: httpx.Client) -> None:
    answer = http.get("/binary")

    assert (answer.status_code, answer.content) == (201, bytes(range(256)))


def test_every_value_of_a_header_arrives(http: httpx.Client) -> None:
    assert http.get("/cookies").headers.get_list("set-cookie") == ["a=1", "b=2"]


@pytest.mark.parametrize("path", ["/raise", "/malformed"])
def test_function_error_and_malformed_answer_are_502(http: httpx.Client, path: str) -> None:
    answer = http.get(path)

    assert answer.status_code == 502
    assert answer.headers["x-amzn-errortype"] == "ServiceUnavailable"
    assert answer.json() == {"__type": "ServiceUnavailable", "Message": "Internal server error"}


def test_function_that_takes_too_long_is_504(http: httpx.Client) -> None:
    answer = http.get("/slow")

    assert answer.status_code == 504
    assert answer.json()["Message"] == "Endpoint request timed out"


@pytest.mark.parametrize("size_bytes", [10 * 1024**2 + 1, 5 * 1024**2], ids=["body", "event"])
def test_body_above_10_mb_or_event_above_6_mb_is_413(http: httpx.Client, size_bytes: int) -> None:
    answer = http.post("/large", content=bytes(size_bytes))

    assert answer.status_code == 413
    assert answer.headers["x-amzn-errortype"] == "ValidationError"


def test_root_has_no_method_as_in_the_template(http: httpx.Client) -> None:
    answer = http.get("/")

    assert answer.status_code == 403
    assert answer.json()["Message"] == "Missing Authentication Token"


def test_metrics_are_answered_without_the_function(http: httpx.Client) -> None:
    assert http.get("/metrics").text == "metric 1\n"
