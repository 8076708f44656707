"""Lambda's Invoke API over HTTP for unmodified SDKs."""

import asyncio
import base64
import json
import re
import secrets
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from modelyard.local.emulation.browsers import refusing_browsers
from modelyard.local.emulation.definitions import MAX_PAYLOAD_BYTES, FunctionCall, Outcome
from modelyard.local.emulation.functions import (
    Functions,
    InactiveError,
    PendingError,
    TenantMismatchError,
    ThrottledError,
    UnknownFunctionError,
)

MAX_EVENT_BYTES = 1024**2
"""Largest payload of an asynchronous invocation (AWS Lambda quota)."""
TAIL_BYTES = 4096
_NAME = re.compile(
    r"(?:(?:arn:aws[\w-]*:lambda:[\w-]+:)?(?:\d{12}:)?(?:function:)?)"
    r"(?P<name>[\w-]+)(?::(?P<qualifier>\$LATEST|[\w-]+))?",
    re.ASCII,
)


class Refusal(Exception):  # noqa: N818 - a response of Lambda, not a failure of ours
    """An error response of the Invoke API itself."""

    def __init__(self, status: int, error_type: str, message: str, **members: str) -> None:
        super().__init__(message)
        self._status = status
        self._type = error_type
        self._body = {"Type": "User", "message": message, "Message": message, **members}

    @property
    def response(self) -> Response:
        """The answer as SDKs parse it."""
        headers = {"x-amzn-ErrorType": self._type}
        return Response(json.dumps(self._body), self._status, headers, "application/json")


@dataclass(frozen=True, slots=True)
class Callers:
    """Decides who may invoke a function. The functions of a deployment send a token."""

    token: str
    """A prefix of the path. SDKs keep the path of their endpoint URL."""
    public: str
    """The name of the function that every process of this machine may invoke."""

    def check(self, request: Request, name: str) -> None:
        """Return if the request may invoke the function.

        An envelope for an inference function names the repository, and whether its code may run.

        Raises:
            Refusal: it may not.
        """
        given = request.path_params.get("token", "")
        if name != self.public and not secrets.compare_digest(given, self.token):
            text = f"{name} may be invoked by the functions only; invoke {self.public}"
            raise Refusal(403, "AccessDeniedException", text)


def create_control_plane(functions: Functions, callers: Callers | None = None) -> ASGIApp:
    """Return the app that answers `POST /2015-03-31/functions/{name}/invocations`.

    Without `callers`, every process of this machine may invoke every function.
    """

    async def invoke(request: Request) -> Response:
        try:
            name = function_name(request.path_params["name"])
            if callers is not None:
                callers.check(request, name)
            return await _invoke(functions, name, request)
        except Refusal as refusal:
            return refusal.response

    path = "/2015-03-31/functions/{name:path}/invocations"
    paths = (path, f"/{{token}}{path}")
    return refusing_browsers(
        Starlette(routes=[Route(one, invoke, methods=["POST"]) for one in paths])
    )


def function_name(text: str) -> str:
    """Return the function name in a name, partial ARN or ARN, each with or without a qualifier.

    Versions and aliases are ignored: the emulation has one version of each function.
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise Refusal(400, "InvalidParameterValueException", f"not a function name: {text!r}")
    return match["name"]


async def _invoke(functions: Functions, name: str, request: Request) -> Response:
    kind = request.headers.get("x-amz-invocation-type", "RequestResponse")
    payload = await request.body()
    _check_size(payload, kind)
    _check_json(payload)
    call = FunctionCall(
        payload or b"{}",
        tenant_id=request.headers.get("x-amz-tenant-id"),
        client_context=_decoded(request.headers.get("x-amz-client-context")),
    )
    headers = {"x-amzn-RequestId": call.request_id}
    if kind == "DryRun":
        _find(functions, name)
        return Response(status_code=204, headers=headers)
    task = _start(functions, name, call)
    if kind == "Event":
        return Response(status_code=202, headers=headers)
    outcome = await asyncio.shield(task)
    wants_log = request.headers.get("x-amz-log-type") == "Tail"
    return _answer(outcome, headers | (_tail(outcome) if wants_log else {}))


def _find(functions: Functions, name: str) -> None:
    try:
        functions.find(name)
    except UnknownFunctionError as error:
        raise Refusal(404, "ResourceNotFoundException", f"Function not found: {name}") from error


def _start(functions: Functions, name: str, call: FunctionCall) -> asyncio.Task[Outcome]:
    _find(functions, name)
    try:
        return functions.start(name, call)
    except InactiveError as error:
        text = "The function is inactive and its VPC connection is no longer available."
        raise Refusal(502, "ResourceNotReadyException", text) from error
    except PendingError as error:
        text = (
            "The operation cannot be performed at this time. The function is currently in the"
            " following state: Pending"
        )
        raise Refusal(409, "ResourceConflictException", text) from error
    except ThrottledError as error:
        reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
        refusal = Refusal(429, "TooManyRequestsException", "Rate Exceeded.", Reason=reason)
        raise refusal from error
    except TenantMismatchError as error:
        text = "X-Amz-Tenant-Id is for functions with tenant isolation, and they need it"
        raise Refusal(400, "InvalidParameterValueException", text) from error


def _check_size(payload: bytes, kind: str) -> None:
    allowed = MAX_EVENT_BYTES if kind == "Event" else MAX_PAYLOAD_BYTES
    if len(payload) > allowed:
        text = f"Request must be smaller than {allowed} bytes for the InvokeFunction operation"
        raise Refusal(413, "RequestTooLargeException", text)


def _check_json(payload: bytes) -> None:
    try:
        json.loads(payload or b"{}")
    except ValueError as error:
        text = f"Could not parse request body into json: {error}"
        raise Refusal(400, "InvalidRequestContentException", text) from error


def _decoded(client_context: str | None) -> str | None:
    """Return the context as the runtime gets it: JSON, which clients send as base64."""
    return None if client_context is None else base64.b64decode(client_context).decode()


def _answer(outcome: Outcome, headers: dict[str, str]) -> Response:
    if outcome.is_error:
        headers["X-Amz-Function-Error"] = "Unhandled"
    headers["X-Amz-Executed-Version"] = "$LATEST"
    return Response(outcome.payload, 200, headers, "application/json")


def _tail(outcome: Outcome) -> dict[str, str]:
    tail = outcome.log.encode()[-TAIL_BYTES:]
    return {"X-Amz-Log-Result": base64.b64encode(tail).decode()}
