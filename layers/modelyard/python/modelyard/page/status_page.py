"""The page for browsers at `GET /`: what the server does, and a form to call a model."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

import modelyard
from modelyard.domain import model_files
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import AccessDeniedError, InvalidRequestError, ModelyardError
from modelyard.domain.units import render_size
from modelyard.domain.values import (
    Invocation,
    ModelResidence,
    ModelStatus,
    RetryPolicy,
    TargetModel,
)
from modelyard.page import try_it
from modelyard.page.facts import ServerFacts
from modelyard.page.history import CallHistory, History, ModelCalls
from modelyard.router.access import is_allowed, may_call_something, may_open
from modelyard.router.catalog import Catalog, CatalogEntry
from modelyard.router.router import Router
from modelyard.router.web import browser_keys
from modelyard.router.web.authentication import principal_of
from modelyard.router.web.exchange import body_of
from modelyard.sagemaker.responses import REQUEST_ID
from modelyard.sagemaker.target_model import parse_target_model

if TYPE_CHECKING:
    from jinja2 import Environment

ROWS = 50
"""How many models the table shows at a time."""
MAX_FORM_BYTES = 1 << 20
PREFIX = browser_keys.PAGE_PREFIX.rstrip("/")
_FOLDER = Path(__file__).parent
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_STATIC = {"htmx.min.js": "text/javascript", "page.css": "text/css"}
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "vary": "accept",
}
_STATES = tuple(status for status in ModelStatus if status is not ModelStatus.NOT_LOADED)
_ONE_ATTEMPT = RetryPolicy(retries_429=True, attempts_left=1)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of models."""

    name: str
    runtime: str
    repository_bytes: int
    residence: ModelResidence
    calls: ModelCalls


