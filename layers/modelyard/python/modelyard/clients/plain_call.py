"""One call of InvokeEndpoint without an SDK, whose import takes longer than most calls."""

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from modelyard.clients.endpoint_error import EndpointError
from modelyard.clients.http_calls import made_request, send

ATTEMPTS = 5
"""As many as boto3 makes for a model that is not ready."""
_NOT_READY = "ModelNotReadyException"
_PREFIX = "X-Amzn-SageMaker-"
_HEADERS = {
    "TargetModel": f"{_PREFIX}Target-Model",
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": f"{_PREFIX}Custom-Attributes",
}


def invoke_plainly(
    url: str,
    members: Mapping[str, Any],
    *,
    key: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> bytes:
    """Call InvokeEndpoint with `members` and return the body of the response.

    A model that is not ready is called again, up to `ATTEMPTS` times in all.

    Raises:
        EndpointError: the response is an error, or there is none.
    """
    headers = {header: members[name] for name, header in _HEADERS.items() if name in members}
    if key:
        headers["x-api-key"] = key
    path = f"/endpoints/{quote(members['EndpointName'], safe='')}/invocations"
    request = made_request("POST", url.rstrip("/") + path, headers, members["Body"])
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return send(request, url)
        except EndpointError as error:
            if error.kind != _NOT_READY or attempt == ATTEMPTS:
                raise
            sleep(error.retry_after_s)
    raise AssertionError("the last attempt returns or raises")
