"""The routes of TensorFlow Serving's REST API, which is KServe's version 1."""

from starlette.requests import Request

from modelyard.domain import protocol_bodies
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import ModelyardError
from modelyard.domain.values import HttpResponse, Invocation, Payload, Prediction
from modelyard.openinference.responses import render_error, render_names
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web.exchange import Routes
from modelyard.router.web.model_calls import CallHead
from modelyard.router.web.model_paths import (
    ModelPaths,
    error_response,
    guarded,
    invocation_of,
    names_in,
)
from modelyard.tfserving import responses

_LISTS = ("/v1/models", "/endpoints/{endpoint}/v1/models")
_MODELS = tuple(f"{path}/{{model:path}}" for path in _LISTS)
_VERSIONS = ("/versions/{version}", "")


class PredictRoute:
    """`POST .../v1/models/{model}:predict` (`ModelRoute`)."""

    paths = tuple(f"{model}{version}:predict" for model in _MODELS for version in _VERSIONS)

    def invocation(self, head: CallHead, body: bytes, endpoint: Endpoint | None) -> Invocation:
        """Return the invocation.

        Raises:
            ModelyardError: the request is not valid, or the endpoint is a Cortex API.
        """
        payload = Payload(body, protocol_bodies.TENSORFLOW_SERVING)
        return invocation_of(head, endpoint, payload)

    def render(self, head: CallHead, prediction: Prediction) -> HttpResponse:
        """Return the response with the predictions."""
        return responses.render_prediction(prediction)

    def render_error(
        self, head: CallHead, error: ModelyardError, endpoint: Endpoint | None
    ) -> HttpResponse:
        """Return the error response."""
        return error_response(error, render_error)


class TensorFlowServingRoutes:
    """The handlers of the routes that say what a model is."""

    def __init__(self, router: Router, catalog: Catalog) -> None:
        self._router = router
        self._paths = ModelPaths(router, catalog)

    @property
    def routes(self) -> Routes:
        """All routes but that of calls."""
        relative = (("/metadata", self.metadata), ("", self.status))
        return [
            *(("GET", path, guarded(self.models, render_error)) for path in _LISTS),
            *(
                ("GET", model + version + rest, guarded(handler, render_error))
                for rest, handler in relative
                for model in _MODELS
                for version in _VERSIONS
            ),
        ]

    async def models(self, request: Request) -> HttpResponse:
        """`GET v1/models`: the names of the models that the caller may call."""
        return render_names(await self._paths.models(request))

    async def status(self, request: Request) -> HttpResponse:
        """`GET v1/models/{model}`: loads the model if it is not loaded."""
        endpoint, target_model = await self._paths.model(request)
        await self._router.load(endpoint.name, target_model, fresh=False)
        return responses.render_status(*names_in(request))

    async def metadata(self, request: Request) -> HttpResponse:
        """`GET v1/models/{model}/metadata`: loads the model if it is not loaded."""
        endpoint, target_model = await self._paths.model(request)
        signature = await self._router.signature(endpoint.name, target_model)
        return responses.render_metadata(*names_in(request), signature)
