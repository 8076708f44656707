"""Calls of models over any protocol: from the head of a request to its response."""

import asyncio
import re
from collections.abc import Container, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import ModelyardError, TargetModelNotFoundError
from modelyard.domain.keys import Headers
from modelyard.domain.values import HttpResponse, Invocation, Prediction, Principal
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web import content_encoding
from modelyard.router.web.authentication import principal_of
from modelyard.router.web.exchange import (
    body_of,
    client_disconnected,
    send_response,
)
from modelyard.sagemaker.constraints import MAX_BODY_BYTES
from modelyard.sagemaker.responses import REQUEST_ID

STAGES = ("", "/{stage}")
"""An SDK keeps a stage of the endpoint URL as a prefix of the path."""


class CallHead(NamedTuple):
    """What the head of a request says about the call of a model, and who the caller is."""

    route: "ModelRoute"
    endpoint_name: str
    model: str
    """The name of the model in the path; empty where the path has none."""
    version: str
    """The version of the model in the path; empty where the path has none."""
    headers: Mapping[str, str]
    """By name in lower case, without API keys."""
    principal: Principal
    request_id: str


class ModelRoute(Protocol):
    """How one protocol calls a model: it reads requests, and renders results and errors."""

    @property
    def paths(self) -> Sequence[str]:
        """The paths in Starlette's syntax, with the parameters of `CallHead`."""
        ...

    def invocation(self, head: CallHead, body: bytes, endpoint: Endpoint | None) -> Invocation:
        """Return the invocation that a request asks for; `endpoint` is None if it is unknown.

        Raises:
            ModelyardError: the request is not valid.
        """
        ...

    def render(self, head: CallHead, prediction: Prediction) -> HttpResponse:
        """Return the response with a prediction.

        Raises:
            ModelError: the protocol cannot carry the prediction.
        """
        ...

    def render_error(
        self, head: CallHead, error: ModelyardError, endpoint: Endpoint | None
    ) -> HttpResponse:
        """Return the error response."""
        ...


class ModelCalls:
    """Finds the calls of models among all requests."""

    def __init__(
        self,
        router: Router,
        catalog: Catalog,
        routes: Sequence[ModelRoute],
        api_paths: Container[str],
    ) -> None:
        """`api_paths` are the paths of Cortex APIs: they win over calls that look alike.

        The routes are tried in their order.
        """
        self._router = router
        self._catalog = catalog
        self._api_paths = api_paths
        self.paths = tuple(path for route in routes for path in route.paths)
        """The paths of all routes, without a stage."""
        self._patterns = [
            (re.compile(compile_path(stage + path)[0].pattern, re.DOTALL), route)
            for route in routes
            for path in route.paths
            for stage in STAGES
        ]
        self._endings = tuple({_ending(path) for path in self.paths})
        self._matching = lru_cache(1024)(self._match)

    def find(self, method: str, path: str) -> "Found | None":
        """Return what a request calls, or None if it calls no model. `path` is decoded."""
        if method != "POST" or not path.endswith(self._endings) or path in self._api_paths:
            return None
        return self._matching(path)

    def _match(self, path: str) -> "Found | None":
        for pattern, route in self._patterns:
            match = pattern.fullmatch(path)
            if match is not None:
                return route, match.groupdict()
        return None

    def call(
        self, found: "Found", headers: Headers, principal: Principal, request_id: str
    ) -> "ModelCall":
        """Return the call that a request begins; its `headers` have no API key."""
        route, names = found
        endpoint_name = names.get("endpoint")
        if endpoint_name is None:
            endpoint_name = self._router.endpoints.only_name or ""
        head = CallHead(
            route,
            endpoint_name,
            names.get("model", ""),
            names.get("version", ""),
            {name.decode("latin-1"): value.decode("latin-1") for name, value in headers},
            principal,
            request_id,
        )
        return ModelCall(head, self._router, self._catalog)


Found = tuple[ModelRoute, Mapping[str, str]]
"""A route, and the parameters in the path of a request."""


