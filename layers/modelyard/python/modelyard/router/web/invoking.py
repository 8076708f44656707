"""The routes of SageMaker InvokeEndpoint and InvokeEndpointWithResponseStream."""

from dataclasses import replace

from modelyard.domain.endpoints import Endpoint, ServerLocation
from modelyard.domain.errors import ModelyardError
from modelyard.domain.values import HttpResponse, Invocation, Prediction
from modelyard.router.web.model_calls import CallHead
from modelyard.sagemaker.event_stream import render_stream
from modelyard.sagemaker.invocations import parse_invocation, parse_retry_policy
from modelyard.sagemaker.invoke_headers import as_invoke_endpoint
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


class InvokeStreamRoute(InvokeEndpointRoute):
    """`POST /endpoints/{endpoint}/invocations-response-stream` (`ModelRoute`)."""

    paths = ("/endpoints/{endpoint:path}/invocations-response-stream",)

    def invocation(self, head: CallHead, body: bytes, endpoint: Endpoint | None) -> Invocation:
        """Return the invocation.

        Raises:
            ModelyardError: a member of the request is not valid.
        """
        headers = as_invoke_endpoint(head.headers, ("accept",))
        invocation = super().invocation(head._replace(headers=headers), body, endpoint)
        return replace(invocation, payload=replace(invocation.payload, takes_parts=True))

    def render(self, head: CallHead, prediction: Prediction) -> HttpResponse:
        """Return the response: an event stream.

        Raises:
            ModelError: the model set a header value that HTTP does not allow.
        """
        return render_stream(prediction)
