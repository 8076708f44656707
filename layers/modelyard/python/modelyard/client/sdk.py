"""boto3 clients of our endpoints: they sign for API Gateway or send a key, and wait."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from modelyard.domain.errors import ConfigurationError

SIGNING_NAME = "execute-api"
"""The service API Gateway wants signatures for."""
WAIT_S = 360.0
"""How long a client waits for a model that is not ready: as long as a load may take."""
_REGION = "us-east-1"
_GATEWAY_HOST = re.compile(r"//[^/]*\.execute-api\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
_WAITING_SINCE = "modelyard_waiting_since"


def client(
    url: str,
    *,
    region: str | None = None,
    key: str | None = None,
    session: Any = None,
    **config: Any,
) -> Any:
    """Return a boto3 `sagemaker-runtime` client of the endpoints behind `url`.

    It signs for API Gateway, or sends `key` and needs no AWS credentials; it waits for models that
    are not ready. `config` are members of botocore's `Config`.

    Raises:
        ConfigurationError: boto3 is not installed.
    """
    boto3, unsigned, config_class = _sdk()
    session = session or boto3.session.Session()
    settings = {"read_timeout": 70} | ({"signature_version": unsigned} if key else {}) | config
    made = session.client(
        "sagemaker-runtime",
        endpoint_url=url,
        region_name=region or region_in(url) or session.region_name or _REGION,
        config=config_class(**settings),
    )
    events = made.meta.events
    if key:
        events.register("before-call.sagemaker-runtime", _adding_header("x-api-key", key))
    else:
        events.register("before-sign.sagemaker-runtime", sign_for_gateway)
    events.register_first("needs-retry.sagemaker-runtime", NotReadyWaiter())
    return made


class NotReadyWaiter:
    """Retries "not ready" after as long as the answer says, for `wait_s` in all for each call."""

    def __init__(
        self, wait_s: float = WAIT_S, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wait_s = wait_s
        self._monotonic = monotonic

    def __call__(self, response: Any, request_dict: dict[str, Any], **_: object) -> float | None:
        """Return the seconds to wait before the next attempt; None leaves it to the SDK."""
        parsed: Mapping[str, Any] = response[1] if response else {}
        if parsed.get("Error", {}).get("Code") != "ModelNotReadyException":
            return None
        now = self._monotonic()
        since = request_dict["context"].setdefault(_WAITING_SINCE, now)
        delay_s = _retry_after_s(parsed)
        return delay_s if now + delay_s <= since + self._wait_s else None


def _sdk() -> tuple[Any, Any, Any]:
    try:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
    except ImportError as error:
        raise ConfigurationError("boto3 is missing: pip install 'modelyard[s3]'") from error
    return boto3, UNSIGNED, Config


def region_in(url: str) -> str | None:
    """Return the region of an API Gateway's own host name; others tell none."""
    host = _GATEWAY_HOST.search(url)
    return host["region"] if host else None


def sign_for_gateway(request: Any, **_: object) -> None:
    """Have a request signed for API Gateway (botocore's `before-sign`)."""
    request.context.setdefault("signing", {})["signing_name"] = SIGNING_NAME


def _adding_header(name: str, value: str) -> Callable[..., None]:
    def add(params: dict[str, Any], **_: object) -> None:
        params["headers"][name] = value

    return add


def _retry_after_s(parsed: Mapping[str, Any]) -> float:
    headers = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    text = headers.get("retry-after", "")
    return float(text) if text.isdecimal() else 1.0
