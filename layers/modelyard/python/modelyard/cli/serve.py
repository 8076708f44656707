"""The command `serve`: turn its options into the endpoints and limits of a local server."""

import os
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelyard.cli.options import AllowCode, duration, size
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


class NotReadyStatus(StrEnum):
    """The values of --not-ready-status."""

    AUTO = "auto"
    TOO_MANY_REQUESTS = "429"
    UNAVAILABLE = "503"


def serve(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="A config file, a folder of models, or s3://bucket/prefix."
        ),
    ],
    endpoint: Annotated[
        str | None,
        typer.Option(
            help="Name of the endpoint; cannot be used with a config file.",
            show_default="name of the folder or prefix",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 chooses a free port.")
    ] = 8080,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default="number of processors, at most 4",
            help="Number of worker processes; each answers HTTP and holds models.",
        ),
    ] = None,
    memory: Annotated[
        int,
        typer.Option(
            parser=size,
            metavar="SIZE",
            show_default="2GiB",
            help="Memory for loaded models, shared by all workers, such as 512MB or 4GiB.",
        ),
    ] = 2 * 1024**3,
    disk: Annotated[
        int,
        typer.Option(
            parser=size,
            metavar="SIZE",
            show_default="10GiB",
            help="Disk space for staged artifacts, such as 512MB or 4GiB; environments may take as"
            " much again.",
        ),
    ] = 10 * 1024**3,
    max_in_flight: Annotated[
        int,
        typer.Option(min=1, help="Concurrent calls per worker; more are refused with status 503."),
    ] = 256,
    cache_dir: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, show_default="~/.cache/modelyard", help="Folder for staged artifacts."
        ),
    ] = None,
    machine_id: Annotated[
        str,
        typer.Option(
            show_default="made from the system",
            help="Name of this machine, unique among the machines that share the cache folder.",
        ),
    ] = "",
    sync_window: Annotated[
        float | None,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            show_default="25s",
            help="Longest time that a call waits for its model, such as 500ms or 10s.",
        ),
    ] = None,
    revalidate: Annotated[
        float | None,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            show_default="10s",
            help="Longest time until an update of a model is noticed, such as 500ms or 10s.",
        ),
    ] = None,
    allow_code: AllowCode = None,
    not_ready_status: Annotated[
        NotReadyStatus | None,
        typer.Option(
            show_default="auto",
            help="HTTP status of the response while a model loads; auto: what the client retries.",
        ),
    ] = None,
    keys_folder: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            show_default="no keys required",
            help="Require an API key from this folder.",
        ),
    ] = None,
    install: Annotated[
        bool,
        typer.Option(
            "--install",
            show_default="no",
            help="Install what Cortex projects and models with code require, in separate"
            " environments.",
        ),
    ] = False,
    as_lambda: Annotated[
        bool,
        typer.Option(
            "--lambda",
            envvar="MODELYARD_LAMBDA",
            show_default="no",
            help="Run the functions of a deployment in an emulation of AWS Lambda;"
            " --workers sets the number of shards.",
        ),
    ] = False,
    lambda_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            show_default=str(DEFAULT_LAMBDA_PORT),
            help="With --lambda, the port of Lambda's Invoke API on this machine; 0 chooses one.",
        ),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            show_default="none",
            help="Origin whose web pages may call the server, such as https://app.example, or '*'"
            " for all. Can be given several times.",
        ),
    ] = None,
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="Show a page to browsers at /.")
    ] = True,
    certfile: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False, show_default="plain HTTP", help="Certificate chain for HTTPS, as PEM."
        ),
    ] = None,
    keyfile: Annotated[
        Path | None,
        typer.Option(
            dir_okay=False,
            show_default="that in --certfile",
            help="Key of the certificate, as PEM.",
        ),
    ] = None,
    log_format: Annotated[
        LogFormat, typer.Option(help="Format of the log on standard error; off: no log.")
    ] = LogFormat.TEXT,
    log_level: Annotated[
        LogLevel, typer.Option(help="The least severe events that are logged.")
    ] = LogLevel.INFO,
) -> None:
    """Serve the models of PATH until the process is stopped."""
    from modelyard.cli.console import errors_as_red_lines, print_ready, print_warning

    if lambda_port is not None and not as_lambda:
        raise typer.BadParameter("It needs --lambda.", param_hint="--lambda-port")
    with errors_as_red_lines():
        rules = (
            ("sync_window_s", sync_window),
            ("revalidate_s", revalidate),
            ("allow_code", allow_code),
        )
        given: dict[str, Any] = {name: value for name, value in rules if value is not None}
        if not_ready_status is not None:
            given["not_ready_status"] = _status(not_ready_status)

        def read() -> tuple["Config", list["EndpointConfig"]]:
            config = _config(path, endpoint)
            return config, [
                replace(found, endpoint=replace(found.endpoint, **given))
                for found in config.endpoints
            ]

        config, resources = read()
        for warning in config.warnings:
            print_warning(warning)

        from modelyard.inference.environments.environments import Environments
        from modelyard.local import server as local
        from modelyard.local.options import Limits, ServeOptions

        folder = (
            cache_dir or user_cache_dir()
        ).absolute()  # workers may have another working directory
        limits = Limits(
            workers or _default_workers(), memory, disk, folder, max_in_flight, machine_id
        )
        environments = Environments(folder, disk)  # those of APIs are in use until the server ends
        environments.clean()
        apis = _prepared(resources, environments, install=install)
        endpoints = tuple(found.endpoint for found in resources if not found.endpoint.is_api)
        splitters = config.splitters
        log = LogOptions(log_format, log_level)
        options = ServeOptions(
            endpoints,
            host,
            port,
            limits,
            apis,
            splitters,
            keys_folder,
            tuple(cors_origin or ()),
            page,
            _tls(certfile, keyfile, as_lambda=as_lambda),
            log,
            install,
        )
        surveys = _surveys(endpoints)
        served = [found.endpoint for found in resources]

        def ready(url: str, lambda_url: str = "") -> None:
            needs_key = keys_folder is not None
            print_ready(url, served, splitters, lambda_url, surveys, needs_key=needs_key)

        if as_lambda:
            from modelyard.local.emulation import deployment as emulated

            emulated.serve(
                options,
                DEFAULT_LAMBDA_PORT if lambda_port is None else lambda_port,
                ready,
            )
        else:
            local.serve(options, ready, lambda: _endpoints_again(options, *read()))


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
        raise typer.BadParameter("It needs --certfile.", param_hint="--keyfile")
    if as_lambda:
        raise typer.BadParameter("It cannot be used with --lambda.", param_hint="--certfile")
    return TlsFiles(certfile.absolute(), (keyfile or certfile).absolute())


