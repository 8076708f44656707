"""What Lambda does to functions, done here: genuine runtimes, asked by the stock SDK."""

import base64
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from modelyard.local.emulation.definitions import MAX_PAYLOAD_BYTES
from tests.functional.emulated_lambda import EmulatedLambda
from tests.serving import eventually

ECHO = """
    import os

    def handler(event, context):
        print("printed in the call")
        return {
            "event": event,
            "left_ms": context.get_remaining_time_in_millis(),
            "arn": context.invoked_function_arn,
            "request_id": context.aws_request_id,
            "stream": os.environ["AWS_LAMBDA_LOG_STREAM_NAME"],
            "pid": os.getpid(),
        }
"""
FAULTY = """
    import os

    def handler(event, context):
        if event == "raise":
            raise ValueError("the reason")
        if event == "exit":
            os._exit(3)
        if event == "segfault":
            os.kill(os.getpid(), 11)
        return os.getpid()
"""
SLEEPER = """
    import os, time

    def handler(event, context):
        time.sleep(event["sleep"])
        if "touch" in event:
            open(event["touch"], "w").close()
        return os.getpid()
"""
COUNTER = """
    import os, threading, time

    count = 0

    def work():
        global count
        while True:
            count += 1
            time.sleep(0.001)

    threading.Thread(target=work, daemon=True).start()

    def handler(event, context):
        before = count
        time.sleep(event)
        return [before, count, os.getpid()]
"""
PARENT = """
    import subprocess

    def handler(event, context):
        child = subprocess.Popen(["sleep", "60"])
        if event == "hang":
            child.wait()
        return child.pid
"""
FAT = "def handler(event, context): return len(bytearray(event * 1024 * 1024))"
BIG = "def handler(event, context): return 'x' * event"
UNIMPORTABLE = "import no_such_module\n"
SLOW_IMPORT = """
    import os, pathlib, time

    starts = pathlib.Path(os.environ["STARTS"])
    is_first = not starts.exists()
    starts.write_text("." if is_first else "..")
    time.sleep(60 if is_first else 0)

    def handler(event, context):
        return os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""
TENANT = """
    import os

    def handler(event, context):
        return [context.tenant_id, os.getpid()]
