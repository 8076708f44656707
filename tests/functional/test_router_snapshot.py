"""What the router has in its snapshot (SnapStart), so that no caller waits for it.

The genuine runtime runs the hooks; the SDK tells which clients it makes, and when.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.aws.function_settings import RouterSettings
from modelyard.aws.function_table import EndpointFunctions, FunctionTable, render_function_table
from modelyard.domain.endpoints import Endpoint
from modelyard.local.emulation.deployment import PACKAGES
from tests.functional.emulated_lambda import EmulatedLambda
from tests.serving import KEYS, REGION

ROUTER = """
    import os
    from botocore.session import Session

    made = []
    create_client = Session.create_client

    def counting(session, service, **members):
        made.append(service)
        return create_client(session, service, **members)

    Session.create_client = counting

    from modelyard.aws.router import handler_of

    answer_of = handler_of(os.environ)

    def handler(event, context):
        before = list(made)
        answer = answer_of(event, context)
        return {"before": sorted(before), "during": made[len(before):], "answer": answer}
"""
WINDOWS_S = {"housing": 25.0, "energy": 10.0}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatedLambda]:
    folder = tmp_path_factory.mktemp("lambda")
    manifest = folder / "endpoints.json"
    manifest.write_bytes(render_function_table(FunctionTable(tuple(_deployed(folder)))))
    environ = {
        **RouterSettings(str(manifest), "http://127.0.0.1:9/queue.fifo").to_environ(),
        "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:9",  # where nobody listens
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PACKAGES),
    }
    served = EmulatedLambda(folder)
    served.define("restored", ROUTER, environ=environ, snap_start=True)
    served.define("started", ROUTER, environ=environ)
    keys = RouterSettings(str(manifest), "http://127.0.0.1:9/queue.fifo", "key", "/keys")
    served.define("guarded", ROUTER, environ=environ | keys.to_environ(), snap_start=True)
    served.define("spoilt", SPOILT, snap_start=True)
    with served:
        yield served


SPOILT = """
    from snapshot_restore_py import register_after_restore

    @register_after_restore
    def fail():
        raise ValueError("no way back")

    def handler(event, context):
        return "restored"
"""


def _deployed(folder: Path) -> Iterator[EndpointFunctions]:
    for name, window_s in WINDOWS_S.items():
        endpoint = Endpoint(name, folder.as_uri(), sync_window_s=window_s)
        yield EndpointFunctions(endpoint, f"yard-{name}", shards=1)


def call(endpoint: str) -> dict[str, Any]:
    return {"EndpointName": endpoint, "TargetModel": "paris.ubj", "Body": "1,2"}


def test_call_of_a_restored_router_finds_every_client_made(served: EmulatedLambda) -> None:
    for endpoint in WINDOWS_S:
        told, _ = served.invoke("restored", call(endpoint))

        assert told["before"] == ["lambda", "lambda", "sqs"]
        assert told["during"] == []
        assert "cannot be reached" in told["answer"]["Message"]


def test_restored_router_that_asks_for_keys_has_the_client_for_them(served: EmulatedLambda) -> None:
    told, _ = served.invoke("guarded", call("housing"))

    assert told["before"] == ["lambda", "lambda", "sqs", "ssm"]
    assert told["during"] == []


def test_router_without_a_snapshot_makes_no_client_before_a_call_needs_it(
    served: EmulatedLambda,
) -> None:
    told, _ = served.invoke("started", call("housing"))

    assert told["before"] == []
    assert told["during"] == ["lambda"]
    assert "cannot be reached" in told["answer"]["Message"]


def test_function_that_fails_after_its_snapshot_says_so(served: EmulatedLambda) -> None:
    told, answer = served.invoke("spoilt")

    assert answer["FunctionError"] == "Unhandled"
    assert "no way back" in told["errorMessage"]
