"""Messages of the command line: one line each, problems in red.

Only tables and progress bars need Rich, whose import takes longer than most commands.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from modelyard.domain.errors import ModelyardError

if TYPE_CHECKING:
    from rich.console import Console

    from modelyard.cli.survey import Survey
    from modelyard.domain.endpoints import Endpoint, Splitter

_SHOWN_FILES = 5


def out() -> "Console":
    """Return the console for standard output."""
    from rich.console import Console

    return Console(highlight=False)


def err() -> "Console":
    """Return the console for standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


@contextmanager
def errors_as_red_lines() -> Iterator[None]:
    """Print a ModelyardError in red, one line per problem, and exit with code 1."""
    try:
        yield
    except ModelyardError as error:
        print_problem(error.message)
        raise click.exceptions.Exit(1) from error


def print_problem(message: str) -> None:
    """Print a problem to standard error, in red if the terminal has colours."""
    _print_styled(message, fg="red")


def print_warning(message: str) -> None:
    """Print a warning to standard error."""
    _print_styled(message, fg="yellow")


def print_step(message: str) -> None:
    """Print a progress message to standard error."""
    _print_styled(message, dim=True)


def print_ready(
    url: str,
    endpoints: Iterable["Endpoint"],
    splitters: Iterable["Splitter"] = (),
    lambda_url: str = "",
    surveys: Iterable["Survey"] = (),
    *,
    auth: str = "none",
) -> None:
    """Print the URL of the server, what it serves, what not, and a call to try."""
    found = {survey.endpoint.name: survey for survey in surveys}
    click.echo(f"Modelyard is ready on {url}")
    if lambda_url and auth != "none":
        click.echo(f"  callers authenticate as with auth: {auth}")
    for endpoint in endpoints:
        if endpoint.is_api:
            click.echo(f"  API {url}{endpoint.route}")
        else:
            count = _count(found.get(endpoint.name))
            click.echo(f"  endpoint {endpoint.name}{count}")
    for splitter in splitters:
        shares = (
            f"{target.api} {target.weight} %{' (shadow)' if target.shadow else ''}"
            for target in splitter.targets
        )
        click.echo(f"  splitter {url}{splitter.route}: {', '.join(shares)}")
    if lambda_url:
        click.echo(f"  Lambda's Invoke API on {lambda_url}")
    for survey in found.values():
        for line in _not_served(survey):
            click.echo(line)
    calls = (survey.example_call(url, auth=auth) for survey in found.values())
    call = next(filter(None, calls), None)
    if call is not None:
        click.echo(f"  try it: {call}")


_FIRST_MODEL = "put a file there, such as model.json or model.tar.gz, and call it by its name"


def _count(survey: "Survey | None") -> str:
    if survey is None or survey.problem is not None:
        return ""
    if survey.is_empty:
        return f": 0 models; {_FIRST_MODEL}"
    noun = "model" if survey.models == 1 else "models"
    refused = f", and {survey.refused:,} that may be refused" if survey.refused else ""
    return f": {'' if survey.is_complete else 'more than '}{survey.models:,} {noun}{refused}"


def _not_served(survey: "Survey") -> Iterator[str]:
    """Yield a line for each reason why files are not served, with at most five files in all."""
    reasons: dict[str, list[str]] = {}
    for name, reason in survey.others[:_SHOWN_FILES]:
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield f"  not served: {', '.join(names)} ({reason})"
    more = len(survey.others) - _SHOWN_FILES
    if more > 0:
        yield f"  not served: {more:,} more {'file' if more == 1 else 'files'}"


def _print_styled(message: str, **style: Any) -> None:
    styled = message if os.environ.get("NO_COLOR") else click.style(message, **style)
    click.echo(styled, err=True)  # without the style, unless it is a terminal
