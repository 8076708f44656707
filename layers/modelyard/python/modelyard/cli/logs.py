"""The command `logs`: what the functions of a deployment write about an endpoint or a model."""

import json
import re
import time
from typing import TYPE_CHECKING, Any

import click

from modelyard.cli.console import errors_as_red_lines
from modelyard.cli.options import duration, endpoint_argument

if TYPE_CHECKING:
    from modelyard.aws.function_logs import LogLine

POLL_S = 2.0
_GROUP = re.compile(r"-(Router|Warming|Inference)\w*Logs[0-9A-F]{8}-")
_OF_EVERY_LINE = ("timestamp", "level", "message", "logger", "requestId")


@click.command()
@endpoint_argument
@click.argument("model", required=False)
@click.option("--deployment", metavar="NAME", default="modelyard", help="Name of the deployment.")
@click.option(
    "--since",
    type=duration,
    metavar="DURATION",
    default="10m",
    help="Age of the oldest line, such as 30s or 2h.",
)
@click.option("-f", "--follow", is_flag=True, help="Wait for new lines, until Ctrl-C.")
def logs(endpoint: str, model: str | None, deployment: str, since: float, follow: bool) -> None:
    """Print the log lines of an endpoint on AWS.

    With MODEL, only those that name it.
    """
    from modelyard.aws import function_logs
    from modelyard.clients.sdk import import_boto3

    with errors_as_red_lines():
        session = import_boto3().session.Session()
        found = function_logs.follow(
            session, deployment, endpoint, model, since_s=time.time() - since
        )
        while True:
            for line in found.new_lines():
                click.echo(rendered(line))
            if not follow:
                return
            try:
                time.sleep(POLL_S)
            except KeyboardInterrupt:
                return


def rendered(line: "LogLine") -> str:
    """Return a line for a terminal: time, function, level, event and its fields."""
    moment = time.strftime("%H:%M:%S", time.localtime(line.moment_s))
    named = _GROUP.search(line.group)
    function = named[1].lower() if named else line.group
    try:
        event = json.loads(line.text)
    except ValueError:
        event = None
    text = line.text.rstrip() if not isinstance(event, dict) else _event(event)
    return f"{moment}  {function}  {text}"


def _event(event: dict[str, Any]) -> str:
    fields = (f"{key}={value}" for key, value in event.items() if key not in _OF_EVERY_LINE)
    return " ".join([str(event.get("level", "")), str(event.get("message", "")), *fields])
