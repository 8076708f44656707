"""Options that several commands have, and the parsers of their values."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from modelyard.domain.errors import ConfigurationError
from modelyard.domain.units import parse_duration, parse_size

_T = TypeVar("_T")

DEFAULT_URL = "http://127.0.0.1:8080"
Url = Annotated[
    str,
    typer.Option(envvar="MODELYARD_URL", help="URL of the server or of the deployed API."),
]
AllowCode = Annotated[
    bool | None,
    typer.Option(
        "--allow-code/--no-allow-code",
        show_default="no",
        help="Load artifacts that contain code: pickles, code/inference.py.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def parsed(parse: Callable[[object], _T]) -> Callable[[Any], _T]:
    """Return an option parser that reports a ConfigurationError of `parse` as a usage error."""

    def parse_option(value: Any) -> _T:
        try:
            return parse(value)
        except ConfigurationError as error:
            raise typer.BadParameter(error.message) from error

    return parse_option


duration = parsed(parse_duration)
size = parsed(parse_size)
