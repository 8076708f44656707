"""A client of the management routes."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote, urlencode

from modelyard.clients import sdk
from modelyard.clients.endpoint_error import EndpointError
from modelyard.clients.http_calls import made_request, members_of, send
from modelyard.clients.sdk import SIGNING_NAME, region_of


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

    def __init__(self, url: str, *, key: str | None = None, sign: bool = False) -> None:
        """With `key`, requests carry this API key; with `sign`, they are signed for API Gateway.

        Raises:
            ConfigurationError: `sign` is set and there are no AWS credentials, or no boto3.
        """
        self._url = url.rstrip("/")
        self._headers = {"x-api-key": key} if key else {}
        self._signature = GatewaySignature.found(region_of(url)) if sign else None

    def models(self, endpoint_name: str, page_size: int = 100) -> Iterator[ListedModel]:
        """Yield every model of an endpoint, page by page."""
        query: dict[str, str] = {"limit": str(page_size)}
        while True:
            page = self._send("GET", f"{_models_path(endpoint_name)}?{urlencode(query)}")
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
            self._send("POST", _models_path(endpoint_name), {"model_name": target_model})
        except EndpointError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise

    def unload(self, endpoint_name: str, target_model: str) -> None:
        """Unload a model."""
        self._send("DELETE", f"{_models_path(endpoint_name)}/{quote(target_model, safe='')}")

    def _send(self, method: str, path: str, content: object = None) -> dict[str, Any]:
        body, headers = None, dict(self._headers)
        if content is not None:
            body, headers["content-type"] = json.dumps(content).encode(), "application/json"
        url = self._url + path
        if self._signature is not None:
            headers |= self._signature.headers(method, url, body)
        return members_of(send(made_request(method, url, headers, body), self._url))


class GatewaySignature:
    """Signs requests for API Gateway (AWS Signature Version 4)."""

    def __init__(self, credentials: Any, region: str) -> None:
        self._credentials = credentials
        self._region = region

    @classmethod
    def found(cls, region: str) -> Self:
        """Return a signature with the AWS credentials that boto3 finds.

        Raises:
            ConfigurationError: there are none, or boto3 is not installed.
        """
        return cls(sdk.credentials_of(sdk.import_boto3().session.Session()), region)

    def headers(self, method: str, url: str, body: bytes | None) -> dict[str, str]:
        """Return the headers of a request's signature."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        signed = AWSRequest(method, url, data=body)
        SigV4Auth(self._credentials, SIGNING_NAME, self._region).add_auth(signed)
        return dict(signed.headers.items())


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
