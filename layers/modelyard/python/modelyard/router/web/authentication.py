"""Authentication: a request gets a principal before any route sees it, or it is refused."""

import logging
import re
from contextlib import suppress
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from modelyard.domain.errors import AccessDeniedError, ModelyardError, PayloadTooLargeError
from modelyard.domain.keys import parse_key, split_key, verify
from modelyard.domain.ports import Clock
from modelyard.domain.values import HttpResponse, Principal
from modelyard.router.web.error_forms import render_for
from modelyard.router.web.exchange import body_of, starlette_response
from modelyard.router.web.known_keys import KnownKeys
from modelyard.sagemaker.responses import ErrorContext, render_error
from modelyard.sagemaker.statuses import call_status

logger = logging.getLogger(__name__)

ANONYMOUS = Principal("anonymous")
PRINCIPAL = "modelyard.principal"
"""The member of an ASGI scope that has the caller of an authenticated request."""
_NO_KEY = "a key is needed: in the header x-api-key or at the start of CustomAttributes"
_OPEN_PATH = "/ping"
_ASSUMED_ROLE = re.compile(
    r"arn:(?P<partition>[^:]+):sts::(?P<account>\d+):assumed-role/([^/]+)/.+"
)


class Authenticator(Protocol):
    """Finds out who sent a request."""

    def principal_now(self, scope: Scope, key: str | None) -> Principal | None:
        """Return the caller if no other process has to be asked for it, else None.

        `scope` and `key` are those of `principal`.

        Raises:
            AccessDeniedError: the caller is not known.
        """
        ...

    async def principal(self, scope: Scope, key: str | None) -> Principal:
        """Return the caller. `key` is the text that was sent as an API key; it may be invalid.

        Raises:
            AccessDeniedError: the caller is not known.
            DependencyError: the caller cannot be looked up now.
        """
        ...


class AnonymousAuthenticator:
    """Accepts every caller as the principal `anonymous`."""

    def principal_now(self, scope: Scope, key: str | None) -> Principal | None:
        """Return `ANONYMOUS`."""
        return ANONYMOUS

    async def principal(self, scope: Scope, key: str | None) -> Principal:
        """Return `ANONYMOUS`."""
        return ANONYMOUS


class GatewayIamAuthenticator:
    """Takes the caller from API Gateway, which verified the signature (`AWS_IAM`)."""

    def principal_now(self, scope: Scope, key: str | None) -> Principal:
        """Return the identity in the event that API Gateway made from the request.

        Raises:
            AccessDeniedError: the event has no identity: IAM does not protect this method.
        """
        identity = scope.get("aws.event", {}).get("requestContext", {}).get("identity") or {}
        arn = identity.get("userArn")
        if not arn:
            raise AccessDeniedError("the request is not signed by an AWS identity")
        return iam_principal(arn)

    async def principal(self, scope: Scope, key: str | None) -> Principal:
        """Return what `principal_now` returns."""
        return self.principal_now(scope, key)


def iam_principal(arn: str) -> Principal:
    """Return the principal of an IAM identity; for a role session, it also names the role."""
    session = _ASSUMED_ROLE.fullmatch(arn)
    if session is None:
        return Principal(arn)
    role = f"arn:{session['partition']}:iam::{session['account']}:role/{session[3]}"
    return Principal(arn, role)


class KeyAuthenticator:
    """Identifies callers by their API keys."""

    def __init__(self, keys: KnownKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    def principal_now(self, scope: Scope, key: str | None) -> Principal | None:
        """Return the holder of a key that was looked up a short time ago, else None.

        Raises:
            AccessDeniedError: no key was sent, or the key is not valid.
        """
        if key is None:
            raise AccessDeniedError(_NO_KEY)
        sent = parse_key(key)
        stored = self._keys.known(sent.key_id)
        return None if stored is None else Principal(verify(sent, stored, self._clock.time()))

    async def principal(self, scope: Scope, key: str | None) -> Principal:
        """Return the holder of the key.

        Raises:
            AccessDeniedError: no key was sent, or the key is not valid.
            DependencyError: the key store cannot be read.
        """
        if key is None:
            raise AccessDeniedError(_NO_KEY)
        sent = parse_key(key)
        stored = await self._keys.find(sent.key_id)
        return Principal(verify(sent, stored, self._clock.time()))


class Authentication:
    """Runs the application for authenticated callers only (ASGI).

    API keys are removed from every request, also when the authenticator does not use them.
    `GET /ping` and `OPTIONS` need no authentication: browsers send `OPTIONS` without credentials.
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, or send an error response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        key, headers = split_key(scope["headers"])
        scope = {**scope, "headers": headers}
        if is_open(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._authenticator.principal(scope, key)
        except ModelyardError as error:
            await _refuse(error, scope, receive, send)
            return
        await self._app({**scope, PRINCIPAL: principal}, receive, send)


def principal_of(request: Request) -> Principal:
    """Return the caller of an authenticated request."""
    principal = request.scope[PRINCIPAL]
    assert isinstance(principal, Principal)
    return principal


def is_open(method: str, path: str) -> bool:
    """Return whether a request needs no authentication."""
    return path == _OPEN_PATH or method == "OPTIONS"


async def _refuse(error: ModelyardError, scope: Scope, receive: Receive, send: Send) -> None:
    response = refused(error, scope["path"])
    with suppress(PayloadTooLargeError, ClientDisconnect):
        await body_of(Request(scope, receive))  # clients send the whole body before they read
    await starlette_response(response)(scope, receive, send)


def refused(error: ModelyardError, path: str) -> HttpResponse:
    """Return the response to a caller who is not known."""
    logger.info("caller refused", extra={"path": path, "reason": error.message})
    response = render_for(path, call_status(error), error.message)
    return response or render_error(error, ErrorContext(""))
