"""What templates say of the functions and their API, and the emulation on this machine repeats."""

from dataclasses import dataclass

ROUTER_MEMORY_MB = 1024
ROUTER_TIMEOUT_S = 29.0
"""The limit of API Gateway."""
WARMER_MEMORY_MB = 256
WARMER_GRACE_S = 20.0
"""Time of the warmer in addition to the longest load."""
MAX_WARMERS = 10
"""How many warm messages are processed at the same time."""
WARM_BATCH_SIZE = 1
"""Messages that one invocation of the warmer gets."""
MAX_RECEIVES = 5
"""How often a warm message is received before it becomes a dead letter."""
ASYNC_MAX_RECEIVES = 1000
"""The same for an asynchronous invocation, which ends when it expires. SQS allows no more."""
MAX_TIMEOUT_S = 900.0
"""Lambda's longest timeout of a function."""
RUNTIME_BYTES = 384 << 20
"""Memory of an inference function that Python, its frameworks and the bodies of a call use."""

GATEWAY_ERRORS: dict[str, tuple[int | None, str]] = {
    "THROTTLED": (429, "ThrottlingException"),
    "QUOTA_EXCEEDED": (429, "ThrottlingException"),
    "REQUEST_TOO_LARGE": (413, "ValidationError"),
    "INTEGRATION_TIMEOUT": (504, "ServiceUnavailable"),
    "INTEGRATION_FAILURE": (502, "ServiceUnavailable"),
    "UNAUTHORIZED": (401, "AccessDeniedException"),
    "ACCESS_DENIED": (403, "AccessDeniedException"),
    "INVALID_SIGNATURE": (403, "InvalidSignatureException"),
    "EXPIRED_TOKEN": (403, "ExpiredTokenException"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "AccessDeniedException"),
    "DEFAULT_4XX": (None, "ValidationError"),
    "DEFAULT_5XX": (None, "InternalFailure"),
}
"""Status and error type of API Gateway's own responses, by their type there.

None keeps the status that API Gateway gives each error without a row of its own.
"""

ANY_PATH = "{proxy+}"
"""Matches every path, except `/` and those that have methods of their own."""


@dataclass(frozen=True, slots=True)
class ApiMethod:
    """A method of the REST API. API Gateway itself refuses requests that match none."""

    path: str
    verb: str
    """An HTTP method, or `ANY`."""
    is_signed: bool
    """Whether IAM has to allow the request, by its signature."""


def api_methods(auth: str) -> tuple[ApiMethod, ...]:
    """Return the methods of the REST API of a deployment with this `auth`."""
    if auth != "iam":
        return (ApiMethod(ANY_PATH, "ANY", is_signed=False),)
    return (
        ApiMethod(ANY_PATH, "ANY", is_signed=True),
        ApiMethod("ping", "GET", is_signed=False),
        ApiMethod(ANY_PATH, "OPTIONS", is_signed=False),  # browsers send it without credentials
    )


WARMERS_PER_VISIBILITY = 6
"""AWS advises six times the function's timeout; the warmer shortens it for each message."""


def warm_visibility_s(longest_load_s: float) -> float:
    """Return how long a received warm message is hidden from other warmers."""
    return WARMERS_PER_VISIBILITY * warmer_timeout_s(longest_load_s)


def warmer_timeout_s(longest_load_s: float) -> float:
    """Return the timeout of the warmer, which waits for loads."""
    return min(longest_load_s + WARMER_GRACE_S, MAX_TIMEOUT_S)
