"""The web application as a server of complete requests uses it: first the head, then the body.

Calls of models go past the layers of the ASGI application: these cost several times as much as
routing the call and predicting.
"""

import uuid
from collections.abc import Container
from dataclasses import replace
from typing import Protocol
from urllib.parse import unquote

from starlette.types import ASGIApp

from modelyard.domain.errors import ModelyardError
from modelyard.domain.keys import Headers, split_key
from modelyard.domain.values import HttpRequest, HttpResponse, Principal
from modelyard.router.web import browser_keys
from modelyard.router.web.api_errors import render_api_error
from modelyard.router.web.asgi import response_of
from modelyard.router.web.authentication import Authenticator, is_open, refused
from modelyard.router.web.calling import MAX_CALL_BYTES
from modelyard.router.web.cross_origin import CrossOrigin, with_origin
from modelyard.router.web.exchange import too_large
from modelyard.router.web.model_calls import ModelCall, ModelCalls
from modelyard.sagemaker.constraints import MAX_BODY_BYTES
from modelyard.sagemaker.responses import ErrorContext, render_error, with_general_headers

MAX_OPEN_BODY_BYTES = 16 << 10
"""The longest body of a request that needs no key: its routes read none."""


class SiteCall(Protocol):
    """One request whose head was read and whose caller is known, or refused."""

    @property
    def max_body_bytes(self) -> int:
        """How long the body may be."""
        ...

    @property
    def refusal(self) -> HttpResponse | None:
        """The response, if the request is refused whatever its body is."""
        ...

    def too_large(self) -> HttpResponse:
        """Return the response to a body that is longer than it may be."""
        ...

    def answer_now(self, body: bytes) -> HttpResponse | None:
        """Return the response if it can be made at once, without waiting; else None."""
        ...

    async def answer(self, body: bytes) -> HttpResponse:
        """Return the response."""
        ...


class WebSite:
    """Turns the heads of requests into calls."""

    def __init__(
        self,
        app: ASGIApp,
        calls: ModelCalls,
        authenticator: Authenticator,
        api_paths: Container[str],
        cross_origin: CrossOrigin,
    ) -> None:
        """`app` answers authenticated requests that call no model.

        `api_paths` are the paths of Cortex APIs, whose bodies may be longer.
        """
        self._cross_origin = cross_origin
        self._app = app
        self._calls = calls
        self._authenticator = authenticator
        self._api_paths = api_paths

    def call_now(self, head: HttpRequest) -> SiteCall | None:
        """Return the call that a request begins; None if its caller has to be looked up."""
        origin = self._cross_origin.allowed(head)
        if origin is None:
            return self._call_now(head)
        path = _path(head)
        if path not in self._api_paths:
            preflight = self._cross_origin.preflight(head)
            if preflight is not None:
                return RefusedCall(with_general_headers(preflight, str(uuid.uuid4())))
        call = self._call_now(head)
        return None if call is None else _CrossOriginCall(call, origin)

    def _call_now(self, head: HttpRequest) -> SiteCall | None:
        path = _path(head)
        key, headers = _key_and_headers(head, path)
        if is_open(head.method, path):
            request = replace(head, headers=headers)
            return _ApplicationCall(self._app, request, None, MAX_OPEN_BODY_BYTES)
        try:
            principal = self._authenticator.principal_now({}, key)
        except ModelyardError as error:
            return _refused(error, path)
        return None if principal is None else self._call(head, path, headers, principal)

    async def call(self, head: HttpRequest) -> SiteCall:
        """Return the call that a request begins, for which `call_now` returned None."""
        call = await self._call_later(head)
        origin = self._cross_origin.allowed(head)
        return call if origin is None else _CrossOriginCall(call, origin)

    async def _call_later(self, head: HttpRequest) -> SiteCall:
        path = _path(head)
        key, headers = _key_and_headers(head, path)
        try:
            principal = await self._authenticator.principal({}, key)
        except ModelyardError as error:
            return _refused(error, path)
        return self._call(head, path, headers, principal)

    def _call(
        self, head: HttpRequest, path: str, headers: Headers, principal: Principal
    ) -> SiteCall:
        found = self._calls.find(head.method, path)
        if found is not None:
            request_id = str(uuid.uuid4())
            call = self._calls.call(found, headers, principal, request_id)
            return _ModelSiteCall(call, request_id)
        request = replace(head, headers=headers)
        if path in self._api_paths:
            return _ApiCall(self._app, request, principal, MAX_CALL_BYTES)
        return _ApplicationCall(self._app, request, principal, MAX_BODY_BYTES)


