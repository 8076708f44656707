"""The routes of the Open Inference Protocol v2: inference, health, metadata and repository."""

from collections.abc import Callable, Sequence

from starlette.requests import Request

import modelyard
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import (
    ModelNotLoadedError,
    ModelyardError,
    UnsupportedOperationError,
)
from modelyard.domain.values import HttpResponse, Invocation, Prediction
from modelyard.openinference import requests, responses
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web.exchange import Handler, Routes, body_of
from modelyard.router.web.model_calls import CallHead
from modelyard.router.web.model_paths import (
    ModelPaths,
    error_response,
    guarded,
    invocation_of,
    names_in,
)

PREFIXES = ("/v2", "/endpoints/{endpoint}/v2")
"""Without an endpoint in the path, the only one is meant."""


class InferRoute:
    """`POST .../v2/models/{model}/infer` (`ModelRoute`)."""

    paths = tuple(
        f"{prefix}/models/{{model:path}}{version}/infer"
        for prefix in PREFIXES
        for version in ("/versions/{version}", "")
    )

    def invocation(self, head: CallHead, body: bytes, endpoint: Endpoint | None) -> Invocation:
        """Return the invocation.

        Raises:
            ModelyardError: the request is not valid, or the endpoint is a Cortex API.
        """
        return invocation_of(head, endpoint, requests.parse_payload(head.headers, body))

    def render(self, head: CallHead, prediction: Prediction) -> HttpResponse:
        """Return the response with the outputs."""
        return responses.render_inference(prediction, head.model, head.version)

    def render_error(
        self, head: CallHead, error: ModelyardError, endpoint: Endpoint | None
    ) -> HttpResponse:
        """Return the error response."""
        return error_response(error, responses.render_error)


class OpenInferenceRoutes:
    """The handlers of the routes that call no model; they find the endpoint in the path."""

    def __init__(
        self, router: Router, catalog: Catalog, missing: Callable[[], Sequence[str]]
    ) -> None:
        """`missing` returns the names of processes that do not run."""
        self._router = router
        self._catalog = catalog
        self._missing = missing
        self._paths = ModelPaths(router, catalog)

    @property
    def routes(self) -> Routes:
        """All routes."""
        relative: Routes = (
            ("GET", "", self.server),
            ("GET", "/models", self.models),
            ("GET", "/models/stats", self.statistics),
            *_of_models("/ready", self.model_ready),
            *_of_models("/config", self.config),
            *_of_models("/stats", self.statistics),
            *_of_models("", self.model),
            ("POST", "/repository/index", self.index),
            ("POST", "/repository/models/{model:path}/load", self.load),
            ("POST", "/repository/models/{model:path}/unload", self.unload),
        )
        return [*self.health_routes, *_below_prefixes(relative)]

    @property
    def health_routes(self) -> Routes:
        """The routes that probes call."""
        return _below_prefixes(
            (("GET", "/health/live", self.live), ("GET", "/health/ready", self.ready))
        )

    async def live(self, request: Request) -> HttpResponse:
        """`GET v2/health/live`."""
        self._paths.endpoint(request)
        return responses.render_health(is_good=True)

    async def ready(self, request: Request) -> HttpResponse:
        """`GET v2/health/ready`: whether all processes run."""
        self._paths.endpoint(request)
        names = self._missing()
        return responses.render_health(
            is_good=not names, message=f"not running: {', '.join(names)}"
        )

    async def server(self, request: Request) -> HttpResponse:
        """`GET v2`: the metadata of the server."""
        self._paths.endpoint(request)
        return responses.render_server(modelyard.__version__)

    async def model(self, request: Request) -> HttpResponse:
        """`GET v2/models/{model}`: the metadata of a model, which is loaded for it."""
        endpoint, target_model = await self._paths.model(request)
        signature = await self._router.signature(endpoint.name, target_model)
        name, version = names_in(request)
        return responses.render_model(name, version, signature)

    async def config(self, request: Request) -> HttpResponse:
        """`GET v2/models/{model}/config`: the same for Triton's clients."""
        endpoint, target_model = await self._paths.model(request)
        signature = await self._router.signature(endpoint.name, target_model)
        return responses.render_config(names_in(request)[0], signature)

    async def statistics(self, request: Request) -> HttpResponse:
        """`GET v2/models/{model}/stats`, `GET v2/models/stats`: not supported."""
        self._paths.endpoint(request)
        raise UnsupportedOperationError(
            "the statistics extension is not supported: the metrics of the server have counts"
            " and times"
        )

    async def models(self, request: Request) -> HttpResponse:
        """`GET v2/models`: the names of the models that the caller may call."""
        return responses.render_names(await self._paths.models(request))

    async def model_ready(self, request: Request) -> HttpResponse:
        """`GET v2/models/{model}/ready`: loads the model if it is not loaded."""
        endpoint, target_model = await self._paths.model(request)
        await self._router.load(endpoint.name, target_model, fresh=False)
        return responses.render_model_ready(names_in(request)[0])

    async def index(self, request: Request) -> HttpResponse:
        """`POST v2/repository/index`: the models that the caller may call."""
        ready_only = requests.wants_ready_only(await body_of(request))
        return responses.render_index(await self._paths.models(request), ready_only=ready_only)

    async def load(self, request: Request) -> HttpResponse:
        """`POST v2/repository/models/{model}/load`."""
        requests.check_load(await body_of(request))
        endpoint, target_model = await self._paths.model(request)
        await self._router.load(endpoint.name, target_model, fresh=False)
        return responses.render_json({})

    async def unload(self, request: Request) -> HttpResponse:
        """`POST v2/repository/models/{model}/unload`; also good if the model is not loaded."""
        requests.check_load(await body_of(request))
        endpoint, target_model = await self._paths.model(request)
        try:
            await self._router.unload(endpoint.name, target_model)
        except ModelNotLoadedError:
            await self._catalog.model(endpoint.name, target_model)  # an error if there is none
        return responses.render_json({})


def _of_models(path: str, handler: Handler) -> Routes:
    """Return the routes of a model and of one version of it."""
    model = "/models/{model:path}"
    return [("GET", f"{model}{version}{path}", handler) for version in ("/versions/{version}", "")]


def _below_prefixes(relative: Routes) -> Routes:
    return [
        (method, prefix + path, guarded(handler, responses.render_error))
        for prefix in PREFIXES
        for method, path, handler in relative
    ]
