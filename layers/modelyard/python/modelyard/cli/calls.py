"""The commands that call a running server or deployment: invoke, models, warm, unload.

Each imports what it needs when it runs: most calls take less time than an import.
"""

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelyard.cli.console import errors_as_red_lines, out, print_problem
from modelyard.cli.options import (
    duration,
    endpoint_argument,
    json_option,
    key_option,
    sign_option,
    url_option,
)
from modelyard.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from modelyard.clients.management import ListedModel

WATCH_S = 2.0
_CONTENT_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".npy": "application/x-npy",
    ".npz": "application/x-npz",
}
"""Of the files that `invoke` sends, by their suffix."""


@click.command()
@endpoint_argument
@click.argument("body")
@click.option("--target-model", help="Model to call, relative to the repository.")
@click.option(
    "--content-type",
    help="MIME type of BODY.",
    show_default="by the name of FILE: .json, .csv, .npy, .npz, .jsonl; else none",
)
@click.option("--accept", help="MIME type wanted for the response.")
@click.option("--custom-attributes", help="Text that is passed on to the model.")
@url_option
@key_option
@sign_option
def invoke(
    endpoint: str,
    body: str,
    target_model: str | None,
    content_type: str | None,
    accept: str | None,
    custom_attributes: str | None,
    url: str,
    key: str | None,
    sign: bool | None,
) -> None:
    """Call an endpoint once, and print the body of the response.

    BODY is the request's body: text, @FILE, or - for standard input.
    """
    with errors_as_red_lines():
        members = {
            "EndpointName": endpoint,
            "Body": _payload(body),
            "TargetModel": target_model,
            "ContentType": content_type or _content_type_of(body),
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


def _content_type_of(body: str) -> str | None:
    return _CONTENT_TYPES.get(Path(body).suffix) if body.startswith("@") else None


def _payload(body: str) -> bytes:
    if body == "-":
        return sys.stdin.buffer.read()
    if not body.startswith("@"):
        return body.encode()
    try:
        return Path(body[1:]).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{body[1:]} cannot be read: {error.strerror}") from error


@click.command()
@endpoint_argument
@url_option
@key_option
@sign_option
@json_option
@click.option("--watch", is_flag=True, help="List them again every 2 s, until Ctrl-C.")
def models(
    endpoint: str, url: str, key: str | None, sign: bool | None, as_json: bool, watch: bool
) -> None:
    """List the models of an endpoint: status, memory, last use."""
    from modelyard.clients.management import ManagementClient

    with errors_as_red_lines():
        client = ManagementClient(url, key=key, sign=_signs(url, key, sign))
        while True:
            _show_models(endpoint, list(client.models(endpoint)), as_json=as_json, clears=watch)
            if not watch:
                return
            try:
                time.sleep(WATCH_S)
            except KeyboardInterrupt:
                return


def _show_models(
    endpoint: str, found: "Sequence[ListedModel]", *, as_json: bool, clears: bool
) -> None:
    if as_json:
        click.echo(json.dumps([asdict(model) for model in found]))
        return
    from modelyard.cli.tables import print_models

    if clears and out().is_terminal:
        out().clear()
    print_models(endpoint, found)


@click.command()
@endpoint_argument
@click.argument("target_models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--timeout",
    type=duration,
    metavar="DURATION",
    default="360s",
    help="Total time to wait for all models, such as 30s or 10m.",
)
@url_option
@key_option
@sign_option
def warm(
    endpoint: str,
    target_models: tuple[str, ...],
    timeout: float,
    url: str,
    key: str | None,
    sign: bool | None,
) -> None:
    """Load models and wait until they are ready."""
    from modelyard.cli.tables import progress
    from modelyard.clients import management

    failures = 0
    with errors_as_red_lines(), progress("warming", total=len(target_models)) as advance:
        client = management.ManagementClient(url, key=key, sign=_signs(url, key, sign))
        for target_model, error in management.warm(
            client, endpoint, target_models, timeout_s=timeout
        ):
            advance()
            if error is not None:
                failures += 1
                print_problem(f"{target_model}: {error.message}")
    click.echo(f"{len(target_models) - failures} of {len(target_models)} models are loaded")
    if failures:
        raise click.exceptions.Exit(1)


@click.command()
@endpoint_argument
@click.argument("target_model", metavar="MODEL")
@url_option
@key_option
@sign_option
def unload(endpoint: str, target_model: str, url: str, key: str | None, sign: bool | None) -> None:
    """Unload a model; its next call loads it again."""
    from modelyard.clients.management import ManagementClient

    with errors_as_red_lines():
        client = ManagementClient(url, key=key, sign=_signs(url, key, sign))
        client.unload(endpoint, target_model)
