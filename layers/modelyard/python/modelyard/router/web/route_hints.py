"""Name the right route where a request uses that of another server."""

import re

_CALLS = re.compile(
    r"/(?:invocations|predict|predictions(?:/.+)?|invoke|infer|models/[^/]+/(?:invoke|predict)|)"
)
_MODELS = re.compile(r"/models(?:/.+)?")


def route_hint(method: str, path: str, endpoint_name: str | None) -> str:
    """Return a sentence with the route that serves what other servers have at `path`, or "".

    `endpoint_name` is the only endpoint, if there is one.
    """
    name = endpoint_name or "ENDPOINT"
    if method == "POST" and _CALLS.fullmatch(path):
        return (
            f"; call POST /endpoints/{name}/invocations and name the model in the header"
            " X-Amzn-SageMaker-Target-Model"
        )
    if _MODELS.fullmatch(path):
        return f"; the models are at /endpoints/{name}/models"
    if method == "GET" and path in ("/health", "/healthz", "/ready", "/readyz", "/livez"):
        return "; the health of the server is at /ping"
    if method == "GET" and path == "/":
        return "; the routes are at /docs"
    return ""
