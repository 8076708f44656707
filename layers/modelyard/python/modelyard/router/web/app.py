"""The web application with all its routes."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelyard.domain.endpoints import EndpointTable, ServerLocation, Splitter
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.values import HttpResponse
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web.async_invoking import AsyncInvocations, AsyncQueue
from modelyard.router.web.authentication import (
    AnonymousAuthenticator,
    Authentication,
    Authenticator,
)
from modelyard.router.web.calling import METHODS, ApiRoute, SplitterRoute
from modelyard.router.web.cross_origin import CrossOrigin
from modelyard.router.web.error_forms import internal_failure, render_for
from modelyard.router.web.exchange import (
    Respond,
    Routes,
    client_disconnected,
    responding,
    send_response,
    starlette_response,
)
from modelyard.router.web.invoking import InvokeEndpointRoute, InvokeStreamRoute
from modelyard.router.web.managing import ManagementRoutes
from modelyard.router.web.mlflow_scoring import ScoringRoute
from modelyard.router.web.model_calls import STAGES, ModelCalls, ModelCallsApp
from modelyard.router.web.openinference import InferRoute, OpenInferenceRoutes
from modelyard.router.web.route_hints import route_hint
from modelyard.router.web.site import WebSite
from modelyard.router.web.tensorflow_serving import PredictRoute, TensorFlowServingRoutes
from modelyard.sagemaker.responses import REQUEST_ID, SECURITY_HEADERS, render_untyped

_REQUEST_ID = REQUEST_ID.encode()
_SECURITY_HEADERS = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]


def create_app(
    router: Router,
    catalog: Catalog,
    render_metrics: Callable[[], Awaitable[bytes]],
    location: ServerLocation,
    authenticator: Authenticator | None = None,
    splitters: Sequence[Splitter] = (),
    missing: Callable[[], Sequence[str]] = tuple,
    async_queue: AsyncQueue | None = None,
) -> ASGIApp:
    """Return the ASGI application. Without an authenticator it accepts every caller.

    Without `async_queue` it refuses asynchronous invocations.

    `missing` returns the names of processes that do not run: `/ping` then answers 503.
    """
    calls = model_calls(router, catalog, location, splitters)
    app = _application(
        calls, router, catalog, render_metrics, location, splitters, missing, async_queue
    )
    return ResponseHeaders(Authentication(app, authenticator or AnonymousAuthenticator()))


def create_site(
    router: Router,
    catalog: Catalog,
    render_metrics: Callable[[], Awaitable[bytes]],
    location: ServerLocation,
    authenticator: Authenticator,
    splitters: Sequence[Splitter] = (),
    missing: Callable[[], Sequence[str]] = tuple,
    origins: Sequence[str] = (),
    pages: Sequence[Route] = (),
    async_queue: AsyncQueue | None = None,
) -> WebSite:
    """Return the same application for a server that reads requests as a whole.

    `origins` are those whose web pages may call it from a browser; `*` stands for all. `pages`
    are the routes of the page for browsers.
    """
    calls = model_calls(router, catalog, location, splitters)
    app = _application(
        calls, router, catalog, render_metrics, location, splitters, missing, async_queue
    )
    app.router.routes += pages  # the routes of Cortex APIs come first
    api_paths = _api_paths(router, splitters)
    allowed = CrossOrigin(frozenset(origins))
    return WebSite(ResponseHeaders(app), calls, authenticator, api_paths, allowed)


def _api_paths(router: Router, splitters: Sequence[Splitter]) -> frozenset[str]:
    routed = (*router.endpoints, *splitters)
    return frozenset(served.route for served in routed if served.route is not None)


def model_calls(
    router: Router, catalog: Catalog, location: ServerLocation, splitters: Sequence[Splitter]
) -> ModelCalls:
    """Return what finds and answers calls of models."""
    # The path of MLflow looks like that of an endpoint with slashes in its name.
    routes = (
        InferRoute(),
        PredictRoute(),
        ScoringRoute(),
        InvokeEndpointRoute(location),
        InvokeStreamRoute(location),
    )
    return ModelCalls(router, catalog, routes, _api_paths(router, splitters))


def _application(
    calls: ModelCalls,
    router: Router,
    catalog: Catalog,
    render_metrics: Callable[[], Awaitable[bytes]],
    location: ServerLocation,
    splitters: Sequence[Splitter],
    missing: Callable[[], Sequence[str]],
    async_queue: AsyncQueue | None,
) -> Starlette:
    """Return the application for authenticated requests.

    It has the routes of probes, metrics and Cortex APIs; FastAPI's application has all others.
    """
    open_inference = OpenInferenceRoutes(router, catalog, missing)
    described: Routes = (
        *(("POST", path, ModelCallsApp(calls).respond) for path in calls.paths),
        *_management_routes(router, catalog, location, async_queue),
        *open_inference.routes,
        *TensorFlowServingRoutes(router, catalog).routes,
    )
    server = _server_routes(render_metrics, missing)
    apis = {
        served.route: ApiRoute(router, served.name).respond
        for served in router.endpoints
        if served.route is not None
    } | {splitter.route: SplitterRoute(router, splitter).respond for splitter in splitters}
    failures = {
        HTTPException: _responding(partial(_untyped_http, router.endpoints)),
        ClientDisconnect: _responding(_client_disconnected),
        Exception: _responding(_internal_failure),
    }

    def build() -> ASGIApp:
        from modelyard.router.web.documented import create_documented

        return create_documented(described, server, apis, failures)

    probes = [
        Route(stage + path, responding(handler))
        for stage in STAGES
        for _, path, handler in open_inference.health_routes
    ]
    app = Starlette(
        routes=[
            *(Route(path, respond, methods=METHODS) for path, respond in apis.items()),
            *(Route(path, respond) for path, respond in server.items()),
            *probes,
        ],
        exception_handlers=failures,
    )
    app.router.redirect_slashes = False  # the redirect would go where the header Host says
    app.router.default = BuiltAtFirstRequest(build)
    return app


def _management_routes(
    router: Router, catalog: Catalog, location: ServerLocation, async_queue: AsyncQueue | None
) -> Routes:
    accepting = AsyncInvocations(router, catalog, async_queue, location, SystemClock())
    managing = ManagementRoutes(router, catalog, location)
    endpoint = "/endpoints/{endpoint:path}"
    models = "/endpoints/{endpoint}/models"  # no slash: names of models may contain `/models/`
    one_model = f"{models}/{{model:path}}"
    return (
        ("POST", f"{endpoint}/async-invocations", accepting.accept),
        ("GET", "/endpoints", managing.list_endpoints),
        ("GET", models, managing.guarded(managing.list_models)),
        ("POST", models, managing.guarded(managing.load)),
        ("GET", one_model, managing.guarded(managing.show)),
        ("DELETE", one_model, managing.guarded(managing.unload)),
    )


def _server_routes(
    render_metrics: Callable[[], Awaitable[bytes]], missing: Callable[[], Sequence[str]]
) -> dict[str, Respond]:
    async def ping(request: Request) -> Response:
        names = missing()
        if not names:
            return Response(status_code=200)
        message = f"not running: {', '.join(names)}"
        return starlette_response(render_untyped(503, "ServiceUnavailable", message))

    async def metrics(request: Request) -> Response:
        return Response(await render_metrics(), media_type="text/plain; version=0.0.4")

    return {"/ping": ping, "/metrics": metrics}


class BuiltAtFirstRequest:
    """Builds an application when the first request needs it (ASGI).

    The import of FastAPI would double the import time of a router; most processes never need it.
    """

    def __init__(self, build: Callable[[], ASGIApp]) -> None:
        self._build = build
        self._building = asyncio.Lock()
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application. Other requests are answered while it is built."""
        async with self._building:
            if self._app is None:
                self._app = await asyncio.to_thread(self._build)
        await self._app(scope, receive, send)


