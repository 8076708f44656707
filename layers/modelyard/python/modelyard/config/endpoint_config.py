"""What to serve: a resource of a config file, or one path given on the command line.

Config files are validated elsewhere, so that serving one folder does not import pydantic.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.cortex.project import ApiProject
from modelyard.domain.endpoints import Endpoint, Splitter
from modelyard.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from modelyard.config.schema import Deployment

NAME_FORMS = "1 to 63 letters, digits and hyphens, with a letter or digit at both ends"
PATH_FORMS = "an existing folder or s3://bucket/prefix (also gs://, az://)"
_STORE = re.compile(r"(s3|gs|az)://([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:/(.*))?", re.DOTALL)
_AZURE_ALSO = ("abfs://", "abfss://", "wasb://", "wasbs://", "adl://")
_ENDPOINT_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequestedCompute:
    """The resources of an endpoint on AWS; the local server has options for them."""

    memory_bytes: int
    shards: int
    timeout_s: float
    runtime: str
    reserved_concurrency: int | None = None
    """Executions at a time that each function has for itself; None to share the account's."""


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """One resource of a config file."""

    endpoint: Endpoint
    compute: RequestedCompute | None = None
    """None if a path was served without a config file."""
    project: ApiProject | None = None
    """The Cortex project, given exactly when `endpoint.is_api`."""


@dataclass(frozen=True, slots=True)
class Config:
    """All resources of a config file, or the one endpoint of a path without a config file."""

    endpoints: tuple[EndpointConfig, ...]
    """The multi-model endpoints and the Cortex APIs."""
    splitters: tuple[Splitter, ...] = ()
    """The traffic splitters over the Cortex APIs."""
    deployment: "Deployment | None" = None
    """How to deploy them; None if the file does not say it."""
    warnings: tuple[str, ...] = ()
    """A message for each part of a file that has no effect here."""


def resource_for_path(path: str, name: str | None = None) -> EndpointConfig:
    """Return the endpoint of a folder or a prefix of a bucket, named `name` or after it.

    Raises:
        ConfigurationError: the path is neither, or no legal name can be made of it.
    """
    if name is not None and not is_endpoint_name(name):
        raise ConfigurationError(f"--endpoint: found {name!r}; allowed: {NAME_FORMS}")
    try:
        repository = repository_uri(path, Path())
    except ConfigurationError as error:
        if _is_file(path):
            folder = str(Path(path).parent)
            raise ConfigurationError(
                f"{found(path)}, a file; serve its folder, {folder!r}, and call it by its name"
            ) from error
        raise ConfigurationError(f"{error.message}, or a config file ending in .yaml") from error
    endpoint = Endpoint(name=_derived_name(path) if name is None else name, repository=repository)
    return EndpointConfig(endpoint)


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # the system refuses the path
        return False


def _derived_name(path: str) -> str:
    is_prefix = is_in_store(path)
    last_part = path.rstrip("/").rpartition("/")[2] if is_prefix else Path(path).resolve().name
    name = re.sub("[^a-zA-Z0-9]+", "-", last_part).strip("-")[:63].rstrip("-")
    if not name:
        raise ConfigurationError(f"{path!r} makes no endpoint name: give one with --endpoint")
    return name


def is_endpoint_name(name: str) -> bool:
    """Tell whether this is a valid SageMaker endpoint name."""
    return len(name) <= 63 and _ENDPOINT_NAME.fullmatch(name) is not None


def repository_uri(location: str, base: Path) -> str:
    """Return the URI, ending in `/`, of a folder (relative to `base`) or a prefix of a bucket.

    Raises:
        ConfigurationError: it is neither.
    """
    if is_in_store(location):
        match = _STORE.fullmatch(location)
        if match is None:
            raise ConfigurationError(f"{found(location)}, not a bucket; allowed: {PATH_FORMS}")
        scheme, bucket, prefix = match.groups(default="")
        return f"{scheme}://{bucket}/{prefix.rstrip('/')}".rstrip("/") + "/"
    if location.startswith(_AZURE_ALSO):
        raise ConfigurationError(
            f"{found(location)}; for Azure, write az://container/prefix and set"
            " AZURE_STORAGE_ACCOUNT_NAME to the account"
        )
    if not location or not is_folder(base / location):
        raise ConfigurationError(f"{found(location)}, not a folder; allowed: {PATH_FORMS}")
    uri = (base / location).resolve().as_uri()
    return uri if uri.endswith("/") else f"{uri}/"


def is_in_store(location: str) -> bool:
    """Tell whether a location is a bucket, or a prefix of one, rather than a path."""
    return location.startswith(("s3://", "gs://", "az://"))


def is_folder(path: Path) -> bool:
    """Tell whether a path is a folder; False if the system refuses the path."""
    try:
        return path.is_dir()
    except OSError:
        return False


def found(value: object) -> str:
    """Return `found ...` with the value as it was written, at most 200 characters of it."""
    try:
        text = "null" if value is None else repr(value)
    except ValueError:  # an integer of thousands of digits
        text = f"a very long {type(value).__name__}"
    return f"found {text if len(text) <= 200 else text[:200] + '...'}"
