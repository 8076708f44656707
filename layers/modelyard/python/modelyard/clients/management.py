"""A client of the management routes."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from modelyard.clients import sdk
from modelyard.clients.endpoint_error import EndpointError
from modelyard.clients.sdk import SIGNING_NAME, region_of

_POLL_S = 1.0


@dataclass(frozen=True, slots=True)
class ListedModel:
    """One model in the listing of an endpoint."""

    name: str
    status: str
    version: str
    memory_bytes: int
    disk_bytes: int
    last_used_at: float | None
    detail: str

    @classmethod
    def parse(cls, line: dict[str, Any]) -> Self:
        """Return one item of `models` in the JSON response."""
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

    Every method raises EndpointError unless the response is a success.
    """

    def __init__(
        self, url: str, timeout_s: float = 70.0, *, key: str | None = None, sign: bool = False
    ) -> None:
        """With `key`, requests carry this API key; with `sign`, they are signed for API Gateway.

        Raises:
            ConfigurationError: `sign` is set and there are no AWS credentials, or no boto3.
        """
        self._url = url.rstrip("/")
        headers = {"x-api-key": key} if key else {}
        auth = GatewaySignature.with_credentials(region_of(url)) if sign else None
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
                raise EndpointError(f"the response of {self._url} is not one of Modelyard", "", 0)
            yield from map(ListedModel.parse, page["models"])
            token = page.get("nextPageToken")
            if not token:
                return
            query["next_page_token"] = token

    def load(self, endpoint_name: str, target_model: str) -> None:
        """Load a model; a model that is loaded already is a success."""
        try:
            self._send("POST", _models_path(endpoint_name), json={"model_name": target_model})
        except EndpointError as error:
            if error.status != httpx.codes.CONFLICT:
                raise

    def unload(self, endpoint_name: str, target_model: str) -> None:
        """Unload a model."""
        self._send("DELETE", f"{_models_path(endpoint_name)}/{quote(target_model, safe='')}")

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            response = self._http.request(method, self._url + path, **content)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EndpointError(
                f"no response from {self._url}: {error or type(error).__name__}", "", 0
            ) from error
        if not response.is_success:
            raise _error(response)
        return response


class GatewaySignature(httpx.Auth):
    """Signs httpx requests for API Gateway (AWS Signature Version 4)."""

    requires_request_body = True

    def __init__(self, credentials: Any, region: str) -> None:
        self._credentials = credentials
        self._region = region

    @classmethod
    def with_credentials(cls, region: str) -> Self:
        """Return a signature with the AWS credentials that boto3 finds.

        Raises:
            ConfigurationError: there are none, or boto3 is not installed.
        """
        return cls(sdk.credentials_of(sdk.import_boto3().session.Session()), region)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the headers of the signature to the request (called by httpx)."""
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
) -> Iterator[tuple[str, EndpointError | None]]:
    """Load models; yield each name when its load ends, with None or with its error.

    A model that is not ready yet is tried again after the others, until `timeout_s` have passed
    since the start.
    """
    deadline = monotonic() + timeout_s
    waiting = deque(target_models)
    while waiting:
        target_model = waiting.popleft()
        try:
            client.load(endpoint_name, target_model)
        except EndpointError as error:
            left_s = deadline - monotonic()
            if error.kind == "ModelNotReadyException" and left_s > 0:
                waiting.append(target_model)
                sleep(min(error.retry_after_s / len(waiting), left_s))
                continue
            yield target_model, error
        else:
            yield target_model, None


def _models_path(endpoint_name: str) -> str:
    return f"/endpoints/{quote(endpoint_name, safe='')}/models"


def _error(response: httpx.Response) -> EndpointError:
    body = _members(response)
    kind = response.headers.get("x-amzn-errortype") or body.get("__type") or "Error"
    retry_after = response.headers.get("retry-after", "")
    return EndpointError(
        message=body.get("Message") or response.text[:200] or response.reason_phrase,
        kind=kind,
        status=response.status_code,
        retry_after_s=float(retry_after) if retry_after.isdecimal() else _POLL_S,
    )


def _members(response: httpx.Response) -> dict[str, Any]:
    """Return the members of a JSON object; an empty dictionary for any other response."""
    try:
        content = response.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
