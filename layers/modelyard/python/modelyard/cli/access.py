"""The commands `keys` and `client-setup`: API keys and settings for clients."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelyard.cli.console import errors_as_red_lines, print_step
from modelyard.cli.options import FOLDER, parsed, url_option
from modelyard.domain.errors import ConfigurationError
from modelyard.domain.units import parse_lifetime

if TYPE_CHECKING:
    from modelyard.domain.ports import KeyStore

path_option = click.option(
    "--path", metavar="/PATH", help="SSM path of the keys of a deployment: /modelyard/NAME/keys."
)
folder_option = click.option("--folder", type=FOLDER, help="Folder of the keys of a local server.")


@click.group()
def keys() -> None:
    """Create, list and delete API keys."""


@keys.command()
@click.argument("name")
@path_option
@folder_option
@click.option(
    "--expires",
    type=parsed(parse_lifetime),
    metavar="DURATION",
    show_default="never",
    help="Time until the key expires: 90d, 12h.",
)
def create(name: str, path: str | None, folder: Path | None, expires: float | None) -> None:
    """Create a key and print it. It is not stored and cannot be shown again.

    Access rules use NAME as the principal.
    """
    from modelyard.domain.keys import issue
    from modelyard.domain.system_clock import SystemClock

    with errors_as_red_lines():
        store = _store(path, folder)
        key, stored = issue(name, SystemClock().time(), expires)
        store.add(stored)
        print_step("Store this key now: it cannot be shown again.")
    click.echo(key.text)


@keys.command("list")
@path_option
@folder_option
def list_keys(path: str | None, folder: Path | None) -> None:
    """List the id, name, creation time and expiry time of every key."""
    from modelyard.domain.keys import render_moment

    with errors_as_red_lines():
        found = list(_store(path, folder).all())
        if not found:
            click.echo("no keys", err=True)
        for stored in found:
            moment = stored.expires_at
            expires = "never" if moment is None else render_moment(moment)
            created = render_moment(stored.created_at)
            click.echo(f"{stored.key_id}  {stored.name}  {created}  {expires}")


@keys.command()
@click.argument("key_id", metavar="ID")
@path_option
@folder_option
def delete(key_id: str, path: str | None, folder: Path | None) -> None:
    """Delete the key with this ID, as shown by `keys list`.

    On AWS, calls with it may still succeed for up to a minute.
    """

    with errors_as_red_lines():
        _store(path, folder).delete(key_id)


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@url_option
@click.option("--profile", default="default", help="Name of the AWS profile to write.")
def client_setup(folder: Path, url: str, profile: str) -> None:
    """Write settings for the AWS CLI and boto3 to a folder.

    Prints the environment variables to export.
    """
    from modelyard.clients.setup import render_exports, write_client_setup

    with errors_as_red_lines():
        for line in render_exports(write_client_setup(folder, url, profile)):
            click.echo(line)


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