"""


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("starts") / "starts"


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory, starts: Path) -> Iterator[EmulatedLambda]:
    emulated = EmulatedLambda(tmp_path_factory.mktemp("functions"))
    emulated.define("echo", ECHO)
    emulated.define("faulty", FAULTY)
    emulated.define("sleeper", SLEEPER, concurrency=2)
    emulated.define("hurried", SLEEPER, timeout_s=1.0)
    emulated.define("counter", COUNTER)
    emulated.define("parent", PARENT, timeout_s=1.0)
    emulated.define("fat", FAT, memory_mb=128)
    emulated.define("big", BIG)
    emulated.define("unimportable", UNIMPORTABLE)
    emulated.define("slow-import", SLOW_IMPORT, init_limit_s=3.0, environ={"STARTS": str(starts)})
    emulated.define("tenant", TENANT, per_tenant=True)
    with emulated:
        yield emulated


def test_handler_is_told_of_its_invocation(emulated: EmulatedLambda) -> None:
    answer, whole = emulated.invoke("echo", {"a": 1})

    assert answer["event"] == {"a": 1}
    assert 0 < answer["left_ms"] <= 20_000
    assert answer["arn"] == "arn:aws:lambda:us-east-1:000000000000:function:echo"
    assert answer["request_id"] == whole["ResponseMetadata"]["RequestId"]
    assert (whole["StatusCode"], whole["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in whole


def test_calls_one_after_the_other_share_an_environment(emulated: EmulatedLambda) -> None:
    answers = [emulated.invoke("echo")[0] for _ in range(5)]

    assert len({answer["pid"] for answer in answers}) == 1


def test_name_may_be_an_arn_with_an_alias(emulated: EmulatedLambda) -> None:
    answer, _ = emulated.invoke("arn:aws:lambda:us-east-1:000000000000:function:echo:live", 7)

    assert answer["event"] == 7


def test_exception_is_the_genuine_error_payload(emulated: EmulatedLambda) -> None:
    payload, whole = emulated.invoke("faulty", "raise")

    assert whole["FunctionError"] == "Unhandled"
    assert (payload["errorType"], payload["errorMessage"]) == ("ValueError", "the reason")
    assert "handler.py" in payload["stackTrace"][0]


@pytest.mark.parametrize(
    ("event", "reason"),
    [("exit", "exit status 3"), ("segfault", "signal: segmentation fault")],
)
def test_runtime_that_ends_is_an_error_and_starts_again(
    emulated: EmulatedLambda, event: str, reason: str
) -> None:
    before, _ = emulated.invoke("faulty")
    payload, whole = emulated.invoke("faulty", event)
    after, _ = emulated.invoke("faulty")

    request_id = whole["ResponseMetadata"]["RequestId"]
    assert payload == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {request_id} Error: Runtime exited with error: {reason}",
    }
    assert isinstance(after, int)
    assert after != before


def test_function_that_cannot_be_imported_says_why(emulated: EmulatedLambda) -> None:
    payload, whole = emulated.invoke("unimportable")

    assert whole["FunctionError"] == "Unhandled"
    assert payload["errorType"] == "Runtime.ImportModuleError"
    assert "no_such_module" in payload["errorMessage"]


def test_timeout_kills_and_the_next_call_initialises_again(emulated: EmulatedLambda) -> None:
    before, _ = emulated.invoke("hurried", {"sleep": 0})
    payload, whole = emulated.invoke("hurried", {"sleep": 5})
    after, _ = emulated.invoke("hurried", {"sleep": 0})

    request_id = whole["ResponseMetadata"]["RequestId"]
    assert payload["errorType"] == "Sandbox.Timedout"
    assert payload["errorMessage"].endswith(f"Z {request_id} Task timed out after 1.00 seconds")
    assert not psutil.pid_exists(before)
    assert after != before


def test_timeout_kills_the_children_of_a_function_too(emulated: EmulatedLambda) -> None:
    child, _ = emulated.invoke("parent")
    assert psutil.Process(child).status() == psutil.STATUS_STOPPED

    emulated.invoke("parent", "hang")

    eventually(lambda: _is_gone(child))


def test_threads_stand_still_between_calls(emulated: EmulatedLambda) -> None:
    _, first_end, pid = emulated.invoke("counter", 0.2)[0]
    eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    time.sleep(0.5)  # what is claimed is that nothing happens in this time
    second_start, second_end, same_pid = emulated.invoke("counter", 0.2)[0]

    assert same_pid == pid
    assert second_start - first_end < 50  # a running thread counts hundreds in half a second
    assert second_end - second_start > 50


def test_init_beyond_its_limit_runs_again_inside_the_invocation(
    emulated: EmulatedLambda, starts: Path
) -> None:
    answer, _ = emulated.invoke("slow-import")

    assert answer == "on-demand"
    assert starts.read_text() == ".."


def test_memory_beyond_the_limit_ends_the_runtime(emulated: EmulatedLambda) -> None:
    payload, _ = emulated.invoke("fat", 400)
    within, _ = emulated.invoke("fat", 20)

    assert payload["errorType"] == "Runtime.ExitError"
    assert payload["errorMessage"].endswith("signal: killed")
    assert within == 20 * 1024 * 1024


def test_call_above_the_concurrency_is_refused(emulated: EmulatedLambda) -> None:
    def call(_: int) -> Any:
        try:
            return emulated.invoke("sleeper", {"sleep": 1.5})[0]
        except ClientError as error:
            return error.response

    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(call, range(3)))

    served = [outcome for outcome in outcomes if isinstance(outcome, int)]
    (refused,) = [outcome for outcome in outcomes if not isinstance(outcome, int)]
    assert len(set(served)) == 2
    assert refused["Error"]["Code"] == "TooManyRequestsException"
    assert refused["ResponseMetadata"]["HTTPStatusCode"] == 429
    assert refused["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


def test_call_whose_client_hung_up_runs_to_its_end(
    emulated: EmulatedLambda, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    event = json.dumps({"sleep": 1, "touch": str(done)}).encode()
    host, port = emulated.url.removeprefix("http://").split(":")

    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /2015-03-31/functions/sleeper/invocations HTTP/1.1\r\nHost: {host}\r\n"
        connection.sendall(f"{head}Content-Length: {len(event)}\r\n\r\n".encode() + event)
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert not done.exists()

    eventually(done.exists)


def test_event_is_accepted_at_once_and_done_later(emulated: EmulatedLambda, tmp_path: Path) -> None:
    done = tmp_path / "done"
    event = {"sleep": 0.5, "touch": str(done)}

    _, whole = emulated.invoke("sleeper", event, InvocationType="Event")

    assert whole["StatusCode"] == 202
    assert not done.exists()
    eventually(done.exists)


def test_dry_run_runs_nothing(emulated: EmulatedLambda, tmp_path: Path) -> None:
    done = tmp_path / "done"

    _, whole = emulated.invoke("echo", {"touch": str(done)}, InvocationType="DryRun")

    assert whole["StatusCode"] == 204
    assert not done.exists()


def test_tail_has_what_this_call_printed(emulated: EmulatedLambda) -> None:
    _, whole = emulated.invoke("echo", LogType="Tail")

    log = base64.b64decode(whole["LogResult"]).decode()
    request_id = whole["ResponseMetadata"]["RequestId"]
    first, printed, end, report, *_ = log.splitlines()
    assert first == f"START RequestId: {request_id} Version: $LATEST"
    assert printed == "printed in the call"
    assert end == f"END RequestId: {request_id}"
    assert report.startswith(f"REPORT RequestId: {request_id}\tDuration: ")


@pytest.mark.parametrize(
    ("members", "code", "status"),
    [
        ({"FunctionName": "nobody"}, "ResourceNotFoundException", 404),
        ({"Payload": b"no JSON"}, "InvalidRequestContentException", 400),
        ({"Payload": b'"%s"' % (b"x" * MAX_PAYLOAD_BYTES)}, "RequestTooLargeException", 413),
        ({"TenantId": "a"}, "InvalidParameterValueException", 400),
    ],
    ids=["unknown", "no-json", "too-large", "tenant"],
)
def test_call_that_cannot_be_is_refused_as_by_lambda(
    emulated: EmulatedLambda, members: dict[str, Any], code: str, status: int
) -> None:
    with pytest.raises(ClientError) as caught:
        emulated.client.invoke(**{"FunctionName": "echo", **members})

    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status


def test_largest_answer_comes_through_and_a_larger_one_is_an_error(
    emulated: EmulatedLambda,
) -> None:
    largest, _ = emulated.invoke("big", MAX_PAYLOAD_BYTES - 2)
    larger, whole = emulated.invoke("big", MAX_PAYLOAD_BYTES)

    assert len(largest) == MAX_PAYLOAD_BYTES - 2
    assert larger["errorType"] == "Function.ResponseSizeTooLarge"
    assert whole["FunctionError"] == "Unhandled"


def test_tenants_share_no_environment(emulated: EmulatedLambda) -> None:
    first, _ = emulated.invoke("tenant", TenantId="a")
    second, _ = emulated.invoke("tenant", TenantId="b")
    again, _ = emulated.invoke("tenant", TenantId="a")

    assert [first[0], second[0]] == ["a", "b"]
    assert first[1] != second[1]
    assert again == first


def test_function_that_was_idle_for_weeks_is_prepared_first(emulated: EmulatedLambda) -> None:
    emulated.functions.find("echo").deactivate(waking_s=0.5)

    codes = []
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            emulated.invoke("echo", 1)
        codes.append(caught.value.response["Error"]["Code"])
    time.sleep(0.5)
    answer, _ = emulated.invoke("echo", 1)

    assert codes == ["ResourceNotReadyException", "ResourceConflictException"]
    assert answer["event"] == 1


def test_idle_environment_is_reaped_and_leaving_ends_all(tmp_path: Path) -> None:
    emulated = EmulatedLambda(tmp_path, idle_s=0.5)
    emulated.define("echo", ECHO)
    with emulated:
        reaped = emulated.invoke("echo")[0]["pid"]
        eventually(lambda: _is_gone(reaped))
        ended = emulated.invoke("echo")[0]["pid"]

    assert ended != reaped
    assert _is_gone(ended)


def _is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
