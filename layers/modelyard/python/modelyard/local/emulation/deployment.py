"""`modelyard serve --lambda`: the functions of a deployment on this machine."""

import asyncio
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import uvloop

import modelyard
from modelyard.aws.deployed import (
    ASYNC_MAX_RECEIVES,
    ROUTER_MEMORY_MB,
    ROUTER_TIMEOUT_S,
    WARMER_MEMORY_MB,
    warm_visibility_s,
    warmer_timeout_s,
)
from modelyard.aws.function_settings import InferenceSettings, RouterSettings, WarmerSettings
from modelyard.aws.function_table import (
    NO_SHADOWS_ON_LAMBDA,
    ApiRepository,
    EndpointFunctions,
    FunctionTable,
    render_function_table,
)
from modelyard.aws.ssm_keys import SsmKeys
from modelyard.cortex.settings import ApiSettings
from modelyard.domain.errors import ConfigurationError
from modelyard.local.emulation.control_plane import Callers, create_control_plane
from modelyard.local.emulation.definitions import ACCOUNT, FunctionDefinition
from modelyard.local.emulation.function_logs import FunctionLogs
from modelyard.local.emulation.functions import Functions
from modelyard.local.emulation.gateway import RestApi
from modelyard.local.emulation.gateway_front import Gateway, create_gateway
from modelyard.local.emulation.gateway_iam import IamAuthorizer
from modelyard.local.emulation.listener import Listener
from modelyard.local.emulation.local_queue import Account, LocalQueue, aws_server, create_queue
from modelyard.local.emulation.queue_trigger import QueueTrigger
from modelyard.local.file_keys import FileKeys
from modelyard.local.listening import bound_sockets, url_of
from modelyard.local.logs import configure_logging
from modelyard.local.options import ServedApi, ServeOptions
from modelyard.local.prometheus_metrics import ProcessTotals, PrometheusMetrics
from modelyard.local.signals import on_stop_signal

PACKAGES = Path(modelyard.__file__).resolve().parents[1]
FUNCTIONS = PACKAGES.parents[2] / "functions"
"""The folder of the handlers, which only a checkout has."""
RUNTIME_PACKAGES = ("awslambdaric", "mangum", "moto")
"""Packages of the extra `lambda`, which only `--lambda` needs."""
ROUTER, WARMER = "modelyard-router", "modelyard-warmer"
QUEUE, ASYNC_QUEUE = "modelyard-warm", "modelyard-async"
RUNTIME_MB = 1024
"""Memory of an inference function in addition to the memory for models."""
KEYS_PATH = "/modelyard/local/keys"
CONCURRENCY = 100
INFERENCE_TIMEOUT_S = 360.0


def serve(
    options: ServeOptions, auth: str, lambda_port: int, on_ready: Callable[[str, str], None]
) -> None:
    """Serve until SIGTERM or SIGINT. `on_ready` gets the URL of the API and the URL of Lambda.

    `auth` is that of a deployment. With `key`, the keys are those that are in the folder now.

    Raises:
        ConfigurationError: the code or the packages of the functions are missing, a port is
            taken, or `auth: key` has no keys.
    """
    if not FUNCTIONS.is_dir():
        raise ConfigurationError(
            "--lambda needs the folder functions/ of a checkout of Modelyard; an installed package"
            " does not contain it. Serve without --lambda, or from a checkout"
        )
    missing = [name for name in RUNTIME_PACKAGES if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"--lambda needs packages that are missing: {', '.join(missing)}. Run make setup, or"
            " pip install '.[lambda]'"
        )
    if auth == "key" and options.keys_folder is None:
        raise ConfigurationError(
            "auth: key needs --keys-folder, a folder of keys that `modelyard keys create` made; or"
            " pass --auth none"
        )
    for splitter in options.splitters:
        if splitter.has_shadow:
            raise ConfigurationError(f"{splitter.name}: {NO_SHADOWS_ON_LAMBDA}")
    configure_logging("server", options.log)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        uvloop.run(_serve(options, auth, lambda_port, Path(folder), on_ready))


