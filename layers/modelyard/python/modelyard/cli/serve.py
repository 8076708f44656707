"""The command `serve`: turn its options into the endpoints and limits of a local server."""

import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelyard.cli.console import errors_as_red_lines, print_ready, print_step, print_warning
from modelyard.cli.options import (
    FILE,
    FOLDER,
    allow_code_option,
    cache_folder,
    duration,
    limit,
)
from modelyard.domain.errors import ConfigurationError
from modelyard.local.log_options import LogFormat, LogLevel, LogOptions

if TYPE_CHECKING:
    from modelyard.cli.survey import Survey
    from modelyard.config.endpoint_config import Config, EndpointConfig
    from modelyard.domain.endpoints import Endpoint
    from modelyard.inference.environments.environments import Environments
    from modelyard.local.options import ServedApi, ServeOptions, TlsFiles


MAX_DEFAULT_WORKERS = 4
DEFAULT_LAMBDA_PORT = 9001


@click.command(context_settings={"auto_envvar_prefix": "MODELYARD"})
@click.argument("path")
@click.option(
    "--endpoint",
    show_default="name of the folder or prefix",
    help="Name of the endpoint; cannot be used with a config file.",
)
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    default=8080,
    help="Port to listen on; 0 chooses a free port.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    show_default="number of processors, at most 4",
    help="Number of worker processes; each answers HTTP and holds models.",
)
@click.option(
    "--memory",
    type=limit,
    metavar="SIZE",
    default="2GiB",
    help="Memory for loaded models, shared by all workers, such as 512MB or 4GiB.",
)
@click.option(
    "--disk",
    type=limit,
    metavar="SIZE",
    default="10GiB",
    help="Disk space for staged artifacts, such as 512MB or 4GiB; environments may take as much"
    " again.",
)
@click.option(
    "--max-in-flight",
    type=click.IntRange(min=1),
    default=256,
    help="Concurrent calls per worker; more are refused with status 503.",
)
@click.option(
    "--cache-dir",
    type=FOLDER,
    show_default="~/.cache/modelyard",
    help="Folder for staged artifacts.",
)
@click.option(
    "--machine-id",
    default="",
    show_default="made from the system",
    help="Name of this machine, unique among the machines that share the cache folder.",
)
@click.option(
    "--sync-window",
    type=duration,
    metavar="DURATION",
    show_default="25s",
    help="Longest time that a call waits for its model, such as 500ms or 10s.",
)
@click.option(
    "--revalidate",
    type=duration,
    metavar="DURATION",
    show_default="10s",
    help="Longest time until an update of a model is noticed, such as 500ms or 10s.",
)
@allow_code_option
@click.option(
    "--not-ready-status",
    type=click.Choice(["auto", "429", "503"]),
    show_default="auto",
    help="HTTP status of the response while a model loads; auto: what the client retries.",
)
@click.option(
    "--preload",
    type=click.Choice(["none", "all", "last"]),
    show_default="none",
    help="Models to load in the background at the start; last: those loaded at the last stop.",
)
@click.option(
    "--keys-folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    show_default="no keys required",
    help="Require an API key from this folder.",
)
@click.option(
    "--install",
    is_flag=True,
    help="Install what Cortex projects and models with code require, in separate environments.",
)
@click.option(
    "--lambda",
    "as_lambda",
    envvar="MODELYARD_LAMBDA",
    is_flag=True,
    help="Run the functions of a deployment in an emulation of AWS Lambda;"
    " --workers sets the number of shards.",
)
@click.option(
    "--auth",
    type=click.Choice(["none", "iam", "key"]),
    show_default="as deployed",
    help="With --lambda, how callers authenticate, in place of what the config's Deployment says:"
    " none, iam (signatures with your AWS credentials), key (needs --keys-folder).",
)
@click.option(
    "--lambda-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    show_default=str(DEFAULT_LAMBDA_PORT),
    help="With --lambda, the port of Lambda's Invoke API on this machine; 0 chooses one.",
)
@click.option(
    "--cors-origin",
    multiple=True,
    metavar="ORIGIN",
    show_default="none",
    help="Origin whose web pages may call the server, such as https://app.example, or '*'"
    " for all. Can be given several times.",
)
@click.option("--page/--no-page", default=True, help="Show a page to browsers at /.")
@click.option(
    "--metrics-models",
    type=click.IntRange(min=0),
    default=0,
    help="How many models of each endpoint, those with the most calls, have metrics of their own.",
)
@click.option(
    "--certfile",
    type=FILE,
    show_default="plain HTTP",
    help="Certificate chain for HTTPS, as PEM.",
)
@click.option(
    "--keyfile",
    type=FILE,
    show_default="that in --certfile",
    help="Key of the certificate, as PEM.",
)
@click.option(
    "--log-format",
    type=click.Choice([item.value for item in LogFormat]),
    default=LogFormat.TEXT.value,
    help="Format of the log on standard error; off: no log.",
)
@click.option(
    "--log-level",
    type=click.Choice([item.value for item in LogLevel]),
    default=LogLevel.INFO.value,
    help="The least severe events that are logged.",
)
def serve(
    path: str,
    endpoint: str | None,
    host: str,
    port: int,
    workers: int | None,
    memory: int,
    disk: int,
    max_in_flight: int,
    cache_dir: Path | None,
    machine_id: str,
    sync_window: float | None,
    revalidate: float | None,
    allow_code: bool | None,
    not_ready_status: str | None,
    preload: str | None,
    keys_folder: Path | None,
    install: bool,
    as_lambda: bool,
    auth: str | None,
    lambda_port: int | None,
    cors_origin: tuple[str, ...],
    page: bool,
    metrics_models: int,
    certfile: Path | None,
    keyfile: Path | None,
    log_format: str,
    log_level: str,
) -> None:
    """Serve the models of PATH until the process is stopped.

    PATH is a config file, a folder of models, or s3://bucket/prefix (also gs://, az://). Each
    option can also be set by an environment variable: --sync-window by MODELYARD_SYNC_WINDOW.
    """
    if lambda_port is not None and not as_lambda:
        raise click.BadParameter("It needs --lambda.", param_hint="--lambda-port")
    with errors_as_red_lines():
        rules = (
            ("sync_window_s", sync_window),
            ("revalidate_s", revalidate),
            ("allow_code", allow_code),
        )
        given: dict[str, Any] = {name: value for name, value in rules if value is not None}
        if not_ready_status is not None:
            given["not_ready_status"] = (
                None if not_ready_status == "auto" else int(not_ready_status)
            )

        def read() -> tuple["Config", list["EndpointConfig"]]:
            config = _config(path, endpoint)
            return config, [
                replace(found, endpoint=_overridden(found.endpoint, given, preload))
                for found in config.endpoints
            ]

        config, resources = read()
        for warning in config.warnings:
            print_warning(warning)

        from modelyard.local import server as local
        from modelyard.local.options import Limits, ServeOptions

        folder = cache_folder(cache_dir)
        limits = Limits(
            workers or _default_workers(), memory, disk, folder, max_in_flight, machine_id
        )
        # The environments of the APIs are in use as long as this object exists.
        apis, _environments = _prepared(resources, folder, disk, install=install)
        endpoints = tuple(found.endpoint for found in resources if not found.endpoint.is_api)
        splitters = config.splitters
        log = LogOptions(LogFormat(log_format), LogLevel(log_level))
        options = ServeOptions(
            endpoints,
            host,
            port,
            limits,
            apis,
            splitters,
            keys_folder,
            cors_origin,
            page,
            _tls(certfile, keyfile, as_lambda=as_lambda),
            log,
            metrics_models,
            install,
        )
        served = [found.endpoint for found in resources]

        asked = _auth(auth, config, options) if as_lambda else "none"

        @functools.cache
        def look() -> list["Survey"]:
            # Imported while the workers start, which takes longer.
            from modelyard.cli.survey import SurveyOfAll
            from modelyard.inference.environments.environments import Environments

            Environments(folder).clean()
            return SurveyOfAll(endpoints).results()

        def ready(url: str, lambda_url: str = "") -> None:
            surveys = look()
            for found in surveys:
                if found.problem is not None:
                    print_warning(f"{found.problem}; calls will try it again")
            shown = "key" if keys_folder is not None else asked
            print_ready(url, served, splitters, lambda_url, surveys, auth=shown)

        if as_lambda:
            from modelyard.local.emulation import deployment as emulated

            look()
            emulated.serve(
                options,
                asked,
                DEFAULT_LAMBDA_PORT if lambda_port is None else lambda_port,
                ready,
            )
        else:
            local.serve(
                options,
                ready,
                read_endpoints=lambda: _endpoints_again(options, *read()),
                before_listening=look,
            )


