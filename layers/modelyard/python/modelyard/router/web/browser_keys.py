"""API keys that a browser sends for the page: as the password of HTTP's basic authentication."""

import base64
import binascii

from modelyard.domain.keys import Headers
from modelyard.domain.values import HttpResponse

PAGE = "/"
PAGE_PREFIX = "/_page/"
_CHALLENGE = ("www-authenticate", 'Basic realm="Modelyard: an API key as the password"')


def is_page(path: str) -> bool:
    """Return whether the path is the page's, or that of one of its files or forms."""
    return path == PAGE or path.startswith(PAGE_PREFIX)


def key_in_password(headers: Headers) -> str | None:
    """Return the password that a browser sent, or None."""
    for name, value in headers:
        scheme, _, encoded = value.partition(b" ")
        if name == b"authorization" and scheme.lower() == b"basic":
            try:
                sent = base64.b64decode(encoded, validate=True).decode("latin-1")
            except (binascii.Error, ValueError):
                return None
            return sent.partition(":")[2].strip() or None
    return None


def asking_for_key(response: HttpResponse) -> HttpResponse:
    """Return the response to a caller who is not known, so that a browser asks for a key."""
    return HttpResponse(401, (*response.headers, _CHALLENGE), response.body)
