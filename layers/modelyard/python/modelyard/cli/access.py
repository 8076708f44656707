"""The commands `keys` and `client-setup`: API keys and settings for clients."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelyard.cli.options import DEFAULT_URL, parsed
from modelyard.domain.errors import ConfigurationError
from modelyard.domain.units import parse_lifetime

if TYPE_CHECKING:
    from modelyard.domain.ports import KeyStore

keys = typer.Typer(no_args_is_help=True, help="Create, list and delete API keys.")
_Path = Annotated[
    str | None,
    typer.Option(
        metavar="/PATH", help="SSM path of the keys of a deployment: /modelyard/NAME/keys."
    ),
]
_Folder = Annotated[
    Path | None, typer.Option(file_okay=False, help="Folder of the keys of a local server.")
]


@keys.command()
def create(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Name of the key; access rules use it as the principal."
        ),
    ],
    path: _Path = None,
    folder: _Folder = None,
    expires: Annotated[
        float | None,
        typer.Option(
            parser=parsed(parse_lifetime),
            metavar="DURATION",
            show_default="never",
            help="Time until the key expires: 90d, 12h.",
        ),
    ] = None,
) -> None:
    """Create a key and print it. It is not stored and cannot be shown again."""
    from modelyard.cli.console import errors_as_red_lines, print_step
    from modelyard.domain.keys import issue
    from modelyard.domain.system_clock import SystemClock

    with errors_as_red_lines():
        store = _store(path, folder)
        key, stored = issue(name, SystemClock().time(), expires)
        store.add(stored)
        print_step("Store this key now: it cannot be shown again.")
    typer.echo(key.text)


@keys.command("list")
def list_keys(path: _Path = None, folder: _Folder = None) -> None:
    """List the id, name, creation time and expiry time of every key."""
    from modelyard.cli.console import errors_as_red_lines
    from modelyard.domain.keys import render_moment

    with errors_as_red_lines():
        for stored in _store(path, folder).all():
            moment = stored.expires_at
            expires = "never" if moment is None else render_moment(moment)
            created = render_moment(stored.created_at)
            typer.echo(f"{stored.key_id}  {stored.name}  {created}  {expires}")


@keys.command()
def delete(
    key_id: Annotated[
        str, typer.Argument(metavar="ID", help="Id of the key, as shown by keys list.")
    ],
    path: _Path = None,
    folder: _Folder = None,
) -> None:
    """Delete a key. On AWS, calls with it may still succeed for up to a minute."""
    from modelyard.cli.console import errors_as_red_lines

    with errors_as_red_lines():
        _store(path, folder).delete(key_id)


def client_setup(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", file_okay=False, help="Folder for the files.")
    ],
    url: Annotated[
        str, typer.Option(help="URL of the server or of the deployed API.")
    ] = DEFAULT_URL,
    profile: Annotated[str, typer.Option(help="Name of the AWS profile to write.")] = "default",
) -> None:
    """Write settings for the AWS CLI and boto3, and print the variables to export."""
    from modelyard.cli.console import errors_as_red_lines
    from modelyard.clients.setup import render_exports, write_client_setup

    with errors_as_red_lines():
        for line in render_exports(write_client_setup(folder, url, profile)):
            typer.echo(line)


def _store(path: str | None, folder: Path | None) -> "KeyStore":
    if (path is None) == (folder is None):
        raise ConfigurationError(
            "Pass either --path (keys of a deployment) or --folder (keys of a local server)."
        )
    if folder is not None:
        from modelyard.local.file_keys import FileKeys

        return FileKeys(folder)
    assert path is not None
    from modelyard.clients.sdk import import_boto3

    import_boto3()
    from modelyard.aws.ssm_keys import SsmKeys, build_client

    return SsmKeys(path, build_client)
