"""API keys on AWS: one SSM parameter for each key, below one path."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from modelyard.domain import messages
from modelyard.domain.errors import ConfigurationError, DependencyError
from modelyard.domain.keys import is_key_id, parse_stored, render_stored
from modelyard.domain.values import StoredKey


def build_client() -> Any:
    """Return an SSM client; region and credentials come from the usual AWS settings.

    Raises:
        ConfigurationError: the AWS settings are inconsistent or have no region.
    """
    config = Config(
        connect_timeout=2,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 3},
        user_agent_extra="modelyard",
    )
    try:
        return get_session().create_client("ssm", config=config)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(messages.wrong_aws_settings(error)) from error


class SsmKeys:
    """`KeyStore` over SSM parameters."""

    def __init__(self, path: str, client: Callable[[], Any]) -> None:
        """`client` is called when it is first needed, or by `prepare`."""
        self._path = f"/{path.strip('/')}"
        self._client = functools.cache(client)

    def prepare(self) -> None:
        """Create the client now, so that no caller waits for it."""
        self._client()

    def find(self, key_id: str) -> StoredKey | None:
        """Return the key with this id, or None.

        Raises:
            DependencyError: the parameter cannot be read.
        """
        with _dependency("read"):
            try:
                answer = self._client().get_parameter(Name=self._name(key_id))
            except self._client().exceptions.ParameterNotFound:
                return None
        try:
            return parse_stored(key_id, answer["Parameter"]["Value"])
        except ConfigurationError as error:
            raise DependencyError(f"the key {key_id} cannot be read") from error

    def add(self, stored: StoredKey) -> None:
        """Store the key.

        Raises:
            DependencyError: the parameter cannot be written.
        """
        with _dependency("written"):
            self._client().put_parameter(
                Name=self._name(stored.key_id), Value=render_stored(stored), Type="String"
            )

    def all(self) -> Iterator[StoredKey]:
        """Yield every key, ordered by id.

        Raises:
            DependencyError: the parameters cannot be listed, or one is not a key.
        """
        pages = self._client().get_paginator("get_parameters_by_path").paginate(Path=self._path)
        with _dependency("listed"):
            found = [item for page in pages for item in page["Parameters"]]
            for item in sorted(found, key=lambda item: str(item["Name"])):
                key_id = item["Name"].rpartition("/")[2]
                if is_key_id(key_id):
                    yield parse_stored(key_id, item["Value"])

    def delete(self, key_id: str) -> None:
        """Delete the key.

        Raises:
            ConfigurationError: no key has this id.
            DependencyError: the parameter cannot be deleted.
        """
        with _dependency("deleted"):
            try:
                self._client().delete_parameter(Name=self._name(key_id))
            except self._client().exceptions.ParameterNotFound:
                raise _unknown(key_id) from None

    def _name(self, key_id: str) -> str:
        if not is_key_id(key_id):
            raise _unknown(key_id)
        return f"{self._path}/{key_id}"


def _unknown(key_id: str) -> ConfigurationError:
    return ConfigurationError(f"no key has the id {key_id!r}")


@contextmanager
def _dependency(what: str) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise DependencyError(f"the keys cannot be {what}: {error}") from error
