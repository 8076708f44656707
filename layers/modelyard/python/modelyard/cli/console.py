"""Messages of the command line: one line each, problems in red.

Rich is imported when the first message is printed: a server has started its workers by then.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

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
        raise typer.Exit(1) from error


def print_problem(message: str) -> None:
    """Print a problem to standard error, in red if the terminal has colours."""
    _print_styled(message, "red")


def print_warning(message: str) -> None:
    """Print a warning to standard error."""
    _print_styled(message, "yellow")


def print_step(message: str) -> None:
    """Print a progress message to standard error."""
    _print_styled(message, "dim")


def print_ready(
    url: str,
    endpoints: Iterable["Endpoint"],
    splitters: Iterable["Splitter"] = (),
    lambda_url: str = "",
    surveys: Iterable["Survey"] = (),
    *,
    needs_key: bool = False,
) -> None:
    """Print the URL of the server, what it serves, what not, and a call to try."""
    found = {survey.endpoint.name: survey for survey in surveys}
    _print_plain(f"Modelyard is ready on {url}")
    for endpoint in endpoints:
        if endpoint.is_api:
            _print_plain(f"  API {url}{endpoint.route}")
        else:
            count = _count(found.get(endpoint.name))
            _print_plain(f"  endpoint {endpoint.name}{count}")
    for splitter in splitters:
        shares = (
            f"{target.api} {target.weight} %{' (shadow)' if target.shadow else ''}"
            for target in splitter.targets
        )
        _print_plain(f"  splitter {url}{splitter.route}: {', '.join(shares)}")
    if lambda_url:
        _print_plain(f"  Lambda's Invoke API on {lambda_url}")
    for survey in found.values():
        for line in _not_served(survey):
            _print_plain(line)
    calls = (survey.example_call(url, needs_key=needs_key) for survey in found.values())
    call = next(filter(None, calls), None)
    if call is not None:
        _print_plain(f"  try it: {call}")


def _count(survey: "Survey | None") -> str:
    if survey is None or survey.problem is not None:
        return ""
    noun = "model" if survey.models == 1 else "models"
    return f": {'' if survey.is_complete else 'more than '}{survey.models:,} {noun}"


def _not_served(survey: "Survey") -> Iterator[str]:
    """Yield a line for each reason why files are not served, with at most five files in all."""
    reasons: dict[str, list[str]] = {}
    for name, reason in survey.others[:_SHOWN_FILES]:
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        yield f"  not served: {', '.join(names)} ({reason})"
    if len(survey.others) > _SHOWN_FILES:
        yield f"  and {len(survey.others) - _SHOWN_FILES:,} more files are not served"


def _print_styled(message: str, style: str) -> None:
    err().print(message, style=style, markup=False, soft_wrap=True)


def _print_plain(message: str) -> None:
    out().print(message, markup=False, soft_wrap=True)
