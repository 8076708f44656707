"""The router function: answers API Gateway events and direct invocations."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mangum import Mangum
from snapshot_restore_py import register_before_snapshot

from modelyard.aws import sqs_queue
from modelyard.aws.call_events import CallEvents
from modelyard.aws.emf_metrics import EmfMetrics
from modelyard.aws.fitting_responses import fitting_members, fitting_response
from modelyard.aws.function_settings import RouterSettings
from modelyard.aws.function_table import EndpointFunctions, parse_function_table
from modelyard.aws.keep_awake import is_keep_awake
from modelyard.aws.lambda_backend import LambdaBackend, LambdaClients
from modelyard.aws.logs import configure_function_logging
from modelyard.aws.sqs_queue import SqsQueue
from modelyard.domain.async_call import ASYNC_CALLS, AsyncCall
from modelyard.domain.endpoints import LOCAL, EndpointTable, ServerLocation
from modelyard.domain.errors import ConfigurationError
from modelyard.domain.ports import Clock, ModelRepository
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.warm_message import WARM_MESSAGES
from modelyard.repositories.opening import open_repository
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web.app import create_app, model_calls
from modelyard.router.web.authentication import (
    AnonymousAuthenticator,
    Authenticator,
    GatewayIamAuthenticator,
    KeyAuthenticator,
)
from modelyard.router.web.direct import DirectInvocations

if TYPE_CHECKING:
    from mangum.types import ASGI

KEYS_TTL_S = 60.0
"""How long a deleted key may still work."""

Event = dict[str, Any]


class RouterFunction:
    """Answers events, one at a time."""

    def __init__(
        self,
        calls: CallEvents,
        http: Mangum,
        direct: DirectInvocations,
        metrics: EmfMetrics,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`loop` runs what has to wait."""
        self._calls = calls
        self._http = http
        self._direct = direct
        self._metrics = metrics
        self._loop = loop

    def handle(self, event: Event, context: Any) -> Event:
        """Return the response to an API Gateway event or a direct invocation."""
        if is_keep_awake(event):
            return {}
        try:
            if "requestContext" in event:
                return fitting_response(self._response(event, context))
            members = self._loop.run_until_complete(self._direct.answer(event))
            return fitting_members(members)
        finally:
            self._metrics.flush()

    def _response(self, event: Event, context: Any) -> Event:
        found = self._calls.find(event)
        if found is not None:
            return self._calls.answer(event, found)
        asyncio.set_event_loop(self._loop)  # Mangum's
        return self._http(event, context)


def build_router(environ: Mapping[str, str]) -> RouterFunction:
    """Return the router for these environment variables.

    Raises:
        ConfigurationError: environment variables are missing or wrong.
    """
    configure_function_logging()
    settings = RouterSettings.from_environ(environ)
    clock, metrics, clients = SystemClock(), EmfMetrics(), LambdaClients()
    table = parse_function_table(Path(settings.endpoints_file).read_bytes())
    deployed = table.endpoints
    endpoints = EndpointTable(item.endpoint for item in deployed)
    backends = {
        item.endpoint.name: LambdaBackend(item, clients.reading_for, clock) for item in deployed
    }
    warm_queue = SqsQueue(settings.warm_queue_url, sqs_queue.build_client, clock, WARM_MESSAGES)
    # Creating a client takes longer than most predictions, so SnapStart's snapshot contains them.
    register_before_snapshot(warm_queue.prepare)
    for backend in backends.values():
        register_before_snapshot(backend.prepare)
    router = Router(
        endpoints=endpoints,
        backend_of=backends.__getitem__,
        warm_queue=warm_queue,
        metrics=metrics,
        clock=clock,
    )
    catalog = Catalog(
        endpoints=endpoints,
        backend_of=backends.__getitem__,
        open_repository=_repositories(deployed),
        metrics=metrics,
    )
    location = ServerLocation(environ.get("AWS_REGION", LOCAL), settings.account)
    authenticator = _authenticator(settings, clock)
    app = create_app(
        router,
        catalog,
        _no_metrics,
        location,
        authenticator,
        table.splitters,
        async_queue=_async_queue(settings, clock),
    )
    loop = asyncio.new_event_loop()
    found_calls = model_calls(router, catalog, location, table.splitters)
    calls = CallEvents(found_calls, authenticator, loop)
    http = Mangum(cast("ASGI", app), lifespan="off")
    direct = DirectInvocations(router, catalog, location)
    return RouterFunction(calls, http, direct, metrics, loop)


def _async_queue(settings: RouterSettings, clock: Clock) -> SqsQueue[AsyncCall] | None:
    if not settings.async_queue_url:
        return None
    return SqsQueue(settings.async_queue_url, sqs_queue.build_client, clock, ASYNC_CALLS)


def _repositories(table: Sequence[EndpointFunctions]) -> Callable[[str], ModelRepository]:
    """Return the function that opens a repository, which for a Cortex API may be several places."""
    if not any(item.api for item in table):
        return open_repository
    from modelyard.cortex.versioned_repository import opening

    apis = ((item.endpoint.repository, item.api) for item in table if item.api is not None)
    return opening(((uri, api.models, api.type) for uri, api in apis), open_repository)


def _authenticator(settings: RouterSettings, clock: Clock) -> Authenticator:
    match settings.auth:
        case "iam":
            return GatewayIamAuthenticator()
        case "key":
            from modelyard.aws.ssm_keys import SsmKeys, build_client
            from modelyard.router.web.known_keys import KnownKeys

            keys = SsmKeys(settings.keys_path, build_client)
            register_before_snapshot(keys.prepare)
            return KeyAuthenticator(KnownKeys(keys, clock, KEYS_TTL_S), clock)
        case "none":
            return AnonymousAuthenticator()
        case other:
            raise ConfigurationError(f"MODELYARD_AUTH: found {other!r}; allowed: iam, key, none")


async def _no_metrics() -> bytes:
    return b"# CloudWatch has the metrics, in the namespace Modelyard\n"


def handler_of(environ: Mapping[str, str]) -> Callable[[Event, Any], Event]:
    """Return the Lambda handler of the router."""
    return build_router(environ).handle
