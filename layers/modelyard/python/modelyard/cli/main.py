"""The command line `modelyard`. Each command imports what it needs, so that `--help` is fast."""

import json
import os
from pathlib import Path

try:
    import click
except ImportError as missing:
    raise SystemExit(
        "the command modelyard needs more packages: pip install 'modelyard[serve]'"
    ) from missing

from modelyard import __version__
from modelyard.cli.access import client_setup, keys
from modelyard.cli.calls import invoke, models, unload, warm
from modelyard.cli.console import errors_as_red_lines, print_warning
from modelyard.cli.cost import cost
from modelyard.cli.dead_letters import dead_letters
from modelyard.cli.demo import demo
from modelyard.cli.deploy import deploy, destroy, diff
from modelyard.cli.logs import logs
from modelyard.cli.options import allow_code_option, json_option, user_cache_dir
from modelyard.cli.push import push
from modelyard.cli.serve import serve


class Commands(click.Group):
    """Commands in the order in which they were added: what a user needs first comes first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names for the help (called by click, whose own are sorted)."""
        return [*self.commands]


def _install_completion(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    from modelyard.cli.completion import install_completion

    with errors_as_red_lines():
        file = install_completion(app, os.environ.get("SHELL", ""), Path.home())
    click.echo(f"Completion is installed in {file}; it works in new shells.")
    ctx.exit()


@click.group(
    cls=Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "show_default": True,
        "max_content_width": 100,
    },
)
@click.version_option(__version__, message="modelyard %(version)s")
@click.option(
    "--install-completion",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_install_completion,
    help="Complete commands in your shell (bash, zsh, fish), and exit.",
)
def app() -> None:
    """Serve thousands of models behind one endpoint."""
    # Kubernetes sets it to the address of a service that is called modelyard.
    if os.environ.get("MODELYARD_PORT", "").startswith("tcp://"):
        del os.environ["MODELYARD_PORT"]


@click.command()
@click.argument("path")
@allow_code_option
@json_option
def check(path: str, allow_code: bool | None, as_json: bool) -> None:
    """Load the models of PATH once, and say what cannot be served.

    PATH is a config file, a folder of models, one model, or s3://bucket/prefix (also gs://, az://).
    Of Cortex APIs, the config and the class are checked.
    """
    from modelyard.cli.check import check_location
    from modelyard.cli.tables import print_findings, print_reports, progress

    with errors_as_red_lines():
        report = check_location(path, user_cache_dir(), progress, allow_code=allow_code)
    for warning in report.warnings:
        print_warning(warning)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        print_reports(report.models)
        print_findings(report.apis)
    if report.is_faulty:
        raise click.exceptions.Exit(1)


for command in (
    demo,
    serve,
    invoke,
    models,
    warm,
    unload,
    check,
    keys,
    client_setup,
    dead_letters,
    logs,
    cost,
    deploy,
    diff,
    destroy,
    push,
):
    app.add_command(command)
