"""The route of MLflow's scoring protocol."""

from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import ModelyardError
from modelyard.domain.values import HttpResponse, Invocation, Prediction
from modelyard.mlflow import requests, responses
from modelyard.router.web.model_calls import CallHead
from modelyard.router.web.model_paths import error_response, invocation_of


class ScoringRoute:
    """`POST /endpoints/{endpoint}/models/{model}/invocations` (`ModelRoute`)."""

    paths = ("/endpoints/{endpoint}/models/{model:path}/invocations",)

    def invocation(self, head: CallHead, body: bytes, endpoint: Endpoint | None) -> Invocation:
        """Return the invocation.

        Raises:
            ModelyardError: the request is not valid, or the endpoint is a Cortex API.
        """
        return invocation_of(head, endpoint, requests.parse_payload(head.headers, body))

    def render(self, head: CallHead, prediction: Prediction) -> HttpResponse:
        """Return the response with the predictions."""
        return responses.render_prediction(prediction)

    def render_error(
        self, head: CallHead, error: ModelyardError, endpoint: Endpoint | None
    ) -> HttpResponse:
        """Return the error response."""
        return error_response(error, responses.render_error)
