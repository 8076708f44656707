"""The HTTP surface: SageMaker InvokeEndpoint and the management routes, over any `Router`."""

import logging
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modelyard.catalog import Catalog, CatalogEntry
from modelyard.errors import (
    InvalidRequestError,
    ModelyardError,
    PayloadTooLargeError,
    UnsupportedOperationError,
)
from modelyard.router import Router
from modelyard.types import TargetModel
from modelyard.wire.answers import (
    Deployment,
    ErrorScene,
    HttpAnswer,
    render_error,
    render_json,
    render_management_error,
    render_prediction,
    render_untyped,
)
from modelyard.wire.constraints import MAX_BODY_BYTES
from modelyard.wire.invocations import parse_invocation, parse_retry_policy
from modelyard.wire.target_model import parse_target_model

logger = logging.getLogger(__name__)

REQUEST_ID = "x-amzn-requestid"
PAGE_LIMIT = 100
MAX_PAGE_LIMIT = 1000
SESSION_LIFETIME = timedelta(minutes=20)
_MOST_DRAINED_BYTES = 64 << 20
_EXPECTED_LOAD = 'the body must be JSON: {"model_name": "..."}'

Handler = Callable[[Request], Awaitable[HttpAnswer]]


def create_app(
    router: Router,
    catalog: Catalog,
    render_metrics: Callable[[], Awaitable[bytes]],
    deployment: Deployment,
) -> ASGIApp:
    """Return the ASGI application."""
    app = FastAPI(title="Modelyard", docs_url=None, redoc_url=None, openapi_url=None)
    invoking = InvokeRoutes(router, deployment)
    managing = ManagementRoutes(router, catalog, deployment)
    endpoint = "/endpoints/{endpoint:path}"
    for prefix in ("", "/{stage}"):  # the SDK keeps a stage of the endpoint URL as a prefix
        _add(app, "POST", f"{prefix}{endpoint}/invocations", invoking.invoke)
        for operation in ("async-invocations", "invocations-response-stream"):
            _add(app, "POST", f"{prefix}{endpoint}/{operation}", invoking.refuse)
    _add(app, "GET", "/endpoints", managing.list_endpoints)
    _add(app, "GET", f"{endpoint}/models", managing.list_models)
    _add(app, "POST", f"{endpoint}/models", managing.load)
    _add(app, "GET", f"{endpoint}/models/{{model:path}}", managing.show)
    _add(app, "DELETE", f"{endpoint}/models/{{model:path}}", managing.unload)

    @app.get("/ping")
    async def ping() -> Response:
        return Response(status_code=200)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await render_metrics(), media_type="text/plain; version=0.0.4")

    app.add_exception_handler(HTTPException, _untyped_http)
    app.add_exception_handler(Exception, _internal_failure)
    return RequestIds(app)


class InvokeRoutes:
    """`POST /endpoints/{endpoint}/invocations` and its siblings."""

    def __init__(self, router: Router, deployment: Deployment) -> None:
        self._router = router
        self._deployment = deployment

    async def invoke(self, request: Request) -> HttpAnswer:
        """SageMaker InvokeEndpoint."""
        name: str = request.path_params["endpoint"]
        headers = _headers(request)
        try:
            invocation = parse_invocation(
                name, headers, await _body(request), request_id=request.scope[REQUEST_ID]
            )
            answer = render_prediction(await self._router.invoke(invocation))
        except ModelyardError as error:
            return render_error(error, self._scene(name, headers))
        if headers.get("x-amzn-sagemaker-session-id") == "NEW_SESSION":
            answer.headers["x-amzn-sagemaker-new-session-id"] = _new_session()
        return answer

    async def refuse(self, request: Request) -> HttpAnswer:
        """InvokeEndpointAsync and InvokeEndpointWithResponseStream, not served yet."""
        name, operation = request.path_params["endpoint"], request.url.path.rsplit("/", 1)[1]
        await _body(request)
        error = UnsupportedOperationError(
            f"Endpoint {name} does not support {operation}: call invocations instead."
        )
        return render_error(error, ErrorScene(name, self._deployment))

    def _scene(self, name: str, headers: dict[str, str]) -> ErrorScene:
        endpoint = next((item for item in self._router.endpoints if item.name == name), None)
        return ErrorScene(
            endpoint_name=name,
            deployment=self._deployment,
            retry=parse_retry_policy(headers),
            not_ready_status=endpoint.not_ready_status if endpoint else None,
        )