def _auth(given: str | None, config: "Config", options: "ServeOptions") -> str:
    """Return how callers of the emulated deployment authenticate."""
    if given is not None:
        return given
    if config.deployment is not None:
        return config.deployment.auth
    return "none" if options.keys_folder is None else "key"


def _endpoints_again(
    options: "ServeOptions", config: "Config", resources: list["EndpointConfig"]
) -> list["Endpoint"]:
    """Return the multi-model endpoints of a config that was read again.

    Raises:
        ConfigurationError: it has other Cortex APIs or splitters than before.
    """
    apis = [(found.endpoint, found.project) for found in resources if found.project is not None]
    if apis != [(api.endpoint, api.project) for api in options.apis] or (
        tuple(config.splitters) != tuple(options.splitters)
    ):
        raise ConfigurationError("a change of Cortex APIs or traffic splitters needs a restart")
    endpoints = [found.endpoint for found in resources if not found.endpoint.is_api]
    if bool(endpoints) != bool(options.endpoints):
        raise ConfigurationError("the first or the last multi-model endpoint needs a restart")
    return endpoints


def _tls(certfile: Path | None, keyfile: Path | None, *, as_lambda: bool) -> "TlsFiles | None":
    from modelyard.local.options import TlsFiles

    if certfile is None and keyfile is None:
        return None
    if certfile is None:
        raise click.BadParameter("It needs --certfile.", param_hint="--keyfile")
    if as_lambda:
        raise click.BadParameter("It cannot be used with --lambda.", param_hint="--certfile")
    return TlsFiles(certfile.absolute(), (keyfile or certfile).absolute())