class ResponseHeaders:
    """Gives every request an id, and every response `x-amzn-RequestId` and security headers.

    The security headers forbid browsers to guess content types and forbid caches to keep
    responses. The class of a Cortex API may override them. A defect becomes a 500 response here.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope[REQUEST_ID] = _gateway_request_id(scope) or str(uuid.uuid4())
        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                given = dict(message.get("headers", ()))
                own = [(name, value) for name, value in _SECURITY_HEADERS if name not in given]
                own.append((_REQUEST_ID, request_id.encode()))
                theirs = [one for one in message.get("headers", ()) if one[0] != _REQUEST_ID]
                message["headers"] = theirs + own
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:
            if has_begun:
                raise
            await send_response(_internal_failure(Request(scope), error), send_with_headers)


def _gateway_request_id(scope: Scope) -> str | None:
    """Return the id that API Gateway gave the request: its response carries this id."""
    context: Mapping[str, Any] = scope.get("aws.event", {}).get("requestContext", {})
    request_id: str | None = context.get("requestId")
    return request_id


def _responding(
    render: Callable[[Request, Exception], HttpResponse],
) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def respond(request: Request, error: Exception) -> Response:
        return starlette_response(render(request, error))

    return respond


def _untyped_http(endpoints: EndpointTable, request: Request, error: Exception) -> HttpResponse:
    """Return the response for a wrong path or method."""
    assert isinstance(error, HTTPException)
    method, path = request.method, request.url.path
    message = f"{error.detail}: {method} {path}"
    if error.status_code != 404:
        return _rendered(request, error.status_code, "ValidationError", message)
    message += route_hint(method, path, endpoints.only_name)
    return _rendered(request, 404, "UnknownOperationException", message)


def _client_disconnected(request: Request, error: Exception) -> HttpResponse:
    return client_disconnected(request.url.path)


def _internal_failure(request: Request, error: Exception) -> HttpResponse:
    return internal_failure(request.url.path, error)


def _rendered(request: Request, status: int, kind: str, message: str) -> HttpResponse:
    """Return an error in the form of the protocol to which the path belongs."""
    response = render_for(request.url.path, status, message)
    return response or render_untyped(status, kind, message)
