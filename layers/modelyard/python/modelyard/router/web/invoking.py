"""The routes of SageMaker InvokeEndpoint, its asynchronous and its streaming form."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request

from modelyard.domain.endpoints import Endpoint, ServerLocation
from modelyard.domain.errors import ModelyardError, UnsupportedOperationError
from modelyard.domain.values import HttpResponse, Invocation, Principal
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web.authentication import principal_of
from modelyard.router.web.exchange import body_of, headers_of
from modelyard.sagemaker.invocations import parse_invocation, parse_retry_policy
from modelyard.sagemaker.responses import (
    REQUEST_ID,
    ErrorContext,
    render_error,
    render_prediction,
)


@dataclass(frozen=True, slots=True)
class InvokeCall:
    """A POST to InvokeEndpoint, of whichever HTTP server received it."""

    endpoint_name: str
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes
    principal: Principal
    request_id: str


class InvokeRoutes:
    """`POST /endpoints/{endpoint}/invocations`, `.../async-invocations`, `...-response-stream`."""

    def __init__(self, router: Router, catalog: Catalog, location: ServerLocation) -> None:
        self._router = router
        self._catalog = catalog
        self._location = location

    def answer_now(self, call: InvokeCall) -> HttpResponse | None:
        """Return the response of InvokeEndpoint, or None if it cannot be made without waiting."""
        endpoint = self._find(call.endpoint_name)
        try:
            invocation = _invocation(call, endpoint)
            if endpoint is not None and not self._catalog.authorizer.is_known_to_allow(
                endpoint, call.principal, invocation.target_model
            ):
                return None
            prediction = self._router.invoke_now(invocation)
            return None if prediction is None else render_prediction(prediction)
        except ModelyardError as error:
            return self._error(error, call.endpoint_name, call.headers)

    async def answer(self, call: InvokeCall) -> HttpResponse:
        """Return the response of InvokeEndpoint: a prediction or an error."""
        endpoint = self._find(call.endpoint_name)
        try:
            invocation = _invocation(call, endpoint)
            if endpoint is not None:
                await self._catalog.authorizer.authorize(
                    endpoint, call.principal, invocation.target_model
                )
            return render_prediction(await self._router.invoke(invocation))
        except ModelyardError as error:
            return self._error(error, call.endpoint_name, call.headers)

    async def invoke(self, request: Request) -> HttpResponse:
        """Return the response of InvokeEndpoint to a request of Starlette."""
        name: str = request.path_params["endpoint"]
        headers = headers_of(request)
        try:
            body = await body_of(request)
        except ModelyardError as error:
            return self._error(error, name, headers)
        principal, request_id = principal_of(request), request.scope[REQUEST_ID]
        return await self.answer(InvokeCall(name, headers, body, principal, request_id))

    async def refuse(self, request: Request) -> HttpResponse:
        """Return the error for InvokeEndpointAsync and InvokeEndpointWithResponseStream."""
        name, operation = request.path_params["endpoint"], request.url.path.rsplit("/", 1)[1]
        error: ModelyardError = UnsupportedOperationError(
            f"Endpoint {name} does not support {operation}: call invocations instead."
        )
        try:
            await body_of(request)
        except ModelyardError as too_large:
            error = too_large
        return render_error(error, ErrorContext(name, self._location))

    def _error(self, error: ModelyardError, name: str, headers: Mapping[str, str]) -> HttpResponse:
        endpoint = self._find(name)
        context = ErrorContext(
            endpoint_name=name,
            location=self._location,
            retry=parse_retry_policy(headers),
            not_ready_status=endpoint.not_ready_status if endpoint else None,
        )
        return render_error(error, context)

    def _find(self, name: str) -> Endpoint | None:
        return next((item for item in self._router.endpoints if item.name == name), None)


def _invocation(call: InvokeCall, endpoint: Endpoint | None) -> Invocation:
    """Return the invocation that a call asks for.

    Raises:
        ModelyardError: a member of the request is not valid.
    """
    return parse_invocation(
        call.endpoint_name,
        call.headers,
        call.body,
        request_id=call.request_id,
        needs_target=endpoint is None or not endpoint.is_api,
    )