def _prepared(
    resources: list["EndpointConfig"], cache_dir: Path, disk_bytes: int, *, install: bool
) -> tuple[tuple["ServedApi", ...], "Environments | None"]:
    """Return the Cortex APIs of the resources, and the environments that they use."""
    projects = [(found.endpoint, found.project) for found in resources if found.project is not None]
    if not projects:
        return (), None
    from modelyard.inference.environments.environments import Environments
    from modelyard.local.apis import prepare_api

    environments = Environments(cache_dir, disk_bytes)
    environments.clean()
    apis = (
        prepare_api(
            endpoint, project, environments, install=install, warn=print_warning, report=print_step
        )
        for endpoint, project in projects
    )
    return tuple(apis), environments


def _overridden(endpoint: "Endpoint", rules: dict[str, Any], preload: str | None) -> "Endpoint":
    """Return the endpoint with the rules of the command line."""
    endpoint = replace(endpoint, **rules)
    if preload is None or endpoint.is_api:
        return endpoint
    from modelyard.domain.endpoints import Preload

    return endpoint.preloading(Preload(preload))


def _config(location: str, endpoint_name: str | None) -> "Config":
    from modelyard.config.location import is_config_file, load_location

    if endpoint_name is not None and is_config_file(location):
        raise click.BadParameter(
            "--endpoint cannot be used with a config file.", param_hint="--endpoint"
        )
    return load_location(location, endpoint_name)


def _default_workers() -> int:
    """Return one worker for each processor; more than four would divide the memory too finely."""
    return min(MAX_DEFAULT_WORKERS, os.cpu_count() or 1)
