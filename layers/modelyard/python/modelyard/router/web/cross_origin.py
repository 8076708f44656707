"""Let web pages of chosen origins call the server (CORS)."""

from collections.abc import Collection
from dataclasses import dataclass

from modelyard.domain.values import HttpRequest, HttpResponse

ANY = "*"
_PREFLIGHT_AGE_S = 86400
_METHODS = "GET, POST, DELETE, OPTIONS"


@dataclass(frozen=True, slots=True)
class CrossOrigin:
    """Which origins may call the server from a browser; by default none."""

    origins: Collection[str] = ()

    def allowed(self, head: HttpRequest) -> str | None:
        """Return the value of `Access-Control-Allow-Origin` for a request, or None."""
        if not self.origins:
            return None
        sent = _header(head, b"origin")
        if sent is None:
            return None
        if ANY in self.origins:
            return ANY
        return sent if sent in self.origins else None

    def preflight(self, head: HttpRequest) -> HttpResponse | None:
        """Return the answer to the question of a browser whether it may send a request, or None."""
        origin = self.allowed(head)
        if head.method != "OPTIONS" or origin is None:
            return None
        wanted = _header(head, b"access-control-request-headers") or ""
        headers = (
            ("access-control-allow-methods", _METHODS),
            ("access-control-allow-headers", wanted),
            ("access-control-max-age", str(_PREFLIGHT_AGE_S)),
        )
        return with_origin(HttpResponse(204, headers), origin)


def with_origin(response: HttpResponse, origin: str) -> HttpResponse:
    """Return the response with the header that lets pages of `origin` read it.

    The class of a Cortex API may have set the header itself.
    """
    if any(name.lower() == "access-control-allow-origin" for name, _ in response.headers):
        return response
    own = [
        ("access-control-allow-origin", origin),
        ("access-control-expose-headers", "*"),
        ("vary", "origin"),
    ]
    headers = (*response.headers, *own)
    return HttpResponse(response.status, headers, response.body, response.more)


def _header(head: HttpRequest, name: bytes) -> str | None:
    return next((value.decode("latin-1") for known, value in head.headers if known == name), None)
