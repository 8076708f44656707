"""Keeps web pages away from servers that only programs of this machine should use.

A page that somebody visits can send requests to this machine. Without a preflight it reaches every
server that does not look at the headers that browsers add.
"""

import ipaddress

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_OF_BROWSERS = ("origin", "sec-fetch-site")


def refusing_browsers(app: ASGIApp) -> ASGIApp:
    """Return an app that answers what a browser sent with status 403, and runs `app` otherwise."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if is_from_browser(Headers(scope=scope)):
            await PlainTextResponse("not for browsers", 403)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return guarded


def is_from_browser(headers: Headers) -> bool:
    """Tell whether a browser sent a request with these headers.

    A page may also have given this machine a name of its own site (DNS rebinding).
    """
    return any(name in headers for name in _OF_BROWSERS) or not _is_here(headers.get("host", ""))


def _is_here(host: str) -> bool:
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
