"""The web application by FastAPI: every route, and its description by OpenAPI."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response

import modelyard
from modelyard.domain.values import HttpResponse
from modelyard.router.web.exchange import Respond, Routes, responding
from modelyard.router.web.model_calls import STAGES
from modelyard.router.web.operations import SCHEMAS, api_operation, operation
from modelyard.sagemaker.responses import render_json

_DOCUMENT = "openapi.json"


def create_documented(
    routes: Routes,
    server: Mapping[str, Respond],
    apis: Mapping[str, Respond],
    failures: Mapping[type[Exception], Callable[[Request, Exception], Awaitable[Response]]],
) -> FastAPI:
    """Return the application. `routes` also work below a stage.

    `server` and `apis` are the paths of the server and of Cortex APIs. They are only described:
    their requests, like the calls of models, are answered without this application.
    """
    app = FastAPI(
        title="Modelyard",
        version=modelyard.__version__,
        servers=[{"url": "."}],  # the path may begin with a stage of API Gateway
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the redirect would go where the header Host says
    )

    async def document(request: Request) -> HttpResponse:
        return render_json(app.openapi() | {"components": {"schemas": SCHEMAS}})

    async def page(request: Request) -> HttpResponse:
        html = get_swagger_ui_html(openapi_url=_DOCUMENT, title=app.title)
        return HttpResponse(200, (("content-type", "text/html; charset=utf-8"),), bytes(html.body))

    for path, respond in server.items():
        _add(app, "GET", path, respond, operation("GET", path))
    for path, respond in apis.items():
        for method in ("POST", "GET"):
            _add(app, method, path, respond, api_operation(method, path))
    for stage in STAGES:
        for method, path, handler in routes:
            described = None if stage else operation(method, path)
            _add(app, method, stage + path, responding(handler), described)
        _add(app, "GET", f"{stage}/{_DOCUMENT}", responding(document))
        _add(app, "GET", f"{stage}/docs", responding(page))
    for kind, respond_to in failures.items():
        app.add_exception_handler(kind, respond_to)
    return app


def _add(
    app: FastAPI,
    method: str,
    path: str,
    respond: Respond,
    described: Mapping[str, Any] | None = None,
) -> None:
    """Add a route; without `described`, OpenAPI does not have it. HEAD is as GET."""
    app.add_api_route(
        path,
        respond,
        methods=[method],
        response_model=None,
        response_class=Response,
        include_in_schema=described is not None,
        **(described or {}),
    )
    if method == "GET":
        app.add_api_route(path, respond, methods=["HEAD"], include_in_schema=False)
