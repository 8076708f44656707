"""Routes that list, load and unload the models of an endpoint.

They follow SageMaker's contract for multi-model containers.
"""

import orjson
from starlette.requests import Request

from modelyard.domain.endpoints import ServerLocation
from modelyard.domain.errors import InvalidRequestError, ModelyardError, TargetModelNotFoundError
from modelyard.domain.values import HttpResponse, TargetModel
from modelyard.router.access import may_call_something
from modelyard.router.catalog import Catalog, CatalogEntry
from modelyard.router.router import Router
from modelyard.router.web.authentication import principal_of
from modelyard.router.web.exchange import Handler, body_of
from modelyard.sagemaker.responses import ErrorContext, render_json, render_management_error
from modelyard.sagemaker.target_model import parse_target_model

PAGE_LIMIT = 100
MAX_PAGE_LIMIT = 1000
_EXPECTED_LOAD = 'the body must be JSON: {"model_name": "..."}'


class ManagementRoutes:
    """The handlers raise `ModelyardError`; `guarded` renders it as a response."""

    def __init__(self, router: Router, catalog: Catalog, location: ServerLocation) -> None:
        self._router = router
        self._catalog = catalog
        self._location = location

    def guarded(self, handler: Handler) -> Handler:
        """Return a handler that renders the errors of `handler` as responses."""

        async def respond(request: Request) -> HttpResponse:
            try:
                return await handler(request)
            except ModelyardError as error:
                context = ErrorContext(request.path_params["endpoint"], self._location)
                return render_management_error(error, context)

        return respond

    async def list_endpoints(self, request: Request) -> HttpResponse:
        """`GET /endpoints`: the endpoints of which the caller may call at least one model."""
        endpoints = [
            {"endpointName": endpoint.name, "modelDataUrl": endpoint.repository}
            for endpoint in self._router.endpoints
            if may_call_something(endpoint, principal_of(request))
        ]
        return render_json({"endpoints": endpoints})

    async def list_models(self, request: Request) -> HttpResponse:
        """`GET /endpoints/{endpoint}/models?limit=&next_page_token=`: a page of the models that
        the caller may call.
        """
        limit, after = _page(request)
        endpoint, principal = self._router.endpoints.find(_endpoint(request)), principal_of(request)
        found = await self._catalog.page_for(endpoint, principal, after=after, limit=limit)
        page: dict[str, object] = {
            "models": [self._model(request, entry) for entry in found.entries]
        }
        if found.has_more:
            page["nextPageToken"] = found.token
        return render_json(page)

    async def show(self, request: Request) -> HttpResponse:
        """`GET /endpoints/{endpoint}/models/{model}`."""
        target_model = await self._authorized(request, _target(request))
        entry = await self._catalog.model(_endpoint(request), target_model)
        return render_json(self._model(request, entry))

    async def load(self, request: Request) -> HttpResponse:
        """`POST /endpoints/{endpoint}/models` with `{"model_name": ...}`."""
        target_model = await self._authorized(request, await _model_name(request))
        try:
            await self._router.load(_endpoint(request), target_model, fresh=True)
        except TargetModelNotFoundError as error:
            endpoint = self._router.endpoints.find(_endpoint(request))
            principal = principal_of(request)
            raise await self._catalog.with_hint(error, endpoint, principal, target_model) from error
        return render_json({"status": f'Model "{target_model}" loaded'})

    async def unload(self, request: Request) -> HttpResponse:
        """`DELETE /endpoints/{endpoint}/models/{model}`."""
        target_model = await self._authorized(request, _target(request))
        await self._router.unload(_endpoint(request), target_model)
        return render_json({"status": f'Model "{target_model}" unloaded'})

    async def _authorized(self, request: Request, target_model: TargetModel) -> TargetModel:
        endpoint = self._router.endpoints.find(_endpoint(request))
        await self._catalog.authorizer.authorize(endpoint, principal_of(request), target_model)
        return target_model

    def _model(self, request: Request, entry: CatalogEntry) -> dict[str, object]:
        repository = self._router.endpoints.find(_endpoint(request)).repository
        residence = entry.residence
        return {
            "modelName": entry.target_model,
            "modelUrl": f"{repository.rstrip('/')}/{entry.target_model}",
            "status": residence.status,
            "version": residence.version,
            "repositoryBytes": entry.repository_bytes,
            "diskBytes": residence.disk_bytes,
            "memoryBytes": residence.memory_bytes,
            "lastUsedAt": residence.last_used_at,
            "detail": residence.detail,
        }


def _endpoint(request: Request) -> str:
    name: str = request.path_params["endpoint"]
    return name


def _target(request: Request) -> TargetModel:
    return parse_target_model(request.path_params["model"])


async def _model_name(request: Request) -> TargetModel:
    body = await body_of(request)
    try:
        name = orjson.loads(body)["model_name"]
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidRequestError(_EXPECTED_LOAD) from error
    if not isinstance(name, str):
        raise InvalidRequestError(_EXPECTED_LOAD)
    return parse_target_model(name)


def _page(request: Request) -> tuple[int, str]:
    query = request.query_params
    try:
        limit = int(query.get("limit", PAGE_LIMIT))
    except ValueError:
        limit = 0
    if not 1 <= limit <= MAX_PAGE_LIMIT:
        raise InvalidRequestError(f"limit must be a number from 1 to {MAX_PAGE_LIMIT}")
    return limit, query.get("next_page_token", "")
