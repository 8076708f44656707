"""Buckets of Google Cloud Storage and containers of Azure, asked by obstore."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from itertools import chain, pairwise
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore

from modelyard.domain.errors import (
    ConfigurationError,
    DependencyError,
    ModelyardError,
    RepositoryForbiddenError,
    RepositoryMissingError,
)
from modelyard.repositories.artifact_files import changed, is_key
from modelyard.repositories.buckets import BucketObject, BucketRepository, folder_prefix
from modelyard.repositories.parts import reading_parts

_PAGE = 1000
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
"""obstore cannot ask for keys with these characters, and cannot list them."""
_NO_CREDENTIALS = "Error performing token request"
_CREDENTIALS = {
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, a service"
    " account of the machine, or GOOGLE_SKIP_SIGNATURE=true for a public bucket",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN,"
    " AZURE_CLIENT_ID with its secret or federated token, or a managed identity",
}
_CLIENT: dict[str, Any] = {
    "connect_timeout": "2s",
    "timeout": "30s",  # of one part
    "user_agent": "modelyard",
    "allow_http": True,  # for endpoints that are given as http://, such as emulators
}
_RETRY: dict[str, Any] = {
    "max_retries": 2,
    "backoff": {"init_backoff": timedelta(milliseconds=100)},
}


class ObstoreRepository(BucketRepository):
    """Models below a prefix of a bucket or container; `scheme` is `gs` or `az`."""

    def __init__(self, scheme: str, bucket: str, prefix: str) -> None:
        prefix = folder_prefix(prefix)
        super().__init__(ObstoreBucket(scheme, bucket, prefix), prefix)


class ObstoreBucket:
    """A bucket (`gs`) or container (`az`). Implements `Bucket`.

    The environment has credentials and endpoints, under the names that the SDKs of Google and Azure
    read, too.

    Raises:
        ConfigurationError: the environment has no account, or settings that cannot be used.
    """

    def __init__(self, scheme: str, name: str, prefix: str) -> None:
        self.name = name
        self.uri = f"{scheme}://{name}/{prefix}"
        self._scheme = scheme
        try:
            self._store = _open(scheme, name)
        except (exceptions.BaseError, ValueError, OSError) as error:
            raise ConfigurationError(
                f"{self.uri}: {_first_line(error)}; allowed: {_CREDENTIALS[scheme]}"
            ) from error

    def head(self, key: str) -> BucketObject | None:
        """Return the current version of an object by one request for its metadata."""
        if _CONTROL.search(key):
            return None
        with self._asking():
            try:
                return _object(obstore.head(self._store, key))
            except FileNotFoundError:
                return None

    def listing(self, prefix: str, after: str) -> Iterator[BucketObject]:
        """Yield the objects below a prefix; no listing tells versions.

        Azure is listed to the end first: accounts with folders do not sort by key.
        """
        if _CONTROL.search(prefix):
            return
        with self._asking():
            found = _without_markers(self._listed(prefix, after))
            yield from found if self._scheme == "gs" else sorted(found, key=lambda one: one.key)

    def _listed(self, prefix: str, after: str) -> Iterator[BucketObject]:
        begin = after if is_key(after) and not _CONTROL.search(after) else None
        pages = obstore.list(self._store, prefix or None, offset=begin, chunk_size=_PAGE)
        for found in map(_object, chain.from_iterable(pages)):
            if found.key > after:
                yield found

    def reading(
        self, key: str, tag: str, size_bytes: int
    ) -> AbstractContextManager[Callable[[int], bytes]]:
        """Read an object in parts, each on the condition that this is still its version."""
        moved = changed(key)
        etag, _, version = tag.partition("@")
        conditions = {"if_match": etag} | ({"version": version} if version else {})

        def get(start: int, end: int) -> bytes:
            options = conditions | ({"range": (start, end)} if end else {})
            with self._asking({404: moved, 412: moved}):
                answer = obstore.get(self._store, key, options=options)
                data = bytes(answer.bytes())
            if answer.meta["size"] != size_bytes:
                raise moved
            if len(data) != end - start:
                raise DependencyError(f"{self.uri} sent too few bytes")
            return data

        return reading_parts(get, size_bytes)

    @contextmanager
    def _asking(self, meanings: Mapping[int, ModelyardError] | None = None) -> Iterator[None]:
        """Turn obstore's errors into ours, without their texts, which name endpoints."""
        try:
            yield
        except exceptions.InvalidPathError as error:
            raise DependencyError(
                f"the model repository {self.uri} cannot be listed: {_first_line(error)};"
                " rename this object"
            ) from error
        except (exceptions.BaseError, OSError) as error:
            status = _status(error)
            raise (meanings or {}).get(status) or self._refusal(error, status) from error

    def _refusal(self, error: Exception, status: int) -> DependencyError:
        if _NO_CREDENTIALS in str(error):
            return RepositoryForbiddenError(
                f"no credentials for {self.uri} were found; allowed: {_CREDENTIALS[self._scheme]}"
            )
        text = f"the model repository {self.uri} answered {status}"
        if status == 404:  # only listings come here: for an object it has another meaning
            what = "bucket" if self._scheme == "gs" else "container"
            return RepositoryMissingError(f"{text}: the {what} {self.name} does not exist")
        if status in (401, 403):
            return RepositoryForbiddenError(f"{text}: these credentials do not allow it")
        if status:
            return DependencyError(text)
        reason = type(error).__name__
        return DependencyError(f"the model repository {self.uri} is out of reach ({reason})")


def _open(scheme: str, name: str) -> GCSStore | AzureStore:
    kind = GCSStore if scheme == "gs" else AzureStore
    return kind(name, client_options=_CLIENT, retry_config=_RETRY)


def _without_markers(listed: Iterator[BucketObject]) -> Iterator[BucketObject]:
    """Leave out the markers of folders, `net/` before `net/x`: obstore cuts off their slashes."""
    for found, following in pairwise(chain(listed, [None])):
        assert found is not None
        is_marker = (
            found.size_bytes == 0
            and following is not None
            and following.key.startswith(f"{found.key}/")
        )
        if not is_marker:
            yield found


def _object(meta: Mapping[str, Any]) -> BucketObject:
    version = meta["version"]
    tag = meta["e_tag"] if version is None else f"{meta['e_tag']}@{version}"
    return BucketObject(meta["path"], meta["size"], meta["last_modified"].timestamp(), tag)


def _status(error: Exception) -> int:
    """Return the HTTP status that an error of obstore tells of; 0 if there was no answer."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else 0


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
