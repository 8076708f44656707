"""The boto3 client of Modelyard's endpoints.

It signs for API Gateway or sends an API key, and it waits for models that are not ready.
"""

import os
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from modelyard.clients.endpoint_error import EndpointError
from modelyard.domain.errors import ConfigurationError

SIGNING_NAME = "execute-api"
"""The service name for which API Gateway expects signatures."""
WAIT_S = 360.0
"""How long a client waits in total for a model that is not ready: as long as a load may take."""
_READ_TIMEOUT_S = 70
"""Longer than the 60 s for which SageMaker, and the server, may hold a call."""
_DEFAULT_REGION = "us-east-1"
_GATEWAY_HOST = re.compile(r"//[^/]*\.execute-api\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
_WAITING_SINCE = "modelyard_waiting_since"


def client(
    url: str,
    *,
    region: str | None = None,
    key: str | None = None,
    sign: bool | None = None,
    session: Any = None,
    wait_s: float = WAIT_S,
    **config: Any,
) -> Any:
    """Return a boto3 `sagemaker-runtime` client of the endpoints behind `url`.

    With `key`, the client sends this API key. Otherwise it signs for API Gateway with the AWS
    credentials of `session`; for an `http://` URL, as of a local server, it works without
    credentials too. `sign` overrides this choice. The client waits up to `wait_s` for a model
    that is not ready; 0 leaves retries to the SDK. `config` are members of botocore's `Config`.

    Raises:
        ConfigurationError: boto3 is not installed, or `sign` is set and there are no credentials.
    """
    session = session or import_boto3().session.Session()
    from botocore import UNSIGNED
    from botocore.config import Config

    settings: dict[str, Any] = {"read_timeout": _READ_TIMEOUT_S}
    identity: dict[str, str] = {}
    signs = _signs(url, key, session) if sign is None else sign
    if sign:
        credentials_of(session)
    if not signs:
        settings["signature_version"] = UNSIGNED
        # With explicit values, botocore does not search for credentials, which can take seconds.
        identity = {"aws_access_key_id": "unused", "aws_secret_access_key": "unused"}
    made = session.client(
        "sagemaker-runtime",
        endpoint_url=url,
        region_name=region or region_in(url) or session.region_name or _DEFAULT_REGION,
        config=Config(**settings | config),
        **identity,
    )
    events = made.meta.events
    if key:
        events.register("before-call.sagemaker-runtime", _adding_header("x-api-key", key))
    if signs:
        events.register("before-sign.sagemaker-runtime", _sign_for_gateway)
    if wait_s > 0:
        events.register_first("needs-retry.sagemaker-runtime", NotReadyWaiter(wait_s))
    return made


def invoke_signed(url: str, members: Mapping[str, Any]) -> bytes:
    """Call InvokeEndpoint with boto3, signed for API Gateway, and return the body.

    Raises:
        ConfigurationError: boto3 is not installed, or there are no credentials to sign with.
        EndpointError: the response is an error, also after the SDK's retries.
    """
    # Legacy mode retries "not ready" with either status that the server may choose for it.
    runtime = client(url, region=region_of(url), sign=True, wait_s=0, retries={"mode": "legacy"})
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        body: bytes = runtime.invoke_endpoint(**members)["Body"].read()
    except ClientError as error:
        details, metadata = error.response["Error"], error.response["ResponseMetadata"]
        raise EndpointError(
            details["Message"], details["Code"], metadata["HTTPStatusCode"]
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise EndpointError(str(error), "", 0) from error
    return body


def import_boto3() -> Any:
    """Return the module boto3.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        import boto3
    except ImportError as error:
        raise ConfigurationError("boto3 is missing: pip install 'modelyard[s3]'") from error
    return boto3


def credentials_of(session: Any) -> Any:
    """Return the AWS credentials of a boto3 session.

    Raises:
        ConfigurationError: it has none.
    """
    credentials = session.get_credentials()
    if credentials is None:
        raise ConfigurationError(
            "No AWS credentials found; configure them, or pass --key or --no-sign."
        )
    return credentials


def region_of(url: str) -> str:
    """Return the region for which to sign: that of the URL, else of the environment."""
    configured = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return region_in(url) or configured or _DEFAULT_REGION


def region_in(url: str) -> str | None:
    """Return the region in a host name of API Gateway, or None for another host name."""
    host = _GATEWAY_HOST.search(url)
    return host["region"] if host else None


class NotReadyWaiter:
    """Retries a call whose model is not ready, for at most `wait_s` seconds per call.

    It waits between attempts for as long as the response's `Retry-After` says.
    """

    def __init__(
        self, wait_s: float = WAIT_S, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wait_s = wait_s
        self._monotonic = monotonic

    def __call__(self, response: Any, request_dict: dict[str, Any], **_: object) -> float | None:
        """Return the seconds to wait before the next attempt; None leaves the retry to the SDK."""
        parsed: Mapping[str, Any] = response[1] if response else {}
        if parsed.get("Error", {}).get("Code") != "ModelNotReadyException":
            return None
        now = self._monotonic()
        since = request_dict["context"].setdefault(_WAITING_SINCE, now)
        delay_s = _retry_after_s(parsed)
        return delay_s if now + delay_s <= since + self._wait_s else None


def _signs(url: str, key: str | None, session: Any) -> bool:
    if key is not None:
        return False
    return not url.startswith("http://") or session.get_credentials() is not None


def _sign_for_gateway(request: Any, **_: object) -> None:
    """Make botocore sign the request for API Gateway (its event `before-sign`)."""
    request.context.setdefault("signing", {})["signing_name"] = SIGNING_NAME


def _adding_header(name: str, value: str) -> Callable[..., None]:
    def add(params: dict[str, Any], **_: object) -> None:
        params["headers"][name] = value

    return add


def _retry_after_s(parsed: Mapping[str, Any]) -> float:
    headers = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    text = headers.get("retry-after", "")
    return float(text) if text.isdecimal() else 1.0
