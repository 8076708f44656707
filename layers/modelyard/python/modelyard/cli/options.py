"""Options that several commands have, and the types of their values."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from modelyard.domain.errors import ConfigurationError
from modelyard.domain.units import SIZE_FORMS, parse_duration, parse_size

_T = TypeVar("_T")
_LEAST_LIMIT_BYTES = 64 << 10


def parsed(parse: Callable[[object], _T]) -> Callable[[Any], _T]:
    """Return an option type that reports a ConfigurationError of `parse` as a usage error."""

    def parse_option(value: Any) -> _T:
        try:
            return parse(value)
        except ConfigurationError as error:
            raise click.BadParameter(error.message) from error

    return parse_option


duration = parsed(parse_duration)
size = parsed(parse_size)


def _limit(value: object) -> int:
    size_bytes = parse_size(value)
    if size_bytes < _LEAST_LIMIT_BYTES and str(value).strip().isdecimal():
        raise ConfigurationError(f"found {value!r}, which is bytes; allowed: {SIZE_FORMS}")
    return size_bytes


limit = parsed(_limit)
"""A size in which a unit was forgotten if it is smaller than any model."""
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)

endpoint_argument = click.argument("endpoint")
url_option = click.option(
    "--url",
    default="http://127.0.0.1:8080",
    envvar="MODELYARD_URL",
    show_envvar=True,
    help="URL of the server or of the deployed API.",
)
key_option = click.option(
    "--key",
    envvar="MODELYARD_KEY",
    show_envvar=True,
    help="API key to send, if the endpoint requires one.",
)
sign_option = click.option(
    "--sign/--no-sign",
    default=None,
    show_default="sign for host names of API Gateway, unless --key is given",
    help="Sign requests with your AWS credentials.",
)
allow_code_option = click.option(
    "--allow-code/--no-allow-code",
    default=None,
    show_default="no",
    help="Load artifacts that contain code: pickles, code/inference.py.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def user_cache_dir() -> Path:
    """Return the default folder for artifacts and environments."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard"


def cache_folder(given: Path | None) -> Path:
    """Return the folder of `--cache-dir` by its whole path: workers may have another folder.

    Raises:
        ConfigurationError: nothing can be written there. A full disk is none: the cache makes room.
    """
    folder = (given or user_cache_dir()).absolute()
    reason = "it may not be written to"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return folder
        reason = error.strerror or reason
    raise ConfigurationError(
        f"{folder}: models cannot be staged there: {reason}; --cache-dir names another folder"
    )
