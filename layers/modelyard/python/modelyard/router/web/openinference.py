"""The routes of the Open Inference Protocol v2: inference, health, metadata and repository."""

from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request

import modelyard
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import (
    InvalidRequestError,
    ModelNotLoadedError,
    ModelNotReadyError,
    ModelyardError,
    UnknownEndpointError,
    UnsupportedOperationError,
)
from modelyard.domain.values import HttpResponse, Invocation, Prediction, TargetModel
from modelyard.openinference import requests, responses
from modelyard.router.access import may_call_something, refusal
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web.authentication import principal_of
from modelyard.router.web.exchange import Handler, body_of
from modelyard.router.web.model_calls import CallHead
from modelyard.sagemaker.invocations import parse_retry_policy
from modelyard.sagemaker.statuses import plain_status, retry_after_s
from modelyard.sagemaker.target_model import parse_target_model

PREFIXES = ("/v2", "/endpoints/{endpoint}/v2")
"""Without an endpoint in the path, the only one is meant."""
_SEVERAL = "several endpoints are served: call /endpoints/ENDPOINT/v2 and the rest of the path"


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
        _refuse_api(endpoint)
        return Invocation(
            endpoint_name=head.endpoint_name,
            target_model=_target(head.model, head.version),
            payload=requests.parse_payload(head.headers, body),
            retry=parse_retry_policy(head.headers),
            request_id=head.request_id,
        )

    def render(self, head: CallHead, prediction: Prediction) -> HttpResponse:
        """Return the response with the outputs."""
        return responses.render_inference(prediction, head.model, head.version)

    def render_error(
        self, head: CallHead, error: ModelyardError, endpoint: Endpoint | None
    ) -> HttpResponse:
        """Return the error response."""
        return render_error(error)


class OpenInferenceRoutes:
    """The handlers of the routes that call no model; they find the endpoint in the path."""

    def __init__(
        self, router: Router, catalog: Catalog, missing: Callable[[], Sequence[str]]
    ) -> None:
        """`missing` returns the names of processes that do not run."""
        self._router = router
        self._catalog = catalog
        self._missing = missing

    @property
    def routes(self) -> list[tuple[str, str, Handler]]:
        """The method, the path and the handler of each route."""
        relative: tuple[tuple[str, str, Handler], ...] = (
            ("GET", "", self.server),
            ("GET", "/health/live", self.live),
            ("GET", "/health/ready", self.ready),
            ("GET", "/models/{model:path}/versions/{version}/ready", self.model_ready),
            ("GET", "/models/{model:path}/ready", self.model_ready),
            ("GET", "/models/{model:path}/versions/{version}", self.model),
            ("GET", "/models/{model:path}", self.model),
            ("POST", "/repository/index", self.index),
            ("POST", "/repository/models/{model:path}/load", self.load),
            ("POST", "/repository/models/{model:path}/unload", self.unload),
        )
        return [
            (method, prefix + path, _guarded(handler))
            for prefix in PREFIXES
            for method, path, handler in relative
        ]

    async def live(self, request: Request) -> HttpResponse:
        """`GET v2/health/live`."""
        self._endpoint(request)
        return responses.render_health(is_good=True)

    async def ready(self, request: Request) -> HttpResponse:
        """`GET v2/health/ready`: whether all processes run."""
        self._endpoint(request)
        names = self._missing()
        return responses.render_health(
            is_good=not names, message=f"not running: {', '.join(names)}"
        )

    async def server(self, request: Request) -> HttpResponse:
        """`GET v2`: the metadata of the server."""
        self._endpoint(request)
        return responses.render_server(modelyard.__version__)

    async def model(self, request: Request) -> HttpResponse:
        """`GET v2/models/{model}`: the metadata of a model, which is loaded for it."""
        endpoint, target_model = await self._authorized(request)
        signature = await self._router.signature(endpoint.name, target_model)
        name, version = _names(request)
        return responses.render_model(name, version, signature)

    async def model_ready(self, request: Request) -> HttpResponse:
        """`GET v2/models/{model}/ready`: loads the model if it is not loaded."""
        endpoint, target_model = await self._authorized(request)
        await self._router.load(endpoint.name, target_model, fresh=False)
        return responses.render_model_ready(_names(request)[0])

    async def index(self, request: Request) -> HttpResponse:
        """`POST v2/repository/index`: the models that the caller may call."""
        endpoint = self._endpoint(request)
        ready_only = requests.wants_ready_only(await body_of(request))
        entries = await self._catalog.models_for(endpoint, principal_of(request))
        return responses.render_index((one.residence for one in entries), ready_only=ready_only)

    async def load(self, request: Request) -> HttpResponse:
        """`POST v2/repository/models/{model}/load`."""
        requests.check_load(await body_of(request))
        endpoint, target_model = await self._authorized(request)
        await self._router.load(endpoint.name, target_model, fresh=False)
        return responses.render_json({})

    async def unload(self, request: Request) -> HttpResponse:
        """`POST v2/repository/models/{model}/unload`; also good if the model is not loaded."""
        requests.check_load(await body_of(request))
        endpoint, target_model = await self._authorized(request)
        try:
            await self._router.unload(endpoint.name, target_model)
        except ModelNotLoadedError:
            await self._catalog.model(endpoint.name, target_model)  # an error if there is none
        return responses.render_json({})

    def _endpoint(self, request: Request) -> Endpoint:
        """Return the endpoint of a request whose caller may call something of it.

        Raises:
            ModelyardError: there is no such endpoint, or the caller may not call it.
        """
        endpoints = self._router.endpoints
        name = request.path_params.get("endpoint") or endpoints.only_name or ""
        endpoint, principal = endpoints.find(name), principal_of(request)
        _refuse_api(endpoint)
        if not may_call_something(endpoint, principal):
            raise refusal(endpoint, principal, TargetModel(""))
        return endpoint

    async def _authorized(self, request: Request) -> tuple[Endpoint, TargetModel]:
        endpoint = self._endpoint(request)
        target_model = _target(*_names(request))
        await self._catalog.authorizer.authorize(endpoint, principal_of(request), target_model)
        return endpoint, target_model


def render_error(error: ModelyardError) -> HttpResponse:
    """Return the response to a request that fails with this error."""
    message = error.message
    if isinstance(error, UnknownEndpointError):
        message = f"endpoint {message!r} not found" if message else _SEVERAL
    wait_s = retry_after_s(error) if isinstance(error, ModelNotReadyError) else None
    return responses.render_error(plain_status(error), message, wait_s)


def _guarded(handler: Handler) -> Handler:
    async def respond(request: Request) -> HttpResponse:
        try:
            return await handler(request)
        except ModelyardError as error:
            return render_error(error)

    return respond


def _refuse_api(endpoint: Endpoint | None) -> None:
    if endpoint is not None and endpoint.is_api:
        raise UnsupportedOperationError(
            f"{endpoint.name} is a Cortex API: call it at {endpoint.route}"
        )


def _names(request: Request) -> tuple[str, str]:
    """Return the name and the version of the model in the path."""
    parameters: dict[str, Any] = request.path_params
    return parameters["model"], parameters.get("version", "")


def _target(model: str, version: str) -> TargetModel:
    """Return the target model: a version of a model is the file or folder below its name.

    Raises:
        InvalidRequestError: the name is not valid.
    """
    if version in (".", ".."):
        raise InvalidRequestError(f"version {version!r} is not valid")
    return parse_target_model(f"{model}/{version}" if version else model)
