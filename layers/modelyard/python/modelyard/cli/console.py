"""Messages of the command line: one line each, problems in red.

Rich is imported when the first message is printed: a server has started its workers by then.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import typer

from modelyard.domain.errors import ModelyardError

if TYPE_CHECKING:
    from rich.console import Console

    from modelyard.domain.endpoints import Endpoint, Splitter


@cache
def out() -> "Console":
    """Return the console for standard output."""
    from rich.console import Console

    return Console(highlight=False)


@cache
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
) -> None:
    """Print the URL of the server, what it serves, and the URL of the emulated Lambda."""
    _print_plain(f"Modelyard is ready on {url}")
    for endpoint in endpoints:
        _print_plain(
            f"  API {url}{endpoint.route}" if endpoint.is_api else f"  endpoint {endpoint.name}"
        )
    for splitter in splitters:
        shares = (
            f"{target.api} {target.weight} %{' (shadow)' if target.shadow else ''}"
            for target in splitter.targets
        )
        _print_plain(f"  splitter {url}{splitter.route}: {', '.join(shares)}")
    if lambda_url:
        _print_plain(f"  Lambda's Invoke API on {lambda_url}")


def _print_styled(message: str, style: str) -> None:
    err().print(message, style=style, markup=False, soft_wrap=True)


def _print_plain(message: str) -> None:
    out().print(message, markup=False, soft_wrap=True)