async def _serve(
    options: ServeOptions,
    auth: str,
    lambda_port: int,
    folder: Path,
    on_ready: Callable[[str, str], None],
) -> None:
    account = Account.find()
    totals = ProcessTotals(folder, "functions", [item.name for item in options.all_endpoints])
    functions = Functions(FunctionLogs(totals).take)
    async with AsyncExitStack() as stack:
        sockets = bound_sockets(options.host, options.port)
        lambda_sockets = bound_sockets("127.0.0.1", lambda_port, option="--lambda-port")
        for bound in (*sockets, *lambda_sockets):
            stack.enter_context(bound)
        own_sqs = os.environ.get("AWS_ENDPOINT_URL_SQS")
        is_needed = own_sqs is None or auth == "key"
        aws_url = stack.enter_context(aws_server()) if is_needed else ""
        sqs_url = own_sqs or aws_url
        visibility_s = int(warm_visibility_s(INFERENCE_TIMEOUT_S))
        warm_queue, async_queue = create_queue(account, sqs_url, QUEUE, visibility_s), None
        if any(endpoint.async_places for endpoint in options.endpoints):
            most = ASYNC_MAX_RECEIVES
            async_queue = create_queue(account, sqs_url, ASYNC_QUEUE, visibility_s, most)
        callers = Callers(secrets.token_urlsafe(), public=ROUTER)
        control_plane = create_control_plane(functions, callers)
        await stack.enter_async_context(Listener(control_plane, lambda_sockets))
        lambda_url = url_of(lambda_sockets[0])
        environ = _environ(account, sqs_url, f"{lambda_url}/{callers.token}")
        if auth == "key":
            _copy_keys(options.keys_folder, account.client("ssm", aws_url))
        made = Definitions(
            options, folder, environ, account, warm_queue, async_queue, auth, aws_url
        )
        for definition in made:
            functions.define(definition)
        await stack.enter_async_context(functions)
        triggers = [
            QueueTrigger(functions, WARMER, queue.client, queue.url, queue.arn)
            for queue in filter(None, (warm_queue, async_queue))
        ]
        pollers = [asyncio.create_task(trigger.run()) for trigger in triggers]
        metrics = PrometheusMetrics(totals)
        authorizer = IamAuthorizer(account.credentials)
        front = Gateway(functions, ROUTER, RestApi(auth=auth), authorizer=authorizer)
        gateway = create_gateway(front, metrics.render)
        stopping = asyncio.Event()
        on_stop_signal(stopping.set)
        async with Listener(gateway, sockets, grace_s=options.grace_s):
            on_ready(url_of(sockets[0]), lambda_url)
            await stopping.wait()
        for poller in pollers:
            poller.cancel()
        await asyncio.gather(*pollers, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Definitions:
    """The functions that a deployment with these options would have."""

    options: ServeOptions
    folder: Path
    """The folder for files that functions on AWS read from a layer or from their image."""
    environ: dict[str, str]
    account: Account
    queue: LocalQueue
    async_queue: LocalQueue | None = None
    auth: str = "none"
    ssm_url: str = ""
    """With `auth: key`, where the router reads the keys."""

    def __iter__(self) -> Iterator[FunctionDefinition]:
        """Write the function table, then yield the functions."""
        table = self.folder / "endpoints.json"
        deployed = FunctionTable(tuple(self._endpoint_functions()), self.options.splitters)
        table.write_bytes(render_function_table(deployed))
        async_url = "" if self.async_queue is None else self.async_queue.url
        has_keys = self.auth == "key"
        router = RouterSettings(
            endpoints_file=str(table),
            warm_queue_url=self.queue.url,
            auth=self.auth,
            keys_path=KEYS_PATH if has_keys else "",
            account=ACCOUNT,
            async_queue_url=async_url,
        ).to_environ()
        if has_keys:
            router["AWS_ENDPOINT_URL_SSM"] = self.ssm_url
        found = self._definition(ROUTER, "router", ROUTER_MEMORY_MB, ROUTER_TIMEOUT_S, router)
        yield replace(found, snap_start=True)
        warmer = WarmerSettings(str(table), self.queue.url, async_url).to_environ()
        timeout_s = warmer_timeout_s(INFERENCE_TIMEOUT_S)
        yield self._definition(WARMER, "warmer", WARMER_MEMORY_MB, timeout_s, warmer)
        for functions in self._endpoint_functions():
            for shard in range(functions.shards):
                yield self._inference(functions, shard)

    def _endpoint_functions(self) -> Iterator[EndpointFunctions]:
        apis = {api.endpoint.name: ApiRepository.of(api.project) for api in self.options.apis}
        for endpoint in self.options.all_endpoints:
            yield EndpointFunctions(
                endpoint,
                name_prefix=f"modelyard-{endpoint.name}",
                shards=1 if endpoint.name in apis else self.options.limits.workers,
                timeout_s=INFERENCE_TIMEOUT_S,
                api=apis.get(endpoint.name),
            )

    def _inference(self, functions: EndpointFunctions, shard: int) -> FunctionDefinition:
        limits = self.options.limits
        apis = {api.endpoint.name: api for api in self.options.apis}
        api = apis.get(functions.endpoint.name)
        settings = InferenceSettings(
            cache_dir=str(limits.cache_dir),
            memory_bytes=limits.memory_bytes // limits.workers,
            disk_bytes=limits.disk_bytes,
            project_file=str(self._project_file(api)) if api is not None else "",
        )
        own = settings.to_environ() | (dict(api.project.env) if api is not None else {})
        memory_mb = RUNTIME_MB + settings.memory_bytes // 1024**2
        python = api.python if api is not None else sys.executable
        name = functions.function_name(shard)
        found = self._definition(name, "inference", memory_mb, functions.timeout_s, own, python)
        # Models need not know where functions are invoked, nor the token for it.
        environ = {name: value for name, value in found.environ.items() if name != _LAMBDA_URL}
        return replace(found, environ=environ)

    def _definition(
        self,
        name: str,
        code: str,
        memory_mb: int,
        timeout_s: float,
        own: dict[str, str],
        python: str = sys.executable,
    ) -> FunctionDefinition:
        return FunctionDefinition(
            name=name,
            folder=FUNCTIONS / code,
            environ=self.environ | own,
            memory_mb=memory_mb,
            timeout_s=timeout_s,
            concurrency=CONCURRENCY,
            log_format="JSON",
            python=python,
            region=self.account.region,
        )

    def _project_file(self, api: ServedApi) -> Path:
        """Write the file that the image of an API contains, and return its path."""
        settings = ApiSettings(
            project=api.project,
            repository=api.endpoint.repository,
            revalidate_s=api.endpoint.revalidate_s,
            window_s=api.endpoint.sync_window_s,
        )
        file = self.folder / f"{api.project.name}.json"
        file.write_bytes(settings.to_line())
        return file


def _copy_keys(folder: Path | None, ssm: Any) -> None:
    """Store the keys of a folder as a deployment has them."""
    assert folder is not None
    store = SsmKeys(KEYS_PATH, lambda: ssm)
    for stored in FileKeys(folder).all():
        store.add(stored)
    ssm.close()


def _environ(account: Account, sqs_url: str, lambda_url: str) -> dict[str, str]:
    """Return the environment variables of every function.

    They include the user's own, because models may be in S3 with the user's AWS settings.
    """
    keys = account.keys
    made_up = {} if keys is None else dict(zip(_KEY_NAMES, keys, strict=True))
    direct = ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1", "localhost")))
    return {
        **os.environ,
        **made_up,
        _LAMBDA_URL: lambda_url,
        "AWS_ENDPOINT_URL_SQS": sqs_url,
        "NO_PROXY": direct,
        "no_proxy": direct,
        "PYTHONPATH": str(PACKAGES),
    }


_LAMBDA_URL = "AWS_ENDPOINT_URL_LAMBDA"
_KEY_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
