"""The routes of SageMaker InvokeEndpoint, its asynchronous and its streaming form."""

from starlette.requests import Request

from modelyard.domain.endpoints import Endpoint, ServerLocation
from modelyard.domain.errors import ModelyardError, UnsupportedOperationError
from modelyard.domain.values import HttpResponse, Invocation, Prediction
from modelyard.router.web.exchange import body_of
from modelyard.router.web.model_calls import CallHead
from modelyard.sagemaker.invocations import parse_invocation, parse_retry_policy
from modelyard.sagemaker.responses import ErrorContext, render_error, render_prediction


class InvokeEndpointRoute:
    """`POST /endpoints/{endpoint}/invocations` (`ModelRoute`)."""

    paths = ("/endpoints/{endpoint:path}/invocations",)

    def __init__(self, location: ServerLocation) -> None:
        self._location = location

    def invocation(self, head: CallHead, body: bytes, endpoint: Endpoint | None) -> Invocation:
        """Return the invocation.

        Raises:
            ModelyardError: a member of the request is not valid.
        """
        return parse_invocation(
            head.endpoint_name,
            head.headers,
            body,
            request_id=head.request_id,
            needs_target=endpoint is None or not endpoint.is_api,
            components=endpoint.components if endpoint else {},
        )

    def render(self, head: CallHead, prediction: Prediction) -> HttpResponse:
        """Return the response of InvokeEndpoint.

        Raises:
            ModelError: the model set a header value that HTTP does not allow.
        """
        return render_prediction(prediction)

    def render_error(
        self, head: CallHead, error: ModelyardError, endpoint: Endpoint | None
    ) -> HttpResponse:
        """Return the error response of InvokeEndpoint."""
        context = ErrorContext(
            endpoint_name=head.endpoint_name,
            location=self._location,
            retry=parse_retry_policy(head.headers),
            not_ready_status=endpoint.not_ready_status if endpoint else None,
        )
        return render_error(error, context)


class UnsupportedInvocations:
    """Refuses InvokeEndpointWithResponseStream."""

    def __init__(self, location: ServerLocation) -> None:
        self._location = location

    async def refuse(self, request: Request) -> HttpResponse:
        """Return the error."""
        name, operation = request.path_params["endpoint"], request.url.path.rsplit("/", 1)[1]
        error: ModelyardError = UnsupportedOperationError(
            f"Endpoint {name} does not support {operation}: call invocations instead."
        )
        try:
            await body_of(request)
        except ModelyardError as too_large:
            error = too_large
        return render_error(error, ErrorContext(name, self._location))