class StatusPage:
    """Renders the page, and does what its buttons ask for."""

    def __init__(
        self,
        router: Router,
        catalog: Catalog,
        history: CallHistory,
        facts: Callable[[], ServerFacts],
        scheme: str,
    ) -> None:
        """`scheme` is that of the server's URL."""
        self._scheme = scheme
        self._router = router
        self._catalog = catalog
        self._history = history
        self._facts = facts

    @property
    def routes(self) -> list[Route]:
        """The page, its files, and the targets of its forms."""
        return [
            Route("/", self.show, methods=_METHODS),
            Route(f"{PREFIX}/warm", self.warm, methods=["POST"]),
            Route(f"{PREFIX}/unload", self.unload, methods=["POST"]),
            Route(f"{PREFIX}/call", self.call, methods=["POST"]),
            Route(f"{PREFIX}/{{name}}", self.file, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """`GET /?endpoint=&q=&state=&after=&model=`; `part=overview` leaves the table out."""
        is_browser = "text/html" in request.headers.get("accept", "")
        if not is_browser and "hx-request" not in request.headers:  # htmx accepts anything
            raise HTTPException(404)  # what the API answers where it has no route
        return await self._render(request)

    async def file(self, request: Request) -> Response:
        """`GET /_page/{name}`: a file of the page."""
        name = request.path_params["name"]
        if name not in _STATIC:
            return Response("not found", 404, media_type="text/plain")
        content = await asyncio.to_thread((_FOLDER / "static" / name).read_bytes)
        return Response(content, media_type=_STATIC[name], headers=_HEADERS)

    async def warm(self, request: Request) -> Response:
        """`POST /_page/warm`: load a model, then show the page."""

        async def load(endpoint: Endpoint, target_model: TargetModel) -> None:
            await self._router.load(endpoint.name, target_model, fresh=False)

        return await self._done(request, load)

    async def unload(self, request: Request) -> Response:
        """`POST /_page/unload`: unload a model, then show the page."""

        async def unload(endpoint: Endpoint, target_model: TargetModel) -> None:
            await self._router.unload(endpoint.name, target_model)

        return await self._done(request, unload)

    async def call(self, request: Request) -> Response:
        """`POST /_page/call`: call a model with the inputs of the form, then show the answer."""
        form = await _form(request)
        fields: list[try_it.Field] = []
        began = time.perf_counter()
        try:
            endpoint, target_model = await self._model(request, form)
            fields = try_it.fields_in(form)
            prediction = await self._router.invoke(
                Invocation(
                    endpoint_name=endpoint.name,
                    target_model=target_model,
                    payload=try_it.payload_of(fields),
                    retry=_ONE_ATTEMPT,
                    request_id=request.scope[REQUEST_ID],
                )
            )
            answer, is_good = prediction.body.decode(errors="replace")[:10_000], True
        except ModelyardError as error:
            answer, is_good = error.message, False
        elapsed_ms = (time.perf_counter() - began) * 1000
        result = {"answer": answer, "is_good": is_good, "ms": f"{elapsed_ms:,.1f}"}
        return await self._render(request, _first_values(form), fields=fields, result=result)

    async def _done(self, request: Request, action: Callable[..., Any]) -> Response:
        form = await _form(request)
        shown = {name: value for name, value in _first_values(form).items() if name != "model"}
        try:
            await action(*await self._model(request, form))
        except ModelyardError as error:
            return await self._render(request, shown, problem=error.message)
        return RedirectResponse(f"/?{urlencode(shown)}", 303, headers=_HEADERS)

    async def _model(
        self, request: Request, form: Mapping[str, list[str]]
    ) -> tuple[Endpoint, TargetModel]:
        """Return the model of a form that this page sent, for a caller who may call it."""
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise AccessDeniedError("forms of other pages are not accepted")
        values = _first_values(form)
        endpoint = self._router.endpoints.find(values.get("endpoint", ""))
        target_model = parse_target_model(values.get("model", ""))
        await self._catalog.authorizer.authorize(endpoint, principal_of(request), target_model)
        return endpoint, target_model

    async def _render(
        self,
        request: Request,
        query: Mapping[str, str] | None = None,
        *,
        fields: list[try_it.Field] | None = None,
        result: Mapping[str, object] | None = None,
        problem: str = "",
    ) -> Response:
        query = dict(request.query_params) if query is None else query
        history = self._history.of_all()
        visible = self._visible(request)
        endpoint = next((one for one in visible if one.name == query.get("endpoint")), None)
        endpoint = endpoint or next(iter(visible), None)
        values: dict[str, Any] = {
            "facts": await asyncio.to_thread(self._facts),
            "endpoints": visible,
            "endpoint": endpoint,
            "query": query,
            "cold": [call for call in history.cold if self._may_see(request, call)],
            "version": modelyard.__version__,
            "problem": problem,
            "result": result,
            "prefix": PREFIX,
        }
        surveys = await asyncio.gather(*map(self._catalog.residences, visible))
        values |= _sums(surveys)
        if query.get("part") == "overview":
            return self._html("overview.html", values)
        if endpoint is not None:
            try:
                residences = surveys[visible.index(endpoint)]
                values |= await self._table(request, endpoint, query, history, residences)
                if query.get("model"):
                    values |= await self._try_it(request, endpoint, query["model"], fields)
            except ModelyardError as error:
                values["problem"] = error.message
        return self._html("page.html", values)

    def _visible(self, request: Request) -> list[Endpoint]:
        """Return the multi-model endpoints of which the caller may call something."""
        principal = principal_of(request)
        return [
            endpoint
            for endpoint in self._router.endpoints
            if not endpoint.is_api and may_call_something(endpoint, principal)
        ]

    def _may_see(self, request: Request, call: Any) -> bool:
        endpoint = self._router.endpoints.get(call.endpoint_name)
        return endpoint is not None and is_allowed(
            endpoint, principal_of(request), call.target_model
        )

    async def _table(
        self,
        request: Request,
        endpoint: Endpoint,
        query: Mapping[str, str],
        history: History,
        residences: Sequence[ModelResidence],
    ) -> dict[str, Any]:
        state = query.get("state", "")
        in_state = {one.model_id.target_model for one in residences if one.status == state}
        words = query.get("q", "").lower().split()
        principal = principal_of(request)

        def may_see(name: TargetModel, files: Any) -> bool:
            is_found = all(word in name.lower() for word in words)
            return (
                is_found
                and (not state or name in in_state)
                and is_allowed(endpoint, principal, name)
                and may_open(endpoint, principal, name, files)
            )

        after = query.get("after", "")
        page = await self._catalog.page(
            endpoint.name,
            after=after,
            limit=ROWS,
            may_see=may_see,
            reader=(principal, tuple(words), state),
        )
        rows = [_row(endpoint, entry, history) for entry in page.entries]
        shown = {name: query[name] for name in ("q", "state") if query.get(name)}
        return {
            "rows": rows,
            "shown": {"endpoint": endpoint.name, **shown},
            "next": page.token,
        }

    async def _try_it(
        self, request: Request, endpoint: Endpoint, name: str, fields: list[try_it.Field] | None
    ) -> dict[str, Any]:
        target_model = parse_target_model(name)
        await self._catalog.authorizer.authorize(endpoint, principal_of(request), target_model)
        if not fields:
            signature = await self._router.signature(endpoint.name, target_model)
            fields = try_it.fields_of(signature)
        if not fields:
            raise InvalidRequestError(f"{name} does not say what its inputs are")
        host = request.headers.get("host", "127.0.0.1:8080")
        base_url = f"{self._scheme}://{host}"
        values: dict[str, Any] = {"tried": name, "fields": fields, "snippets": {}}
        try:
            values["snippets"] = try_it.snippets(base_url, endpoint.name, name, fields)
        except InvalidRequestError as error:
            values["problem"] = error.message
        return values

    def _html(self, template: str, values: Mapping[str, Any]) -> Response:
        text = self._templates.get_template(template).render(values)
        return Response(text, media_type="text/html", headers=_HEADERS)

    @cached_property
    def _templates(self) -> "Environment":
        from jinja2 import Environment, FileSystemLoader, StrictUndefined  # only browsers need it

        made = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.filters |= {"size": render_size, "ago": _ago, "ms": _ms}
        made.globals["rows"] = made.globals["fields"] = ()
        made.globals["next"] = made.globals["tried"] = ""
        made.globals["snippets"] = made.globals["shown"] = {}
        made.globals["states"] = _STATES
        return made


def _sums(surveys: Iterable[Sequence[ModelResidence]]) -> dict[str, int]:
    found = [residence for survey in surveys for residence in survey]
    loaded = [residence for residence in found if residence.status is ModelStatus.LOADED]
    return {
        "loaded": len(loaded),
        "memory_bytes": sum(residence.memory_bytes for residence in loaded),
        "disk_bytes": sum(residence.disk_bytes for residence in found),
    }


def _row(endpoint: Endpoint, entry: CatalogEntry, history: History) -> Row:
    name = entry.target_model
    calls = history.models.get((endpoint.name, name), ModelCalls())
    runtime = "archive" if model_files.packing_of(name) else model_files.runtime_of(name) or ""
    return Row(name, runtime, entry.repository_bytes, entry.residence, calls)


async def _form(request: Request) -> dict[str, list[str]]:
    body = await body_of(request, MAX_FORM_BYTES)
    return parse_qs(body.decode(errors="replace"), keep_blank_values=True, max_num_fields=1000)


def _first_values(form: Mapping[str, list[str]]) -> dict[str, str]:
    """Return the values of the fields that say what the page shows."""
    names = ("endpoint", "q", "state", "after", "model")
    return {name: form[name][0] for name in names if form.get(name)}


def _ago(moment: float | None) -> str:
    if moment is None:
        return ""
    seconds = max(0, int(time.time() - moment))
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1000:,.0f} ms"