class ManagementRoutes:
    """List, load and unload: the verbs of SageMaker's container contract, per endpoint."""

    def __init__(self, router: Router, catalog: Catalog, deployment: Deployment) -> None:
        self._router = router
        self._catalog = catalog
        self._deployment = deployment

    async def list_endpoints(self, request: Request) -> HttpAnswer:
        """`GET /endpoints`."""
        endpoints = [
            {"endpointName": endpoint.name, "modelDataUrl": endpoint.repository}
            for endpoint in self._router.endpoints
        ]
        return render_json({"endpoints": endpoints})

    async def list_models(self, request: Request) -> HttpAnswer:
        """`GET /endpoints/{endpoint}/models?limit=&next_page_token=`."""

        async def list_page(name: str) -> HttpAnswer:
            limit, after = _page(request)
            entries = await self._catalog.models(name)
            later = [entry for entry in entries if entry.target_model > after]
            page: dict[str, object] = {
                "models": [self._model(name, entry) for entry in later[:limit]]
            }
            if len(later) > limit:
                page["nextPageToken"] = later[limit - 1].target_model
            return render_json(page)

        return await self._answer(request, list_page)

    async def show(self, request: Request) -> HttpAnswer:
        """`GET /endpoints/{endpoint}/models/{model}`."""

        async def show_one(name: str) -> HttpAnswer:
            return render_json(self._model(name, await self._catalog.model(name, _target(request))))

        return await self._answer(request, show_one)

    async def load(self, request: Request) -> HttpAnswer:
        """`POST /endpoints/{endpoint}/models` with `{"model_name": ...}`."""

        async def load_one(name: str) -> HttpAnswer:
            target_model = await _model_name(request)
            await self._router.load(name, target_model, fresh=True)
            return render_json({"status": f'Model "{target_model}" loaded'})

        return await self._answer(request, load_one)

    async def unload(self, request: Request) -> HttpAnswer:
        """`DELETE /endpoints/{endpoint}/models/{model}`."""

        async def unload_one(name: str) -> HttpAnswer:
            target_model = _target(request)
            await self._router.unload(name, target_model)
            return render_json({"status": f'Model "{target_model}" unloaded'})

        return await self._answer(request, unload_one)

    async def _answer(
        self, request: Request, act: Callable[[str], Awaitable[HttpAnswer]]
    ) -> HttpAnswer:
        name: str = request.path_params["endpoint"]
        try:
            return await act(name)
        except ModelyardError as error:
            return render_management_error(error, ErrorScene(name, self._deployment))

    def _model(self, endpoint_name: str, entry: CatalogEntry) -> dict[str, object]:
        repository = self._router.endpoints.find(endpoint_name).repository
        residence = entry.residence
        return {
            "modelName": entry.target_model,
            "modelUrl": repository + entry.target_model,
            "status": residence.status,
            "version": residence.version,
            "repositoryBytes": entry.repository_bytes,
            "diskBytes": residence.disk_bytes,
            "memoryBytes": residence.memory_bytes,
            "lastUsedAt": residence.last_used_at,
            "detail": residence.detail,
        }


class RequestIds:
    """Gives every request an id and every answer its `x-amzn-RequestId`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope[REQUEST_ID] = str(uuid.uuid4())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    (REQUEST_ID.encode(), request_id.encode()),
                ]
            await send(message)

        await self._app(scope, receive, send_with_id)


def _add(app: FastAPI, method: str, path: str, handler: Handler) -> None:
    async def answer(request: Request) -> Response:
        return _response(await handler(request))

    # A plain route: nothing of FastAPI's parameter machinery runs for it.
    app.router.routes.append(Route(path, answer, methods=[method]))


def _response(answer: HttpAnswer) -> Response:
    return Response(answer.body, answer.status, answer.headers)


def _headers(request: Request) -> dict[str, str]:
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in request.headers.raw}


async def _body(request: Request) -> bytes:
    """Read the body; one that is too large is read to its end first, so that the client, who
    sends before it listens, gets to see why."""
    chunks: list[bytes] = []
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total <= MAX_BODY_BYTES:
            chunks.append(chunk)
        elif total > _MOST_DRAINED_BYTES:
            break
    if total > MAX_BODY_BYTES:
        raise PayloadTooLargeError(
            "1 validation error detected: Value at 'body' failed to satisfy constraint: Member"
            f" must have length less than or equal to {MAX_BODY_BYTES}"
        )
    return b"".join(chunks)


async def _model_name(request: Request) -> TargetModel:
    body = await _body(request)
    try:
        name = orjson.loads(body)["model_name"]
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidRequestError(_EXPECTED_LOAD) from error
    if not isinstance(name, str):
        raise InvalidRequestError(_EXPECTED_LOAD)
    return parse_target_model(name)


def _target(request: Request) -> TargetModel:
    return parse_target_model(request.path_params["model"])


def _page(request: Request) -> tuple[int, str]:
    query = request.query_params
    try:
        limit = int(query.get("limit", PAGE_LIMIT))
    except ValueError:
        limit = 0
    if not 1 <= limit <= MAX_PAGE_LIMIT:
        raise InvalidRequestError(f"limit must be a number from 1 to {MAX_PAGE_LIMIT}")
    return limit, query.get("next_page_token", "")


def _new_session() -> str:
    expires = datetime.now(UTC) + SESSION_LIFETIME
    return f"{uuid.uuid4()}; Expires={expires:%Y-%m-%dT%H:%M:%SZ}"


async def _untyped_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = "UnknownOperationException" if error.status_code == 404 else "ValidationError"
    message = f"{error.detail}: {request.method} {request.url.path}"
    return _response(render_untyped(error.status_code, kind, message))


async def _internal_failure(request: Request, error: Exception) -> Response:
    logger.error("request failed", exc_info=error, extra={"path": request.url.path})
    return _response(render_untyped(500, "InternalFailure", "internal error, see the log"))
