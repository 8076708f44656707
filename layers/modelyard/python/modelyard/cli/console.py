"""What the command line says: one line for each thing, in red for a problem.

Rich is imported with the first line: a server starts its workers before.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import typer

from modelyard.domain.errors import ModelyardError

if TYPE_CHECKING:
    from rich.console import Console

    from modelyard.domain.endpoints import Endpoint


@cache
def out() -> "Console":
    """Return the console that is standard output."""
    from rich.console import Console

    return Console(highlight=False)


@cache
def err() -> "Console":
    """Return the console that is standard error."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


@contextmanager
def errors_as_red_lines() -> Iterator[None]:
    """Turn an expected error into one red line per problem and exit code 1."""
    try:
        yield
    except ModelyardError as error:
        print_problem(error.message)
        raise typer.Exit(1) from error


def print_problem(message: str) -> None:
    """Print a problem to standard error, in red where there is colour."""
    _print_styled(message, "red")


def print_warning(message: str) -> None:
    """Print what is odd, but no obstacle, to standard error."""
    _print_styled(message, "yellow")


def print_step(message: str) -> None:
    """Print what is going on to standard error."""
    _print_styled(message, "dim")


def print_ready(url: str, endpoints: Iterable["Endpoint"], lambda_url: str = "") -> None:
    """Print where the server listens, what its endpoints are called and where Lambda's API is."""
    _print_plain(f"Modelyard is ready on {url}")
    for endpoint in endpoints:
        is_api = endpoint.route is not None
        _print_plain(f"  API {url}{endpoint.route}" if is_api else f"  endpoint {endpoint.name}")
    if lambda_url:
        _print_plain(f"  Lambda's Invoke API on {lambda_url}")


def _print_styled(message: str, style: str) -> None:
    err().print(message, style=style, markup=False, soft_wrap=True)


def _print_plain(message: str) -> None:
    out().print(message, markup=False, soft_wrap=True)
