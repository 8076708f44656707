"""Routes of Cortex APIs: `POST` runs the user's class, `GET` returns a summary (Cortex v0.24)."""

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from modelyard.domain.endpoints import Splitter
from modelyard.domain.errors import InvalidRequestError, ModelyardError
from modelyard.domain.values import ApiCall, HttpResponse, TargetModel
from modelyard.router.router import Router
from modelyard.router.web.api_errors import render_api_error
from modelyard.router.web.exchange import body_of
from modelyard.sagemaker.responses import REQUEST_ID
from modelyard.sagemaker.target_model import parse_target_model

logger = logging.getLogger(__name__)

MAX_CALL_BYTES = 64 << 20
DESCRIBE_TIMEOUT_S = 30.0
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
"""All methods are routed here, so that a wrong one gets Cortex's own error."""
_CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "*",
    "access-control-allow-credentials": "true",
    "access-control-max-age": "1728000",
}
_OURS = ("connection", "content-length", "date", "transfer-encoding", REQUEST_ID)
_WITHOUT_BODY = (204, 304)


class ApiRoute:
    """The one route of one API."""

    def __init__(self, router: Router, name: str) -> None:
        self._router = router
        self._name = name

    async def respond(self, request: Request) -> Response:
        """Return the response to a request of any method."""
        match request.method:
            case "OPTIONS":
                return Response(status_code=204, headers=_CORS)
            case "POST" | "GET" | "HEAD":
                response = await self._run(request)
            case _:
                response = HttpResponse(
                    405, (("allow", "GET, POST, OPTIONS"),), b"Method Not Allowed"
                )
        return _starlette_response(response)

    async def _run(self, request: Request) -> HttpResponse:
        try:
            if request.method == "POST":
                return await self._answer(await self._call(request))
            return await self._router.describe(self._described(), DESCRIBE_TIMEOUT_S)
        except ModelyardError as error:
            return render_api_error(error)

    async def _answer(self, call: ApiCall) -> HttpResponse:
        return await self._router.call(call)

    def _described(self) -> str:
        return self._name

    async def _call(self, request: Request) -> ApiCall:
        return ApiCall(
            endpoint_name=self._name,
            target_model=_target_model(request),
            query=request.url.query,
            headers=tuple(
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in request.headers.raw
            ),
            body=await body_of(request, MAX_CALL_BYTES),
            request_id=request.scope[REQUEST_ID],
        )


class SplitterRoute(ApiRoute):
    """The route of a traffic splitter: an API chosen by weight answers, shadows get a copy."""

    def __init__(
        self, router: Router, splitter: Splitter, draw: Callable[[], float] = random.random
    ) -> None:
        """`draw` returns random numbers from 0, below 1."""
        super().__init__(router, splitter.name)
        self._splitter = splitter
        self._draw = draw
        self._copies: set[asyncio.Task[None]] = set()

    async def _answer(self, call: ApiCall) -> HttpResponse:
        for name in self._splitter.shadows(self._draw()):
            copy = asyncio.create_task(self._send_copy(replace(call, endpoint_name=name)))
            self._copies.add(copy)  # asyncio keeps only a weak reference
            copy.add_done_callback(self._copies.discard)
        return await super()._answer(replace(call, endpoint_name=self._described()))

    def _described(self) -> str:
        return self._splitter.choose(self._draw())

    async def _send_copy(self, call: ApiCall) -> None:
        try:
            await self._router.call(call)
        except ModelyardError:
            logger.debug("shadow call failed", extra={"endpoint": call.endpoint_name})


def _target_model(request: Request) -> TargetModel:
    """Return the model that the query names: calls of one model go to one worker."""
    named = (request.query_params.get(key, "") for key in ("model", "version"))
    try:
        return parse_target_model("/".join(filter(None, named)))
    except InvalidRequestError:
        return TargetModel("")


def _starlette_response(response: HttpResponse) -> Response:
    body = None if response.status in _WITHOUT_BODY else response.body
    made = Response(body, response.status)
    for name, value in response.headers:
        if name.lower() not in _OURS:
            made.headers.append(name, value)
    made.headers.setdefault("access-control-allow-origin", "*")
    return made
