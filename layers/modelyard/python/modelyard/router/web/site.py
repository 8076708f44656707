"""The web application as a server of complete requests uses it.

Invocations go past the layers of the ASGI application: these cost several times as much as routing
the call and predicting.
"""

import logging
import re
import uuid
from collections.abc import Container
from urllib.parse import unquote

from starlette.types import ASGIApp

from modelyard.domain.errors import ModelyardError
from modelyard.domain.keys import split_key
from modelyard.domain.values import Admission, HttpRequest, HttpResponse, Principal
from modelyard.router.web.api_errors import render_api_error
from modelyard.router.web.asgi import response_of
from modelyard.router.web.authentication import Authenticator, is_open, refused
from modelyard.router.web.calling import MAX_CALL_BYTES
from modelyard.router.web.exchange import too_large
from modelyard.router.web.invoking import InvokeCall, InvokeRoutes
from modelyard.sagemaker.constraints import MAX_BODY_BYTES
from modelyard.sagemaker.responses import REQUEST_ID, SECURITY_HEADERS, ErrorContext, render_error

logger = logging.getLogger(__name__)

MAX_OPEN_BODY_BYTES = 16 << 10
"""The longest body of a request that needs no key: its routes read none."""
_NO_ENDPOINT = ErrorContext("")
# The SDK keeps a stage of the endpoint URL as a prefix of the path.
_INVOCATIONS = re.compile(rb"(?:/[^/?]+)??/endpoints/([^?]*)/invocations(?:\?.*)?", re.DOTALL)


class WebSite:
    """Answers complete requests."""

    def __init__(
        self,
        app: ASGIApp,
        invoking: InvokeRoutes,
        authenticator: Authenticator,
        api_paths: Container[str],
    ) -> None:
        """`api_paths` are the paths of Cortex APIs: they win over invocations that look alike."""
        self._app = app
        self._invoking = invoking
        self._authenticator = authenticator
        self._api_paths = api_paths

    def admit_now(self, head: HttpRequest) -> Admission | None:
        """Decide about a request without its body; None if the key has to be looked up."""
        if self._is_open(head):
            return Admission(MAX_OPEN_BODY_BYTES)
        key, _ = split_key(head.headers)
        try:
            principal = self._authenticator.principal_now(key)
        except ModelyardError as error:
            return self._refused(error, head)
        return None if principal is None else Admission(self._body_limit(head))

    async def admit(self, head: HttpRequest) -> Admission:
        """Decide about a request without its body: that of an unknown caller is not kept."""
        key, _ = split_key(head.headers)
        try:
            await self._authenticator.principal({}, key)
        except ModelyardError as error:
            return self._refused(error, head)
        return Admission(self._body_limit(head))

    def too_large(self, head: HttpRequest) -> HttpResponse:
        """Return the response to a request whose body is longer than it may be."""
        if self._is_open(head):
            return _finished(render_error(too_large(MAX_OPEN_BODY_BYTES), _NO_ENDPOINT), _new_id())
        error = too_large(self._body_limit(head))
        if self._is_api(head.target):
            return _finished(render_api_error(error), _new_id())
        name = self._invoked(head.method, head.target) or ""
        return _finished(render_error(error, ErrorContext(name)), _new_id())

    def answer_now(self, request: HttpRequest) -> HttpResponse | None:
        """Return the response if it can be made without waiting, else None."""
        name = self._invoked(request.method, request.target)
        if name is None:
            return None
        key, headers = split_key(request.headers)
        request_id = _new_id()
        try:
            principal = self._authenticator.principal_now(key)
        except ModelyardError as error:
            return _finished(refused(error, _path(request.target)), request_id)
        if principal is None:
            return None
        call = _call(name, headers, request.body, principal, request_id)
        response = self._invoking.answer_now(call)
        return None if response is None else _finished(response, request_id)

    async def answer(self, request: HttpRequest) -> HttpResponse:
        """Return the response."""
        name = self._invoked(request.method, request.target)
        if name is None:
            return await response_of(self._app, request)
        key, headers = split_key(request.headers)
        request_id = _new_id()
        try:
            principal = await self._authenticator.principal({}, key)
        except ModelyardError as error:
            return _finished(refused(error, _path(request.target)), request_id)
        call = _call(name, headers, request.body, principal, request_id)
        return _finished(await self._invoking.answer(call), request_id)

    def _invoked(self, method: str, target: bytes) -> str | None:
        """Return the name of the endpoint that the request invokes; None if it does not."""
        if method != "POST":
            return None
        match = _INVOCATIONS.fullmatch(target)
        if match is None or self._is_api(target):
            return None
        return unquote(match[1].decode("latin-1"))

    def _body_limit(self, head: HttpRequest) -> int:
        return MAX_CALL_BYTES if self._is_api(head.target) else MAX_BODY_BYTES

    def _is_open(self, head: HttpRequest) -> bool:
        return is_open(head.method, _path(head.target))

    def _refused(self, error: ModelyardError, head: HttpRequest) -> Admission:
        return Admission(0, _finished(refused(error, _path(head.target)), _new_id()))

    def _is_api(self, target: bytes) -> bool:
        return bool(self._api_paths) and _path(target) in self._api_paths


def _new_id() -> str:
    return str(uuid.uuid4())


def _path(target: bytes) -> str:
    return unquote(target.partition(b"?")[0].decode("latin-1"))


def _call(
    name: str,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    principal: Principal,
    request_id: str,
) -> InvokeCall:
    by_name = {key.decode("latin-1"): value.decode("latin-1") for key, value in headers}
    return InvokeCall(name, by_name, body, principal, request_id)


def _finished(response: HttpResponse, request_id: str) -> HttpResponse:
    """Add the headers that every response has."""
    given = {name for name, _ in response.headers}
    own = [item for item in SECURITY_HEADERS.items() if item[0] not in given]
    headers = (*response.headers, *own, (REQUEST_ID, request_id))
    return HttpResponse(response.status, headers, response.body)
