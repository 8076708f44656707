"""Who calls: every request gets a principal before any route sees it, or is refused."""

import logging
import re
from contextlib import suppress
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Receive, Scope, Send

from modelyard.domain.errors import AccessDeniedError, ModelyardError, PayloadTooLargeError
from modelyard.domain.keys import parse_key, split_key, verify
from modelyard.domain.ports import Clock
from modelyard.domain.values import Principal
from modelyard.router.web.exchange import body_of, response_of
from modelyard.router.web.known_keys import KnownKeys
from modelyard.sagemaker.answers import ErrorScene, render_error

logger = logging.getLogger(__name__)

ANONYMOUS = Principal("anonymous")
_PRINCIPAL = "modelyard.principal"
_NO_KEY = "a key is needed: in the header x-api-key or at the start of CustomAttributes"
_OPEN_TO_ALL = "/ping"
_ASSUMED_ROLE = re.compile(
    r"arn:(?P<partition>[^:]+):sts::(?P<account>\d+):assumed-role/([^/]+)/.+"
)


class Authenticator(Protocol):
    """How a server learns who calls."""

    async def principal(self, scope: Scope, key: str | None) -> Principal:
        """Return who calls; `key` is what was sent as a key, whatever it is worth.

        Raises:
            AccessDeniedError: nobody we know.
            DependencyError: it cannot be told now.
        """
        ...


class AnonymousAuthenticator:
    """Lets everybody in, all under one name."""

    async def principal(self, scope: Scope, key: str | None) -> Principal:
        """Return the one principal there is."""
        return ANONYMOUS


class GatewayIamAuthenticator:
    """Believes API Gateway, which has verified the signature (`authorizationType: AWS_IAM`)."""

    async def principal(self, scope: Scope, key: str | None) -> Principal:
        """Return the identity of the event that API Gateway made of the request.

        Raises:
            AccessDeniedError: the event names none; the method is not behind IAM.
        """
        identity = scope.get("aws.event", {}).get("requestContext", {}).get("identity") or {}
        arn = identity.get("userArn")
        if not arn:
            raise AccessDeniedError("the request is not signed by an AWS identity")
        return iam_principal(arn)


def iam_principal(arn: str) -> Principal:
    """Return the principal of a user's ARN; a session of a role is known by its role, too."""
    session = _ASSUMED_ROLE.fullmatch(arn)
    if session is None:
        return Principal(arn)
    role = f"arn:{session['partition']}:iam::{session['account']}:role/{session[3]}"
    return Principal(arn, role)


class KeyAuthenticator:
    """Knows callers by their API keys."""

    def __init__(self, keys: KnownKeys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock

    async def principal(self, scope: Scope, key: str | None) -> Principal:
        """Return the holder of the key.

        Raises:
            AccessDeniedError: there is no key, or none that is valid now.
            DependencyError: the store cannot be asked.
        """
        if key is None:
            raise AccessDeniedError(_NO_KEY)
        sent = parse_key(key)
        stored = await self._keys.find(sent.key_id)
        return Principal(verify(sent, stored, self._clock.time()))


class Authentication:
    """Runs the application for callers the authenticator knows (ASGI).

    Keys go no further than here, whether or not the authenticator asks for one. `GET /ping` and
    `OPTIONS` (browsers ask without credentials) are open to all.
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, or answer that it will not be run."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        key, headers = split_key(scope["headers"])
        scope = {**scope, "headers": headers}
        if _is_open(scope):
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._authenticator.principal(scope, key)
        except ModelyardError as error:
            await _refuse(error, scope, receive, send)
            return
        await self._app({**scope, _PRINCIPAL: principal}, receive, send)


def principal_of(request: Request) -> Principal:
    """Return who calls."""
    principal = request.scope[_PRINCIPAL]
    assert isinstance(principal, Principal)
    return principal


def _is_open(scope: Scope) -> bool:
    return bool(scope["path"] == _OPEN_TO_ALL or scope["method"] == "OPTIONS")


async def _refuse(error: ModelyardError, scope: Scope, receive: Receive, send: Send) -> None:
    logger.info("caller refused", extra={"path": scope["path"], "reason": error.message})
    with suppress(PayloadTooLargeError, ClientDisconnect):
        await body_of(Request(scope, receive))  # the client sends before it listens
    await response_of(render_error(error, ErrorScene("")))(scope, receive, send)