class RefusedCall:
    """A request that is refused, whatever its body is."""

    max_body_bytes = 0

    def __init__(self, refusal: HttpResponse) -> None:
        self.refusal = refusal

    def too_large(self) -> HttpResponse:
        """Return the refusal."""
        return self.refusal

    def answer_now(self, body: bytes) -> HttpResponse | None:
        """Return the refusal."""
        return self.refusal

    async def answer(self, body: bytes) -> HttpResponse:
        """Return the refusal."""
        return self.refusal


class _ModelSiteCall:
    """The call of a model."""

    __slots__ = ("_call", "_request_id")

    max_body_bytes = MAX_BODY_BYTES
    refusal = None

    def __init__(self, call: ModelCall, request_id: str) -> None:
        self._call = call
        self._request_id = request_id

    def too_large(self) -> HttpResponse:
        return with_general_headers(self._call.failed(too_large(MAX_BODY_BYTES)), self._request_id)

    def answer_now(self, body: bytes) -> HttpResponse | None:
        response = self._call.answer_now(body)
        return None if response is None else with_general_headers(response, self._request_id)

    async def answer(self, body: bytes) -> HttpResponse:
        return with_general_headers(await self._call.answer(body), self._request_id)


class _ApplicationCall:
    """A request that the ASGI application answers."""

    refusal = None

    def __init__(
        self, app: ASGIApp, request: HttpRequest, principal: Principal | None, max_body_bytes: int
    ) -> None:
        self._app = app
        self._request = request
        self._principal = principal
        self.max_body_bytes = max_body_bytes

    def too_large(self) -> HttpResponse:
        error = too_large(self.max_body_bytes)
        return with_general_headers(self._render(error), str(uuid.uuid4()))

    def answer_now(self, body: bytes) -> HttpResponse | None:
        return None

    async def answer(self, body: bytes) -> HttpResponse:
        return await response_of(self._app, replace(self._request, body=body), self._principal)

    def _render(self, error: ModelyardError) -> HttpResponse:
        return render_error(error, ErrorContext(""))


class _ApiCall(_ApplicationCall):
    """A request to a Cortex API."""

    def _render(self, error: ModelyardError) -> HttpResponse:
        return render_api_error(error)


class _CrossOriginCall:
    """A call by a web page that may read the response."""

    def __init__(self, call: SiteCall, origin: str) -> None:
        self._call = call
        self._origin = origin

    @property
    def max_body_bytes(self) -> int:
        return self._call.max_body_bytes

    @property
    def refusal(self) -> HttpResponse | None:
        refusal = self._call.refusal
        return None if refusal is None else with_origin(refusal, self._origin)

    def too_large(self) -> HttpResponse:
        return with_origin(self._call.too_large(), self._origin)

    def answer_now(self, body: bytes) -> HttpResponse | None:
        response = self._call.answer_now(body)
        return None if response is None else with_origin(response, self._origin)

    async def answer(self, body: bytes) -> HttpResponse:
        return with_origin(await self._call.answer(body), self._origin)


def _key_and_headers(head: HttpRequest, path: str) -> tuple[str | None, Headers]:
    key, headers = split_key(head.headers)
    if key is None and browser_keys.is_page(path):
        key = browser_keys.key_in_password(headers)
    return key, headers


def _refused(error: ModelyardError, path: str) -> RefusedCall:
    response = refused(error, path)
    if browser_keys.is_page(path):
        response = browser_keys.asking_for_key(response)
    return RefusedCall(with_general_headers(response, str(uuid.uuid4())))


def _path(head: HttpRequest) -> str:
    return unquote(head.target.partition(b"?")[0].decode("latin-1"))