def _surveys(endpoints: "tuple[Endpoint, ...]") -> "list[Survey]":
    """Return what the repositories hold; print a warning for each that cannot be read now."""
    from modelyard.cli.console import print_warning
    from modelyard.cli.survey import survey_all

    surveys = survey_all(endpoints)
    for found in surveys:
        if found.problem is not None:
            print_warning(f"{found.problem}; calls will try it again")
    return surveys


def _prepared(
    resources: list["EndpointConfig"], environments: "Environments", *, install: bool
) -> tuple["ServedApi", ...]:
    """Return the Cortex APIs of the resources, with the Python interpreter of each worker."""
    projects = [(found.endpoint, found.project) for found in resources if found.project is not None]
    if not projects:
        return ()
    from modelyard.cli.console import print_step, print_warning
    from modelyard.local.apis import prepare_api

    return tuple(
        prepare_api(
            endpoint, project, environments, install=install, warn=print_warning, report=print_step
        )
        for endpoint, project in projects
    )


def _status(choice: NotReadyStatus) -> int | None:
    return None if choice is NotReadyStatus.AUTO else int(choice)


def _config(location: str, endpoint_name: str | None) -> "Config":
    from modelyard.config.location import is_config_file, load_location

    if endpoint_name is not None and is_config_file(location):
        raise typer.BadParameter(
            "--endpoint cannot be used with a config file.", param_hint="--endpoint"
        )
    return load_location(location, endpoint_name)


def _default_workers() -> int:
    """Return one worker for each processor; more than four would divide the memory too finely."""
    return min(MAX_DEFAULT_WORKERS, os.cpu_count() or 1)


def user_cache_dir() -> Path:
    """Return the default folder for artifacts and environments."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard"
