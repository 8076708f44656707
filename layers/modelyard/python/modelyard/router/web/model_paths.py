"""What the protocols share that name the model in the path: targets, access, errors."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request

from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import (
    InvalidRequestError,
    ModelNotReadyError,
    ModelyardError,
    UnknownEndpointError,
    UnsupportedOperationError,
)
from modelyard.domain.values import (
    HttpResponse,
    Invocation,
    ModelResidence,
    Payload,
    TargetModel,
)
from modelyard.router.access import may_call_something, refusal
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web.authentication import principal_of
from modelyard.router.web.exchange import Handler
from modelyard.router.web.model_calls import CallHead
from modelyard.sagemaker.invocations import parse_retry_policy
from modelyard.sagemaker.statuses import plain_status, retry_after_s
from modelyard.sagemaker.target_model import parse_target_model

RenderError = Callable[[int, str, float | None], HttpResponse]
"""Returns a response of a status, a message, and after how many seconds to retry."""
_SEVERAL = "several endpoints are served: put /endpoints/ENDPOINT before this path"


class ModelPaths:
    """Finds the endpoint and the model in the path of a request, for callers who may call it."""

    def __init__(self, router: Router, catalog: Catalog) -> None:
        self._router = router
        self._catalog = catalog

    def endpoint(self, request: Request) -> Endpoint:
        """Return the endpoint of a request whose caller may call something of it.

        Raises:
            ModelyardError: there is no such endpoint, or the caller may not call it.
        """
        endpoints = self._router.endpoints
        name = request.path_params.get("endpoint") or endpoints.only_name or ""
        endpoint, principal = endpoints.find(name), principal_of(request)
        _refuse_api(endpoint)
        if not may_call_something(endpoint, principal):
            raise refusal(endpoint, principal)
        return endpoint

    async def model(self, request: Request) -> tuple[Endpoint, TargetModel]:
        """Return the endpoint and the target model of a request whose caller may call the model.

        Raises:
            ModelyardError: as `endpoint`, or the caller may not call the model.
        """
        endpoint = self.endpoint(request)
        target_model = _target(*names_in(request))
        await self._catalog.authorizer.authorize(endpoint, principal_of(request), target_model)
        return endpoint, target_model

    async def models(self, request: Request) -> list[ModelResidence]:
        """Return the models of the request's endpoint that its caller may call.

        Raises:
            ModelyardError: as `endpoint`, or the repository cannot be listed.
        """
        page = await self._catalog.page_for(self.endpoint(request), principal_of(request))
        return [entry.residence for entry in page.entries]


def names_in(request: Request) -> tuple[str, str]:
    """Return the name and the version of the model in a path; the version may be empty."""
    parameters: dict[str, Any] = request.path_params
    return parameters["model"], parameters.get("version", "")


def invocation_of(head: CallHead, endpoint: Endpoint | None, payload: Payload) -> Invocation:
    """Return the invocation of the model that the path names.

    Raises:
        InvalidRequestError: the name is not valid, or the endpoint is a Cortex API.
    """
    _refuse_api(endpoint)
    return Invocation(
        endpoint_name=head.endpoint_name,
        target_model=_target(head.model, head.version),
        payload=payload,
        retry=parse_retry_policy(head.headers),
        request_id=head.request_id,
        traceparent=head.headers.get("traceparent", ""),
    )


def error_response(error: ModelyardError, render: RenderError) -> HttpResponse:
    """Return the response to a request that fails with this error."""
    message = error.message
    if isinstance(error, UnknownEndpointError):
        message = f"endpoint {message!r} not found" if message else _SEVERAL
    wait_s = retry_after_s(error) if isinstance(error, ModelNotReadyError) else None
    return render(plain_status(error), message, wait_s)


def guarded(handler: Handler, render: RenderError) -> Handler:
    """Return a handler that renders the errors of `handler` as responses."""

    async def respond(request: Request) -> HttpResponse:
        try:
            return await handler(request)
        except ModelyardError as error:
            return error_response(error, render)

    return respond


def _refuse_api(endpoint: Endpoint | None) -> None:
    if endpoint is not None and endpoint.is_api:
        raise UnsupportedOperationError(
            f"{endpoint.name} is a Cortex API: call it at {endpoint.route}"
        )


def _target(model: str, version: str) -> TargetModel:
    """Return the target model: a version of a model is the file or folder below its name.

    Raises:
        InvalidRequestError: the name is not valid.
    """
    if version in (".", ".."):
        raise InvalidRequestError(f"version {version!r} is not valid")
    return parse_target_model(f"{model}/{version}" if version else model)
