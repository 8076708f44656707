"""The HTTP server of an emulated deployment, with API Gateway's limits and error responses."""

import asyncio
import json
import uuid
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from modelyard.aws.deployed import GATEWAY_ERRORS, ROUTER_TIMEOUT_S
from modelyard.local.emulation.definitions import MAX_PAYLOAD_BYTES, FunctionCall, Outcome
from modelyard.local.emulation.functions import Functions, NotActiveError, ThrottledError
from modelyard.local.emulation.gateway import (
    GatewayAnswer,
    HttpRequest,
    MalformedAnswerError,
    RestApi,
    build_event,
    parse_answer,
)
from modelyard.local.emulation.gateway_iam import IamAuthorizer, RefusedRequestError, unsigned
from modelyard.sagemaker.responses import render_untyped

MAX_BODY_BYTES = 10 * 1024**2
REQUEST_ID = "x-amzn-requestid"
_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]


class Gateway:
    """Passes every request to one function."""

    def __init__(
        self,
        functions: Functions,
        function_name: str,
        api: RestApi,
        timeout_s: float = ROUTER_TIMEOUT_S,
        authorizer: IamAuthorizer | None = None,
    ) -> None:
        """`authorizer` is needed for an API with signed methods."""
        self._functions = functions
        self._function_name = function_name
        self._api = api
        self._timeout_s = timeout_s
        self._authorizer = authorizer

    async def answer(self, request: HttpRequest) -> GatewayAnswer:
        """Return the function's answer, or API Gateway's own when there is none."""
        try:
            outcome = await self._outcome(self._event(request))
            if outcome.is_error:
                return _error("INTEGRATION_FAILURE", "Internal server error")
            accept = next((text for name, text in request.headers if name == "accept"), None)
            return parse_answer(outcome.payload, accept, self._api)
        except RefusedRequestError as error:
            return _error(error.kind, error.message)
        except TimeoutError:
            return _error("INTEGRATION_TIMEOUT", "Endpoint request timed out")
        except (ThrottledError, NotActiveError):
            return _error("DEFAULT_5XX", "Internal server error", 500)
        except MalformedAnswerError:
            return _error("INTEGRATION_FAILURE", "Internal server error")

    def _event(self, request: HttpRequest) -> bytes:
        """Return the function's event.

        Raises:
            RefusedRequestError: the caller is refused, or the request is too large.
        """
        members = build_event(request, self._api, self._caller(request))
        event = json.dumps(members, ensure_ascii=False).encode()
        if len(request.body) > MAX_BODY_BYTES or len(event) > MAX_PAYLOAD_BYTES:
            raise RefusedRequestError("REQUEST_TOO_LARGE", "Request Too Long")
        return event

    def _caller(self, request: HttpRequest) -> str | None:
        """Return the ARN of the caller of a signed method; None for other methods.

        Raises:
            RefusedRequestError: the API has no such method, or the signature is not accepted.
        """
        method = self._api.method_for(request)
        if method is None:
            raise unsigned()
        if not method.is_signed:
            return None
        assert self._authorizer is not None
        return self._authorizer.user_arn(request)

    async def _outcome(self, event: bytes) -> Outcome:
        """Wait as long as API Gateway does. The function continues after a timeout."""
        async with asyncio.timeout(self._timeout_s):
            return await self._functions.invoke(self._function_name, FunctionCall(event))


def create_gateway(gateway: Gateway, render_metrics: Callable[[], bytes]) -> Starlette:
    """Return the app of the front: `GET /metrics` is ours, all else the function's."""

    async def forward(request: Request) -> Response:
        received = await _received(request)
        answer = await gateway.answer(received)
        response = Response(answer.body, answer.status)
        for name, value in answer.headers:
            response.headers.append(name, value)
        response.headers[REQUEST_ID] = received.request_id
        return response

    async def metrics(_: Request) -> Response:
        headers = {REQUEST_ID: str(uuid.uuid4())}
        return Response(render_metrics(), 200, headers, "text/plain; version=0.0.4")

    return Starlette(
        routes=[
            Route("/metrics", metrics, methods=["GET"]),
            Route("/{path:path}", forward, methods=_METHODS),
        ]
    )


async def _received(request: Request) -> HttpRequest:
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in request.scope["headers"]
    )
    host = request.client.host if request.client else "127.0.0.1"
    forwarded = (("X-Forwarded-For", host), ("X-Forwarded-Proto", "http"))
    return HttpRequest(
        method=request.method,
        raw_path=request.scope["raw_path"].decode("latin-1"),
        query=request.scope["query_string"].decode("latin-1"),
        headers=headers + forwarded,
        body=await request.body(),
        source_ip=host,
        request_id=str(uuid.uuid4()),
    )


def _error(kind: str, message: str, own_status: int = 500) -> GatewayAnswer:
    """Return API Gateway's own response of one type, as it is deployed.

    `own_status` is that of API Gateway for an error whose type has none.
    """
    status, error_type = GATEWAY_ERRORS[kind]
    status = own_status if status is None else status
    response = render_untyped(status, error_type, message)
    return GatewayAnswer(status, response.headers, response.body)
