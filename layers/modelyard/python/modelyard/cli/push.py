"""The command `push`: upload models to the repository of an endpoint."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelyard.cli.console import errors_as_red_lines
from modelyard.cli.options import FILE, user_cache_dir
from modelyard.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from modelyard.domain.endpoints import Endpoint


@click.command()
@click.argument("config", type=FILE)
@click.argument(
    "files", metavar="FILE...", type=click.Path(path_type=Path), nargs=-1, required=True
)
@click.option("--endpoint", show_default="the only one of CONFIG", help="Name of the endpoint.")
def push(config: Path, files: tuple[Path, ...], endpoint: str | None) -> None:
    """Check models, then upload them to the endpoint's bucket.

    Each FILE is loaded once; if one cannot be served, nothing is uploaded.
    """
    from modelyard.cli.tables import bytes_progress
    from modelyard.clients.uploads import upload_model

    with errors_as_red_lines():
        target = _endpoint(config, endpoint)
        _check(files, target)
        for file in files:
            with bytes_progress(file.name, file.stat().st_size) as advance:
                uri = upload_model(file, target.repository, file.name, advance)
            click.echo(uri)


def _endpoint(config: Path, name: str | None) -> "Endpoint":
    """Return the multi-model endpoint of this name, or the only one.

    Raises:
        ConfigurationError: there is no such endpoint, or its models are not in S3.
    """
    from modelyard.config.files import load_config

    found = {item.endpoint.name: item.endpoint for item in load_config(config).endpoints}
    names = [key for key, endpoint in found.items() if not endpoint.is_api]
    if name is None and len(names) != 1:
        raise ConfigurationError(f"--endpoint is needed; allowed: {', '.join(names) or 'none'}")
    chosen = names[0] if name is None else name
    if chosen not in names:
        raise ConfigurationError(
            f"--endpoint: found {chosen!r}; allowed: {', '.join(names) or 'none'}"
        )
    endpoint = found[chosen]
    if not endpoint.repository.startswith("s3://"):
        raise ConfigurationError(
            f"{chosen}: its models are in {endpoint.repository}; copy them there,"
            " as `push` uploads to S3 only."
        )
    return endpoint


def _check(files: Sequence[Path], endpoint: "Endpoint") -> None:
    """Return if every file can be served by the endpoint.

    Raises:
        ConfigurationError: one line per file that cannot. Nothing is uploaded then.
    """
    from modelyard.cli.check import check_location
    from modelyard.cli.tables import progress

    problems = []
    for file in files:
        if not file.is_file():
            problems.append(f"{file}: not a file; allowed: an archive or a model file")
            continue
        report = check_location(
            str(file), user_cache_dir(), progress, allow_code=endpoint.allow_code
        )
        for models in report.models.values():
            problems += [f"{file}: {text}" for model in models for text in model.problems]
    if problems:
        raise ConfigurationError("\n".join([*problems, "Nothing was uploaded."]))
