"""InvokeEndpoint without HTTP: the payload of a Lambda invocation has the members of the call.

`aws lambda invoke --function-name <router> --payload '{"EndpointName": ..., "Body": ...}'`. The
IAM permission `lambda:InvokeFunction` decides who may do this; for access rules, the caller's
name is `direct`.
"""

import base64
import binascii
import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.domain.endpoints import VARIANT, ServerLocation
from modelyard.domain.errors import InvalidRequestError, ModelyardError, PayloadTooLargeError
from modelyard.domain.keys import split_key
from modelyard.domain.values import HttpResponse, Prediction, Principal
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.sagemaker.constraints import MAX_BODY_BYTES
from modelyard.sagemaker.invocations import parse_invocation
from modelyard.sagemaker.responses import ErrorContext, render_error

_HEADERS = {
    "TargetModel": "x-amzn-sagemaker-target-model",
    "ContentType": "content-type",
    "Accept": "accept",
    "CustomAttributes": "x-amzn-sagemaker-custom-attributes",
    "TargetVariant": "x-amzn-sagemaker-target-variant",
    "InferenceId": "x-amzn-sagemaker-inference-id",
    "InferenceComponentName": "x-amzn-sagemaker-inference-component",
}
_MEMBERS = ("EndpointName", *_HEADERS, "Body", "IsBase64Encoded")

Members = dict[str, Any]

DIRECT = Principal("direct")
"""Every caller who may invoke the function: Lambda does not tell the function who called."""


class DirectInvocations:
    """Turns payloads of invocations into payloads of responses; members have their SDK names."""

    def __init__(self, router: Router, catalog: Catalog, location: ServerLocation) -> None:
        self._router = router
        self._catalog = catalog
        self._location = location

    async def answer(self, event: Mapping[str, Any]) -> Members:
        """Return the response's members, or `__type`, `Message` and `StatusCode` of an error."""
        name = event.get("EndpointName", "")
        try:
            return _response(await self._invoke(event))
        except ModelyardError as error:
            context = ErrorContext(name if isinstance(name, str) else "", self._location)
            return render_failure(render_error(error, context))

    async def _invoke(self, event: Mapping[str, Any]) -> Prediction:
        _check(event)
        endpoint = self._router.endpoints.find(event["EndpointName"])
        invocation = parse_invocation(
            endpoint.name,
            _headers(event),
            _body(event),
            request_id=str(uuid.uuid4()),
            needs_target=not endpoint.is_api,
            components=endpoint.components,
        )
        await self._catalog.authorizer.authorize(endpoint, DIRECT, invocation.target_model)
        return await self._router.invoke(invocation)


def _check(event: Mapping[str, Any]) -> None:
    unknown = [name for name in event if name not in _MEMBERS]
    if unknown:
        raise InvalidRequestError(f"unknown member {unknown[0]!r}; allowed: {', '.join(_MEMBERS)}")
    for name in ("EndpointName", *_HEADERS, "Body"):
        if not isinstance(event.get(name, ""), str):
            raise InvalidRequestError(f"{name} must be text")
    for name in ("EndpointName", "Body"):
        if name not in event:
            raise InvalidRequestError(f"{name} is missing")


def _headers(event: Mapping[str, Any]) -> dict[str, str]:
    """Return the members as headers, without API keys, as over HTTP."""
    sent = [
        (header.encode(), event[member].encode(errors="replace"))
        for member, header in _HEADERS.items()
        if member in event
    ]
    _, kept = split_key(sent)
    return {header.decode(): value.decode("latin-1") for header, value in kept}


def _body(event: Mapping[str, Any]) -> bytes:
    body: str = event["Body"]
    try:
        content = base64.b64decode(body, validate=True) if event.get("IsBase64Encoded") else None
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(f"Body is not base64: {error}") from error
    content = body.encode(errors="surrogatepass") if content is None else content
    if len(content) > MAX_BODY_BYTES:
        raise PayloadTooLargeError(f"Body is {len(content)} bytes; allowed: {MAX_BODY_BYTES}")
    return content


def _response(prediction: Prediction) -> Members:
    try:
        body, is_base64 = prediction.body.decode(), False
    except UnicodeDecodeError:
        body, is_base64 = base64.b64encode(prediction.body).decode(), True
    members = {
        "Body": body,
        "IsBase64Encoded": is_base64,
        "ContentType": prediction.content_type,
        "InvokedProductionVariant": VARIANT,
        "CustomAttributes": prediction.custom_attributes,
    }
    return {name: value for name, value in members.items() if value is not None}


def render_failure(response: HttpResponse) -> Members:
    """Return the members of an error, of which `response` is the one over HTTP."""
    members: Members = orjson.loads(response.body)
    return {**members, "StatusCode": response.status}
