"""The web application behind a server that reads requests as a whole."""

import asyncio
import json
from collections.abc import Awaitable, Sequence
from typing import Any, cast

import pytest

from modelyard.domain.endpoints import Endpoint, EndpointTable, ServerLocation
from modelyard.domain.keys import issue
from modelyard.domain.requests import Answer
from modelyard.domain.values import HttpRequest, HttpResponse, Prediction, StoredKey
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web.app import create_site
from modelyard.router.web.authentication import (
    AnonymousAuthenticator,
    Authenticator,
    KeyAuthenticator,
)
from modelyard.router.web.calling import MAX_CALL_BYTES
from modelyard.router.web.known_keys import KnownKeys
from modelyard.router.web.site import MAX_OPEN_BODY_BYTES, SiteCall, WebSite
from modelyard.sagemaker.constraints import MAX_BODY_BYTES
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.memory_queue import MemoryQueue
from tests.fakes.memory_repository import MemoryRepository
from tests.fakes.metrics import RecordingMetrics

KEY, STORED = issue("team-a", 900.0, 200.0)
OTHER, _ = issue("team-b", 900.0, 200.0)
INVOCATIONS = b"/endpoints/housing/invocations"
MODELS = ("m.json", "x/models/y.json", "models/z.json", "models/models", "x/models")
EVIL = (b"host", b"evil.example")


class OneKey:
    def find(self, key_id: str) -> StoredKey | None:
        return STORED if key_id == KEY.key_id else None


class Scene:
    """The application over an inference side that follows a script."""

    API = Endpoint("iris", "memory:/iris/", route="/iris")

    def __init__(
        self,
        authenticator: Authenticator | None = None,
        endpoints: Sequence[Endpoint] = (Endpoint("housing", "memory:/"), API),
    ) -> None:
        clock, backend = FakeClock(), FakeBackend()
        self.backend = backend
        self.missing: list[str] = []
        for name in MODELS:
            answer = Answer(prediction=Prediction(name.encode(), "application/json"))
            backend.script(name, answer)
        table = EndpointTable(endpoints)
        router = Router(
            endpoints=table,
            backend_of=lambda _: backend,
            warm_queue=MemoryQueue(clock),
            metrics=RecordingMetrics(),
            clock=clock,
        )
        catalog = Catalog(
            endpoints=table,
            backend_of=lambda _: backend,
            open_repository=lambda _: MemoryRepository(dict.fromkeys(MODELS, b"1")),
            metrics=RecordingMetrics(),
        )
        self.site: WebSite = create_site(
            router,
            catalog,
            cast(Any, None),
            ServerLocation(),
            authenticator or AnonymousAuthenticator(),
            missing=lambda: self.missing,
        )

    def answer(
        self, method: str, target: bytes, *headers: tuple[bytes, bytes], body: bytes = b"1"
    ) -> HttpResponse:
        head = HttpRequest(method, target, [EVIL, *headers])
        response: HttpResponse = self.run(self.call_of(head).answer(body))
        return response

    def call(self, method: str, target: bytes, key: str | None = None) -> SiteCall:
        headers = [] if key is None else [(b"x-api-key", key.encode())]
        return self.call_of(HttpRequest(method, target, headers))

    def call_of(self, head: HttpRequest) -> SiteCall:
        return self.site.call_now(head) or self.run(self.site.call(head))

    @staticmethod
    def run(work: Awaitable[Any]) -> Any:
        async def act() -> Any:
            return await work

        return asyncio.run(act())


def with_keys() -> Scene:
    clock = FakeClock()
    return Scene(KeyAuthenticator(KnownKeys(OneKey(), clock, 60.0), clock))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("slash", ["/", "%2F"])
@pytest.mark.parametrize("prefix", ["", "/prod"])
def test_a_model_is_shown_and_unloaded_whatever_its_name(
    name: str, slash: str, prefix: str
) -> None:
    scene = Scene()
    path = f"{prefix}/endpoints/housing/models/{name.replace('/', slash)}".encode()

    shown, unloaded = scene.answer("GET", path), scene.answer("DELETE", path)

    assert (shown.status, json.loads(shown.body)["modelName"]) == (200, name)
    assert unloaded.status == 200


def test_models_are_listed() -> None:
    found = Scene().answer("GET", b"/endpoints/housing/models")

    assert [one["modelName"] for one in json.loads(found.body)["models"]] == sorted(MODELS)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", INVOCATIONS + b"/"),
        ("POST", b"/prod" + INVOCATIONS + b"/"),
        ("GET", b"/endpoints/"),
        ("GET", b"/endpoints/housing/models/"),
        ("POST", b"/endpoints/housing/models/"),
        ("GET", b"/endpoints/housing/models/m.json/"),
        ("DELETE", b"/endpoints/housing/models/m.json/"),
        ("GET", b"/ping/"),
        ("GET", b"/metrics/"),
        ("POST", b"/iris/"),
        ("GET", b"//evil.example/"),
        ("GET", b"/%2F%2Fevil.example/"),
    ],
)
def test_a_slash_at_the_end_is_no_redirect(method: str, target: bytes) -> None:
    response = Scene().answer(method, target)

    headers = dict(response.headers)
    assert response.status >= 400 or json.loads(response.body)
    assert "location" not in headers
    assert b"evil.example" not in target or response.status == 404
    assert json.loads(response.body).get("__type") == headers.get("x-amzn-errortype")


@pytest.mark.parametrize(
    ("target", "max_bytes"),
    [
        (INVOCATIONS, MAX_BODY_BYTES),
        (b"/iris?x=y", MAX_CALL_BYTES),
        (b"/ping", MAX_OPEN_BODY_BYTES),
    ],
)
def test_how_long_a_body_may_be(target: bytes, max_bytes: int) -> None:
    call = Scene().call("POST", target)

    refused = call.too_large()

    assert (call.max_body_bytes, call.refusal) == (max_bytes, None)
    assert f"less than or equal to {max_bytes}".encode() in refused.body
    assert dict(refused.headers)["x-amzn-requestid"]


@pytest.mark.parametrize("target", [INVOCATIONS, b"/iris", b"/endpoints/housing/models", b"/x"])
@pytest.mark.parametrize(
    "key",
    [None, "myk_nonsense", OTHER.text, KEY.text[:-1] + "~"],
    ids=["none", "text", "other", "wrong"],
)
def test_an_unknown_caller_is_refused_before_the_body(target: bytes, key: str | None) -> None:
    refusal = with_keys().call("POST", target, key).refusal

    assert refusal is not None
    assert refusal.status == 403
    assert dict(refusal.headers)["x-amzn-errortype"] == "AccessDeniedException"


def test_a_known_caller_may_send_a_body() -> None:
    call = with_keys().call("POST", INVOCATIONS, KEY.text)

    assert (call.max_body_bytes, call.refusal) == (MAX_BODY_BYTES, None)


def test_a_key_that_was_looked_up_is_known_at_once() -> None:
    scene = with_keys()
    head = HttpRequest("POST", INVOCATIONS, [(b"x-api-key", KEY.text.encode())])
    assert scene.site.call_now(head) is None

    scene.run(scene.site.call(head))

    known = scene.site.call_now(head)
    assert known is not None
    assert known.refusal is None


@pytest.mark.parametrize(("method", "target"), [("POST", b"/ping"), ("OPTIONS", INVOCATIONS)])
def test_what_needs_no_key_has_a_short_body(method: str, target: bytes) -> None:
    call = with_keys().call(method, target)

    assert (call.max_body_bytes, call.refusal) == (MAX_OPEN_BODY_BYTES, None)
