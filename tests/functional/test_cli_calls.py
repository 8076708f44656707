"""The verbs that call an endpoint, against a scripted HTTP server."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from modelyard.cli.main import app
from modelyard.clients.endpoint_error import EndpointError
from modelyard.clients.management import ManagementClient, warm
from modelyard.clients.plain_call import invoke_plainly

Reply = tuple[int, dict[str, str], bytes]


class Script:
    """What the server answers, in order, and what it was asked."""

    def __init__(self, replies: list[Reply]) -> None:
        self.replies = replies
        self.calls: list[tuple[str, str, bytes]] = []
        self.headers: list[dict[str, str]] = []


@contextmanager
def scripted(*replies: Reply) -> Iterator[tuple[str, Script]]:
    script = Script(list(replies))

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            script.calls.append((self.command, self.path, body))
            script.headers.append({name.lower(): value for name, value in self.headers.items()})
            status, headers, content = script.replies.pop(0)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def reply(content: object, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, json.dumps(content).encode()


def error(kind: str, status: int, message: str = "why", **headers: str) -> Reply:
    body = {"__type": kind, "Message": message}
    return reply(body, status, **{"x_amzn_errortype": kind, **headers})


NOT_READY = error("ModelNotReadyException", 429, retry_after="3")


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)


def test_models_of_all_pages_are_listed() -> None:
    first = {"models": [{"modelName": "a.onnx", "status": "LOADED"}], "nextPageToken": "t/2"}
    second = {"models": [{"modelName": "[b].onnx", "status": "NOT_LOADED", "memoryBytes": 2048}]}

    with scripted(reply(first), reply(second)) as (url, script):
        result = run("models", "home value", "--url", url)

    assert result.exit_code == 0
    assert [path for _, path, _ in script.calls] == [
        "/endpoints/home%20value/models?limit=100",
        "/endpoints/home%20value/models?limit=100&next_page_token=t%2F2",
    ]
    assert "loaded" in result.stdout
    assert "[b].onnx" in result.stdout
    assert "2.0 KiB" in result.stdout


def test_why_a_model_failed_is_below_the_table() -> None:
    line = {"modelName": "a.onnx", "status": "LOADING_FAILED", "detail": "it is [damaged]"}

    with scripted(reply({"models": [line]})) as (url, _):
        result = run("models", "e", "--url", url)

    assert "failed" in result.stdout
    assert result.stdout.endswith("a.onnx: it is [damaged]\n")


def test_models_for_scripts_are_json() -> None:
    line = {"modelName": "a", "modelUrl": "u", "status": "LOADED", "version": "v", "diskBytes": 3}

    with scripted(reply({"models": [line]})) as (url, _):
        result = run("models", "e", "--url", url, "--json")

    assert json.loads(result.stdout) == [
        {
            "name": "a",
            "status": "LOADED",
            "version": "v",
            "memory_bytes": 0,
            "disk_bytes": 3,
            "last_used_at": None,
            "detail": "",
        }
    ]


def test_unload_encodes_the_slashes_of_a_name() -> None:
    with scripted(reply({})) as (url, script):
        result = run("unload", "e", "region/a b.onnx", "--url", url)

    assert result.exit_code == 0
    assert script.calls == [("DELETE", "/endpoints/e/models/region%2Fa%20b.onnx", b"")]


def test_an_error_response_is_one_line() -> None:
    with scripted(error("ValidationError", 404, "not loaded")) as (url, _):
        result = run("unload", "e", "a", "--url", url)

    assert result.exit_code == 1
    assert result.stderr == "ValidationError (404): not loaded\n"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((502, {}, b"<html>"), "Error (502): <html>"),
        ((500, {}, b""), "Error (500): Internal Server Error"),
        ((500, {}, b"[1]"), "Error (500): [1]"),
        ((500, {}, b'{"__type": "InternalFailure"}'), "InternalFailure (500): "),
    ],
    ids=["html", "empty", "array", "no message"],
)
def test_an_error_response_of_any_shape_is_told(answer: Reply, message: str) -> None:
    with scripted(answer) as (url, _), pytest.raises(EndpointError) as caught:
        ManagementClient(url).unload("e", "a")

    assert caught.value.message.startswith(message)


def test_a_response_that_is_not_a_listing_is_one_line() -> None:
    with scripted(reply("hello")) as (url, _):
        result = run("models", "e", "--url", url)

    assert result.exit_code == 1
    assert result.stderr == f"the response of {url} is not one of Modelyard\n"


def test_warm_counts_what_is_loaded_already_as_success() -> None:
    with scripted(reply({}), error("ValidationError", 409)) as (url, script):
        result = run("warm", "e", "a.onnx", "b.onnx", "--url", url)

    assert result.exit_code == 0
    assert [json.loads(body)["model_name"] for _, _, body in script.calls] == ["a.onnx", "b.onnx"]


def test_warm_goes_on_after_a_model_that_fails() -> None:
    with scripted(error("ModelError", 424, "damaged"), reply({})) as (url, script):
        result = run("warm", "e", "a.onnx", "b.onnx", "--url", url)

    assert result.exit_code == 1
    assert "a.onnx: ModelError (424): damaged" in result.stderr
    assert len(script.calls) == 2


def test_warm_asks_again_until_a_model_is_ready() -> None:
    slept: list[float] = []

    with scripted(NOT_READY, reply({}), NOT_READY, reply({})) as (url, script):
        client = ManagementClient(url)
        done = list(warm(client, "e", ["slow", "quick"], timeout_s=60, sleep=slept.append))

    assert done == [("quick", None), ("slow", None)]
    assert slept == [1.5, 3.0]
    assert len(script.calls) == 4


def test_warm_gives_up_in_time() -> None:
    moments = iter([0.0, 4.0, 11.0])
    slept: list[float] = []

    with scripted(NOT_READY, NOT_READY) as (url, _):
        [(name, failure)] = warm(
            ManagementClient(url),
            "e",
            ["slow"],
            timeout_s=5.0,
            sleep=slept.append,
            monotonic=lambda: next(moments),
        )

    assert name == "slow"
    assert failure is not None
    assert failure.kind == "ModelNotReadyException"
    assert slept == [1.0]


def test_invoke_prints_exactly_the_bytes_of_the_answer() -> None:
    answer = bytes(range(256))

    with scripted((200, {}, answer)) as (url, script):
        result = run(
            *("invoke", "e", "1,2\n", "--target-model", "m.tar.gz", "--content-type", "text/csv"),
            *("--accept", "application/json", "--custom-attributes", "a=b", "--url", url),
        )

    assert result.stdout_bytes == answer
    assert script.calls == [("POST", "/endpoints/e/invocations", b"1,2\n")]
    sent = script.headers[0]
    assert sent["x-amzn-sagemaker-target-model"] == "m.tar.gz"
    assert sent["content-type"] == "text/csv"
    assert sent["accept"] == "application/json"
    assert sent["x-amzn-sagemaker-custom-attributes"] == "a=b"
    assert "authorization" not in sent


def test_invoke_sends_standard_input() -> None:
    with scripted((200, {}, b"")) as (url, script):
        CliRunner().invoke(app, ["invoke", "e", "-", "--url", url], input=b"\x00\xff")

    assert script.calls[0][2] == b"\x00\xff"


def test_invoke_tells_the_type_and_status_of_an_error() -> None:
    with scripted(error("ModelError", 424, "no such column")) as (url, _):
        result = run("invoke", "e", "1", "--target-model", "m", "--url", url)

    assert result.exit_code == 1
    assert result.stderr == "ModelError (424): no such column\n"


INVOKE = ("invoke", "e 1", "1,2", "--target-model", "a/b.onnx")


def test_invoke_sends_the_members_and_prints_the_body() -> None:
    with scripted((200, {}, b"[3.0]\n")) as (url, script):
        result = run(*INVOKE, "--content-type", "text/csv", "--key", "k", "--url", url)

    assert (result.exit_code, result.stdout) == (0, "[3.0]\n")
    assert script.calls == [("POST", "/endpoints/e%201/invocations", b"1,2")]
    (sent,) = script.headers
    assert sent["x-amzn-sagemaker-target-model"] == "a/b.onnx"
    assert (sent["content-type"], sent["x-api-key"]) == ("text/csv", "k")


def test_invoke_leaves_the_content_type_to_the_server() -> None:
    with scripted((200, {}, b"")) as (url, script):
        run(*INVOKE, "--url", url)

    assert "content-type" not in script.headers[0]


@pytest.mark.parametrize(
    ("name", "given", "sent"),
    [
        ("row.json", (), "application/json"),
        ("row.csv", (), "text/csv"),
        ("row.csv", ("--content-type", "text/libsvm"), "text/libsvm"),
        ("row.bin", (), None),
    ],
)
def test_invoke_sends_the_type_of_a_file(
    tmp_path: Path, name: str, given: tuple[str, ...], sent: str | None
) -> None:
    (tmp_path / name).write_bytes(b"1,2")
    with scripted((200, {}, b"")) as (url, script):
        run("invoke", "e", f"@{tmp_path / name}", *given, "--url", url)

    assert script.headers[0].get("content-type") == sent


def test_invoke_waits_for_a_model_that_is_not_ready() -> None:
    slept: list[float] = []
    members = {"EndpointName": "e", "Body": b""}

    with scripted(NOT_READY, NOT_READY, (200, {}, b"1")) as (url, _):
        assert invoke_plainly(url, members, sleep=slept.append) == b"1"

    assert slept == [3.0, 3.0]


def test_invoke_gives_up_after_five_attempts() -> None:
    with scripted(*[NOT_READY] * 5) as (url, _), pytest.raises(EndpointError, match="429"):
        invoke_plainly(url, {"EndpointName": "e", "Body": b""}, sleep=lambda _: None)


@pytest.mark.parametrize(
    ("url", "words"), [("http://127.0.0.1:1", "start it with `modelyard serve`"), ("nowhere", "")]
)
def test_invoke_without_a_server_is_one_line(url: str, words: str) -> None:
    result = run(*INVOKE, "--url", url)

    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert words in result.stderr


def test_models_fit_80_columns() -> None:
    long = "a" * 90 + ".onnx"
    line = {"modelName": long, "status": "LOADED", "version": "v" * 40, "memoryBytes": 5 << 30}

    with scripted(reply({"models": [line]})) as (url, _):
        result = CliRunner(env={"COLUMNS": "80"}).invoke(app, ("models", "e", "--url", url))

    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "loaded" in result.stdout
    assert "5.0 GiB" in result.stdout
