"""The command line `modelyard`. Each command imports what it needs, so that `--help` is fast."""

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

try:
    import typer
except ImportError as missing:
    raise SystemExit(
        "the command modelyard needs more packages: pip install 'modelyard[serve]'"
    ) from missing

from modelyard import __version__
from modelyard.cli.access import client_setup, keys
from modelyard.cli.cost import cost
from modelyard.cli.dead_letters import dead_letters
from modelyard.cli.demo import demo
from modelyard.cli.deploy import deploy, destroy, diff
from modelyard.cli.options import DEFAULT_URL, AllowCode, Json, Url, duration
from modelyard.cli.push import push
from modelyard.cli.serve import serve
from modelyard.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from modelyard.clients.management import ListedModel

WATCH_S = 2.0

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Serve thousands of models behind one endpoint.",
)
_Name = Annotated[str, typer.Argument(metavar="ENDPOINT", help="Name of the endpoint.")]
_Key = Annotated[
    str | None,
    typer.Option(envvar="MODELYARD_KEY", help="API key to send, if the endpoint requires one."),
]
_Sign = Annotated[
    bool | None,
    typer.Option(
        "--sign/--no-sign",
        show_default="sign for host names of API Gateway, unless --key is given",
        help="Sign requests with your AWS credentials.",
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"modelyard {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Serve thousands of models behind one endpoint."""
    # Kubernetes sets it to the address of a service that is called modelyard.
    if os.environ.get("MODELYARD_PORT", "").startswith("tcp://"):
        del os.environ["MODELYARD_PORT"]


app.command(context_settings={"auto_envvar_prefix": "MODELYARD"})(serve)
app.command()(demo)
app.command()(client_setup)
app.command()(cost)
app.command()(dead_letters)
app.command()(deploy)
app.command()(diff)
app.command()(destroy)
app.command()(push)
app.add_typer(keys, name="keys")


@app.command()
def invoke(
    endpoint: _Name,
    body: Annotated[
        str,
        typer.Argument(metavar="BODY", help="Request body: text, @FILE, or - for standard input."),
    ],
    target_model: Annotated[
        str | None, typer.Option(help="Model to call, relative to the repository.")
    ] = None,
    content_type: Annotated[str | None, typer.Option(help="MIME type of BODY.")] = None,
    accept: Annotated[str | None, typer.Option(help="MIME type wanted for the response.")] = None,
    custom_attributes: Annotated[
        str | None, typer.Option(help="Text that is passed on to the model.")
    ] = None,
    url: Url = DEFAULT_URL,
    key: _Key = None,
    sign: _Sign = None,
) -> None:
    """Call an endpoint once, and print the body of the response."""
    from modelyard.cli.console import errors_as_red_lines

    with errors_as_red_lines():
        members = {
            "EndpointName": endpoint,
            "Body": _payload(body),
            "TargetModel": target_model,
            "ContentType": content_type,
            "Accept": accept,
            "CustomAttributes": custom_attributes,
        }
        given = {name: value for name, value in members.items() if value is not None}
        sys.stdout.buffer.write(_invoke(url, given, key, sign))
        sys.stdout.buffer.flush()


def _invoke(url: str, members: dict[str, Any], key: str | None, sign: bool | None) -> bytes:
    if _signs(url, key, sign):
        from modelyard.clients.sdk import invoke_signed

        return invoke_signed(url, members)
    from modelyard.clients.plain_call import invoke_plainly

    return invoke_plainly(url, members, key=key)


def _signs(url: str, key: str | None, wanted: bool | None) -> bool:
    from modelyard.clients.sdk import region_in

    return wanted if wanted is not None else key is None and region_in(url) is not None


def _payload(body: str) -> bytes:
    if body == "-":
        return sys.stdin.buffer.read()
    if not body.startswith("@"):
        return body.encode()
    try:
        return Path(body[1:]).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{body[1:]} cannot be read: {error.strerror}") from error


@app.command()
def models(
    endpoint: _Name,
    url: Url = DEFAULT_URL,
    key: _Key = None,
    sign: _Sign = None,
    as_json: Json = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="List them again every 2 s, until Ctrl-C.")
    ] = False,
) -> None:
    """List the models of an endpoint: status, version, memory, disk, last use."""
    from modelyard.cli.console import errors_as_red_lines
    from modelyard.clients.management import ManagementClient

    with (
        errors_as_red_lines(),
        ManagementClient(url, key=key, sign=_signs(url, key, sign)) as client,
    ):
        while True:
            _show_models(endpoint, list(client.models(endpoint)), as_json=as_json, clears=watch)
            if not watch:
                return
            try:
                time.sleep(WATCH_S)
            except KeyboardInterrupt:
                return


def _show_models(endpoint: str, found: "list[ListedModel]", *, as_json: bool, clears: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(model) for model in found]))
        return
    from modelyard.cli.console import out
    from modelyard.cli.tables import print_models

    if clears and out().is_terminal:
        out().clear()
    print_models(endpoint, found)


@app.command()
def warm(
    endpoint: _Name,
    target_models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Models to load.")],
    timeout: Annotated[
        float,
        typer.Option(
            parser=duration,
            metavar="DURATION",
            show_default="360s",
            help="Total time to wait for all models, such as 30s or 10m.",
        ),
    ] = 360.0,
    url: Url = DEFAULT_URL,
    key: _Key = None,
    sign: _Sign = None,
) -> None:
    """Load models and wait until they are ready."""
    from modelyard.cli.console import errors_as_red_lines, print_problem
    from modelyard.cli.tables import progress
    from modelyard.clients import management

    failures = 0
    with (
        errors_as_red_lines(),
        management.ManagementClient(url, key=key, sign=_signs(url, key, sign)) as client,
        progress("warming", total=len(target_models)) as advance,
    ):
        for target_model, error in management.warm(
            client, endpoint, target_models, timeout_s=timeout
        ):
            advance()
            if error is not None:
                failures += 1
                print_problem(f"{target_model}: {error.message}")
    typer.echo(f"{len(target_models) - failures} of {len(target_models)} models are loaded")
    if failures:
        raise typer.Exit(1)


@app.command()
def unload(
    endpoint: _Name,
    target_model: Annotated[str, typer.Argument(metavar="MODEL", help="Model to unload.")],
    url: Url = DEFAULT_URL,
    key: _Key = None,
    sign: _Sign = None,
) -> None:
    """Unload a model; its next call loads it again."""
    from modelyard.cli.console import errors_as_red_lines
    from modelyard.clients.management import ManagementClient

    with (
        errors_as_red_lines(),
        ManagementClient(url, key=key, sign=_signs(url, key, sign)) as client,
    ):
        client.unload(endpoint, target_model)


@app.command()
def check(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="A config file, a folder of models, one model, or s3://bucket/prefix.",
        ),
    ],
    allow_code: AllowCode = None,
    as_json: Json = False,
) -> None:
    """Load the models of PATH once, and validate its config and the classes of Cortex APIs."""
    from modelyard.cli.check import check_location
    from modelyard.cli.console import errors_as_red_lines, print_warning
    from modelyard.cli.serve import user_cache_dir
    from modelyard.cli.tables import print_findings, print_reports, progress

    with errors_as_red_lines():
        report = check_location(path, user_cache_dir(), progress, allow_code=allow_code)
    for warning in report.warnings:
        print_warning(warning)
    if as_json:
        typer.echo(json.dumps(report.as_json()))
    else:
        print_reports(report.models)
        print_findings(report.apis)
    if report.is_faulty:
        raise typer.Exit(1)