class ModelCall:
    """The call of a model by one request."""

    __slots__ = ("_catalog", "_endpoint", "_head", "_invocation", "_missing", "_router")

    def __init__(self, head: CallHead, router: Router, catalog: Catalog) -> None:
        self._head = head
        self._router = router
        self._catalog = catalog
        self._endpoint = router.endpoints.get(head.endpoint_name)
        self._invocation: Invocation | None = None
        self._missing: TargetModelNotFoundError | None = None

    def answer_now(self, body: bytes) -> HttpResponse | None:
        """Return the response, or None if `answer` has to make it, which may wait."""
        head, endpoint = self._head, self._endpoint
        if content_encoding.is_encoded(head.headers):
            return None
        try:
            invocation = self._invocation = head.route.invocation(head, body, endpoint)
            if endpoint is not None and not self._catalog.authorizer.is_known_to_allow(
                endpoint, head.principal, invocation.target_model
            ):
                return None
            prediction = self._router.invoke_now(invocation)
            return None if prediction is None else head.route.render(head, prediction)
        except TargetModelNotFoundError as error:
            self._missing = error
            return None
        except ModelyardError as error:
            return self.failed(error)

    async def answer(self, body: bytes) -> HttpResponse:
        """Return the response. What `answer_now` has done is not done again."""
        endpoint = self._endpoint
        try:
            if self._missing is not None:
                raise self._missing
            if content_encoding.is_encoded(self._head.headers):
                body = await self._decoded(body)
            head = self._head
            invocation = self._invocation or head.route.invocation(head, body, endpoint)
            self._invocation = invocation
            if endpoint is not None:
                await self._catalog.authorizer.authorize(
                    endpoint, head.principal, invocation.target_model
                )
            return await self._rendered(await self._router.invoke(invocation))
        except TargetModelNotFoundError as error:
            return self.failed(await self._with_hint(error))
        except ModelyardError as error:
            return self.failed(error)

    async def _rendered(self, prediction: Prediction) -> HttpResponse:
        try:
            return self._head.route.render(self._head, prediction)
        except ModelyardError:
            if prediction.more is not None:
                await prediction.more.aclose()
            raise

    async def _decoded(self, body: bytes) -> bytes:
        """Return the body decoded; afterwards the head no longer says that it is encoded."""
        headers = self._head.headers
        plain = await asyncio.to_thread(content_encoding.decoded, headers, body, MAX_BODY_BYTES)
        kept = {name: value for name, value in headers.items() if name != content_encoding.HEADER}
        self._head = self._head._replace(headers=kept)
        return plain

    async def _with_hint(self, error: TargetModelNotFoundError) -> TargetModelNotFoundError:
        """Return the error with the name of a similar model that the caller may call."""
        if self._endpoint is None or self._invocation is None:
            return error
        wanted = self._invocation.target_model
        return await self._catalog.with_hint(error, self._endpoint, self._head.principal, wanted)

    def failed(self, error: ModelyardError) -> HttpResponse:
        """Return the response to a call that fails with this error."""
        return self._head.route.render_error(self._head, error, self._endpoint)


class ModelCallsApp:
    """Answers calls of models, for a server that speaks ASGI."""

    def __init__(self, calls: ModelCalls) -> None:
        self._calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response to a request for which `ModelCalls.find` returns a route."""
        await send_response(await self.respond(Request(scope, receive)), send)

    async def respond(self, request: Request) -> HttpResponse:
        """Return the response to a request for which `ModelCalls.find` returns a route."""
        scope = request.scope
        found = self._calls.find(scope["method"], scope["path"])
        assert found is not None
        call = self._calls.call(found, scope["headers"], principal_of(request), scope[REQUEST_ID])
        try:
            return await call.answer(await body_of(request))
        except ModelyardError as error:
            return call.failed(error)
        except ClientDisconnect:
            return client_disconnected(scope["path"])


def _ending(path: str) -> str:
    """Return the end of a path after its last parameter."""
    return path.rpartition("}")[2]
