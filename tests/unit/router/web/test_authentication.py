"""The principal of a request, as the events of API Gateway and keys tell it."""

import json
from typing import Any, cast

import pytest

from modelyard.domain.endpoints import AccessRule, Endpoint, EndpointTable, ServerLocation
from modelyard.domain.errors import DependencyError
from modelyard.domain.keys import issue
from modelyard.domain.ports import KeyStore
from modelyard.domain.requests import Answer
from modelyard.domain.values import Prediction, Principal, StoredKey
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web.app import create_app
from modelyard.router.web.authentication import (
    Authenticator,
    GatewayIamAuthenticator,
    KeyAuthenticator,
    iam_principal,
)
from modelyard.router.web.known_keys import KnownKeys
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.memory_queue import MemoryQueue
from tests.fakes.memory_repository import MemoryRepository
from tests.fakes.metrics import RecordingMetrics
from tests.gateway import function_response

ACCOUNT = "111122223333"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/team-a"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/team-a/alice"
RULE = AccessRule(ROLE, ("company_a/*",))
KEY, STORED = issue("team-a", 900.0, 200.0)


class BrokenStore:
    def find(self, key_id: str) -> StoredKey | None:
        raise DependencyError("the keys cannot be read")


class DefectiveStore:
    def find(self, key_id: str) -> StoredKey | None:
        raise RuntimeError("a defect")


class OneKey:
    def find(self, key_id: str) -> StoredKey | None:
        return STORED if key_id == KEY.key_id else None


def key_authenticator(store: KeyStore, clock: FakeClock) -> KeyAuthenticator:
    return KeyAuthenticator(KnownKeys(store, clock, 60.0), clock)


def answer(
    authenticator: Authenticator, identity: dict[str, Any], **headers: str
) -> tuple[int, dict[str, Any]]:
    """Invoke `company_a/one` by an event of API Gateway."""
    clock, backend = FakeClock(), FakeBackend()
    backend.script("company_a/one", Answer(prediction=Prediction(b"{}", "application/json")))
    endpoints = EndpointTable([Endpoint("housing", "s3://models/", access=(RULE,))])
    router = Router(
        endpoints=endpoints,
        backend_of=lambda _: backend,
        warm_queue=MemoryQueue(clock),
        metrics=RecordingMetrics(),
        clock=clock,
    )
    catalog = Catalog(
        endpoints=endpoints,
        backend_of=lambda _: backend,
        open_repository=lambda _: MemoryRepository(),
        metrics=RecordingMetrics(),
    )
    app = create_app(router, catalog, cast(Any, None), ServerLocation(), authenticator)
    sent = {"X-Amzn-SageMaker-Target-Model": "company_a/one"} | headers
    event = {
        "resource": "/{proxy+}",
        "path": "/endpoints/housing/invocations",
        "httpMethod": "POST",
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"identity": identity, "stage": "prod", "httpMethod": "POST"},
        "body": "1",
        "isBase64Encoded": False,
    }
    found = function_response(app, event)
    return found["statusCode"], json.loads(found["body"])


@pytest.mark.parametrize(
    ("arn", "principal"),
    [
        (SESSION, Principal(SESSION, ROLE)),
        (
            "arn:aws-cn:sts::1:assumed-role/r/s",
            Principal("arn:aws-cn:sts::1:assumed-role/r/s", "arn:aws-cn:iam::1:role/r"),
        ),
        ("arn:aws:iam::1:user/a/b", Principal("arn:aws:iam::1:user/a/b")),
        ("arn:aws:sts::1:federated-user/a", Principal("arn:aws:sts::1:federated-user/a")),
    ],
)
def test_session_of_a_role_is_known_by_its_role_too(arn: str, principal: Principal) -> None:
    assert iam_principal(arn) == principal


def test_role_of_the_event_is_held_to_its_rules() -> None:
    let_in = answer(GatewayIamAuthenticator(), {"userArn": SESSION})
    kept_out = answer(GatewayIamAuthenticator(), {"userArn": SESSION.replace("team-a", "team-b")})

    assert let_in[0] == 200
    assert (kept_out[0], kept_out[1]["__type"]) == (403, "AccessDeniedException")


@pytest.mark.parametrize("identity", [{}, {"userArn": None}, {"userArn": ""}])
def test_event_without_an_identity_is_refused(identity: dict[str, Any]) -> None:
    status, members = answer(GatewayIamAuthenticator(), identity)

    assert status == 403
    assert members["Message"] == "the request is not signed by an AWS identity"


def test_header_cannot_stand_in_for_the_identity() -> None:
    status, _ = answer(GatewayIamAuthenticator(), {}, **{"userArn": SESSION, "x-api-key": KEY.text})

    assert status == 403


def test_expired_key_is_refused() -> None:
    clock = FakeClock(now=1_100.0)

    status, members = answer(key_authenticator(OneKey(), clock), {}, **{"x-api-key": KEY.text})

    assert (status, members["Message"]) == (403, "the key is not valid")


def test_valid_key_is_held_to_the_rules_of_its_name() -> None:
    sent = {"x-api-key": KEY.text}

    status, members = answer(key_authenticator(OneKey(), FakeClock()), {}, **sent)

    assert (status, members["__type"]) == (403, "AccessDeniedException")
    assert members["Message"].startswith("team-a is not allowed")


def test_store_out_of_reach_lets_nobody_in() -> None:
    sent = {"x-api-key": KEY.text}

    status, members = answer(key_authenticator(BrokenStore(), FakeClock()), {}, **sent)

    assert (status, members["__type"]) == (530, "InternalDependencyException")


def test_defect_before_any_route_is_an_answer_too() -> None:
    status, body = answer(
        key_authenticator(DefectiveStore(), FakeClock()), {}, **{"x-api-key": KEY.text}
    )

    assert (status, body["__type"]) == (500, "InternalFailure")
    assert "defect" not in body["Message"]
