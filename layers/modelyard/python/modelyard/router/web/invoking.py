"""The routes of SageMaker InvokeEndpoint, its asynchronous and its streaming form."""

from starlette.requests import Request

from modelyard.domain.endpoints import Endpoint, ServerLocation
from modelyard.domain.errors import ModelyardError, UnsupportedOperationError
from modelyard.domain.values import HttpResponse
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web.authentication import principal_of
from modelyard.router.web.exchange import REQUEST_ID, body_of, headers_of
from modelyard.sagemaker.invocations import parse_invocation, parse_retry_policy
from modelyard.sagemaker.responses import ErrorContext, render_error, render_prediction


class InvokeRoutes:
    """`POST /endpoints/{endpoint}/invocations`, `.../async-invocations`, `...-response-stream`."""

    def __init__(self, router: Router, catalog: Catalog, location: ServerLocation) -> None:
        self._router = router
        self._catalog = catalog
        self._location = location

    async def invoke(self, request: Request) -> HttpResponse:
        """Return the response of InvokeEndpoint: a prediction or an error."""
        name: str = request.path_params["endpoint"]
        headers = headers_of(request)
        endpoint = self._find(name)
        try:
            invocation = parse_invocation(
                name,
                headers,
                await body_of(request),
                request_id=request.scope[REQUEST_ID],
                needs_target=endpoint is None or not endpoint.is_api,
            )
            if endpoint is not None:
                await self._catalog.authorizer.authorize(
                    endpoint, principal_of(request), invocation.target_model
                )
            return render_prediction(await self._router.invoke(invocation))
        except ModelyardError as error:
            return render_error(error, self._context(name, headers))

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

    def _context(self, name: str, headers: dict[str, str]) -> ErrorContext:
        endpoint = self._find(name)
        return ErrorContext(
            endpoint_name=name,
            location=self._location,
            retry=parse_retry_policy(headers),
            not_ready_status=endpoint.not_ready_status if endpoint else None,
        )

    def _find(self, name: str) -> Endpoint | None:
        return next((item for item in self._router.endpoints if item.name == name), None)
