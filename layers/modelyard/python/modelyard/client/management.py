"""The management routes of a running endpoint, from the caller's side."""

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from modelyard.client.sdk import SIGNING_NAME, region_in, sign_for_gateway
from modelyard.domain.errors import ConfigurationError, ModelyardError

_POLL_S = 1.0
_REGION = "us-east-1"


class EndpointAnswerError(ModelyardError):
    """The endpoint answered with an error, or did not answer (`status` 0)."""

    def __init__(
        self, message: str, kind: str, status: int, retry_after_s: float = _POLL_S
    ) -> None:
        super().__init__(f"{kind} ({status}): {message}" if status else message)
        self.kind = kind
        self.status = status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One line of an endpoint's listing."""

    name: str
    status: str
    version: str
    memory_bytes: int
    disk_bytes: int
    last_used_at: float | None
    detail: str

    @classmethod
    def parse(cls, line: dict[str, Any]) -> Self:
        """Return the typed form of one member of `models`."""
        return cls(
            name=line["modelName"],
            status=line.get("status", ""),
            version=line.get("version", ""),
            memory_bytes=line.get("memoryBytes", 0),
            disk_bytes=line.get("diskBytes", 0),
            last_used_at=line.get("lastUsedAt"),
            detail=line.get("detail", ""),
        )


class ManagementClient:
    """Lists, loads and unloads the models of the endpoints behind one URL.

    Every method raises EndpointAnswerError when the answer is not a success.
    """

    def __init__(
        self, url: str, timeout_s: float = 70.0, *, key: str | None = None, sign: bool = False
    ) -> None:
        """Send a key, or sign with the AWS credentials that are configured, or neither.

        Raises:
            ConfigurationError: there is nothing to sign with.
        """
        self._url = url.rstrip("/")
        headers = {"x-api-key": key} if key else {}
        auth = GatewaySignature.with_credentials(_region_of(url)) if sign else None
        self._http = httpx.Client(timeout=timeout_s, headers=headers, auth=auth)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def models(self, endpoint_name: str, page_size: int = 100) -> Iterator[ListedModel]:
        """Yield every model of an endpoint, page by page."""
        query: dict[str, str] = {"limit": str(page_size)}
        while True:
            page = _members(self._send("GET", _models_path(endpoint_name), params=query))
            if "models" not in page:
                raise EndpointAnswerError(f"{self._url} does not answer like Modelyard", "", 0)
            yield from map(ListedModel.parse, page["models"])
            token = page.get("nextPageToken")
            if not token:
                return
            query["next_page_token"] = token

    def load(self, endpoint_name: str, target_model: str) -> None:
        """Load a model; that it is loaded already is a success."""
        try:
            self._send("POST", _models_path(endpoint_name), json={"model_name": target_model})
        except EndpointAnswerError as error:
            if error.status != httpx.codes.CONFLICT:
                raise

    def unload(self, endpoint_name: str, target_model: str) -> None:
        """Unload a model."""
        self._send("DELETE", f"{_models_path(endpoint_name)}/{quote(target_model, safe='')}")

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            response = self._http.request(method, self._url + path, **content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EndpointAnswerError(
                f"no answer from {self._url}: {error or type(error).__name__}", "", 0
            ) from error
        if not response.is_success:
            raise _error(response)
        return response


class GatewaySignature(httpx.Auth):
    """Signs requests for API Gateway (AWS Signature Version 4)."""

    requires_request_body = True

    def __init__(self, credentials: Any, region: str) -> None:
        self._credentials = credentials
        self._region = region

    @classmethod
    def with_credentials(cls, region: str) -> Self:
        """Return the signature of the AWS credentials that are configured.

        Raises:
            ConfigurationError: there are none, or the SDK is not installed.
        """
        credentials = _boto3().session.Session().get_credentials()
        if credentials is None:
            raise ConfigurationError(
                "no AWS credentials to sign with; allowed: what boto3 finds, or --key, or --no-sign"
            )
        return cls(credentials, region)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the signature's headers (httpx)."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        signed = AWSRequest(request.method, str(request.url), data=request.content)
        SigV4Auth(self._credentials, SIGNING_NAME, self._region).add_auth(signed)
        request.headers.update(dict(signed.headers.items()))
        yield request


def warm(
    client: ManagementClient,
    endpoint_name: str,
    target_models: Sequence[str],
    *,
    timeout_s: float,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[str, EndpointAnswerError | None]]:
    """Load models, yielding each when it is done: with None, or with what stopped it.

    A model that is not ready yet goes to the end of the line until `timeout_s` have passed.
    """
    deadline = monotonic() + timeout_s
    waiting = deque(target_models)
    while waiting:
        target_model = waiting.popleft()
        try:
            client.load(endpoint_name, target_model)
        except EndpointAnswerError as error:
            left_s = deadline - monotonic()
            if error.kind == "ModelNotReadyException" and left_s > 0:
                waiting.append(target_model)
                sleep(min(error.retry_after_s / len(waiting), left_s))
                continue
            yield target_model, error
        else:
            yield target_model, None


def invoke_endpoint(
    url: str, members: Mapping[str, Any], *, key: str | None = None, sign: bool = False
) -> bytes:
    """Return the body of one InvokeEndpoint call made with an unmodified SDK.

    A key is sent where such an SDK can: at the start of the custom attributes.

    Raises:
        ConfigurationError: the SDK is not installed.
        EndpointAnswerError: the answer is not a success, also after the SDK's retries.
    """
    boto3 = _boto3()
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    signature = {} if sign else {"signature_version": UNSIGNED}
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=url,
        region_name=_region_of(url),
        # Legacy mode retries "not ready" whatever status the server chose for it.
        config=Config(retries={"mode": "legacy"}, read_timeout=70, **signature),
    )
    if sign:
        runtime.meta.events.register("before-sign.sagemaker-runtime", sign_for_gateway)
    attributes = ",".join(filter(None, (key, members.get("CustomAttributes"))))
    given = {**members, "CustomAttributes": attributes} if key else members
    try:
        body: bytes = runtime.invoke_endpoint(**given)["Body"].read()
    except ClientError as error:
        answer, facts = error.response["Error"], error.response["ResponseMetadata"]
        raise EndpointAnswerError(
            answer["Message"], answer["Code"], facts["HTTPStatusCode"]
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise EndpointAnswerError(str(error), "", 0) from error
    return body


def _boto3() -> Any:
    try:
        import boto3
    except ImportError as error:
        raise ConfigurationError("boto3 is missing: pip install 'modelyard[s3]'") from error
    return boto3


def _region_of(url: str) -> str:
    configured = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return region_in(url) or configured or _REGION


def _models_path(endpoint_name: str) -> str:
    return f"/endpoints/{quote(endpoint_name, safe='')}/models"


def _error(response: httpx.Response) -> EndpointAnswerError:
    body = _members(response)
    kind = response.headers.get("x-amzn-errortype") or body.get("__type") or "Error"
    retry_after = response.headers.get("retry-after", "")
    return EndpointAnswerError(
        message=body.get("Message") or response.text[:200] or response.reason_phrase,
        kind=kind,
        status=response.status_code,
        retry_after_s=float(retry_after) if retry_after.isdecimal() else _POLL_S,
    )


def _members(response: httpx.Response) -> dict[str, Any]:
    """Return the members of a JSON answer; whatever else may answer at that URL has none."""
    try:
        content = response.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
