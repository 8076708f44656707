"""List the models of an endpoint: what the repository offers and where each model is now."""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import TypeVar

from modelyard.domain import model_files
from modelyard.domain.endpoints import Endpoint, EndpointTable
from modelyard.domain.errors import (
    DependencyError,
    InvalidRequestError,
    TargetModelNotFoundError,
)
from modelyard.domain.ports import Metrics, ModelRepository
from modelyard.domain.requests import Answer, InferenceBackend, Survey
from modelyard.domain.suggestions import nearest
from modelyard.domain.values import (
    ModelId,
    ModelResidence,
    ModelStatus,
    Principal,
    StoredObject,
    TargetModel,
)
from modelyard.router.access import is_allowed, may_open
from modelyard.router.authorizer import Authorizer
from modelyard.sagemaker.target_model import parse_target_model

SURVEY_TIMEOUT_S = 5.0
LISTING_TTL_S = 30.0
"""How long a listing is kept for the pages that follow its first one."""
MAX_COMPARED = 1000
"""A wrong name is compared with this many others at most."""
_LISTING_THREADS = 2
_NEAREST_FIRST = list(ModelStatus)

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One model an endpoint offers."""

    target_model: TargetModel
    repository_bytes: int
    residence: ModelResidence
    files: tuple[StoredObject, ...] = ()
    """What a load of the model would open; none when the repository does not have it."""


MaySee = Callable[[TargetModel, tuple[StoredObject, ...]], bool]
"""Decides whether a caller may see a model, by its name and its files."""


@dataclass(frozen=True, slots=True)
class CatalogPage:
    """Some of an endpoint's models, by name."""

    entries: list[CatalogEntry]
    has_more: bool


@dataclass(frozen=True, slots=True)
class _Listing:
    """What a repository offered at one time."""

    names: list[TargetModel]
    """Sorted."""
    files: dict[TargetModel, tuple[StoredObject, ...]]

    def names_after(
        self, after: str, limit: int | None, may_see: MaySee
    ) -> tuple[list[TargetModel], bool]:
        """Return up to `limit` names after one that may be seen, and whether there are more."""
        later = islice(self.names, bisect_right(self.names, after), None)
        seen = (name for name in later if may_see(name, self.files[name]))
        found = list(islice(seen, limit))
        return found, limit is not None and next(seen, None) is not None


class Catalog:
    """Lists models; it asks all shards, because each knows only its own models."""

    def __init__(
        self,
        *,
        endpoints: EndpointTable,
        backend_of: Callable[[str], InferenceBackend],
        open_repository: Callable[[str], ModelRepository],
        metrics: Metrics,
    ) -> None:
        self.endpoints = endpoints
        self._backend_of = backend_of
        self._open_repository = open_repository
        self._metrics = metrics
        self.authorizer = Authorizer(open_repository)
        self._threads = ThreadPoolExecutor(_LISTING_THREADS, thread_name_prefix="listing")
        self._listings: dict[str, _Listing] = {}

    def forget_listings(self) -> None:
        """Keep no listing for later pages: endpoints may have other repositories now."""
        self._listings.clear()

    async def page_for(
        self, endpoint: Endpoint, principal: Principal, *, after: str = "", limit: int | None = None
    ) -> CatalogPage:
        """Return the page of the models that a caller may call.

        Raises:
            As `page`.
        """
        may_see = _visible_to(endpoint, principal)
        return await self.page(endpoint.name, after=after, limit=limit, may_see=may_see)

    async def page(
        self,
        endpoint_name: str,
        *,
        after: str = "",
        limit: int | None = None,
        may_see: MaySee = lambda name, files: True,
        may_be_kept: bool = False,
    ) -> CatalogPage:
        """Return the models by name that come after one and that `may_see` lets through.

        `limit` is how many are returned at most. `may_be_kept` allows a first page from a listing
        that was kept for later pages. All pages that follow each other within
        `LISTING_TTL_S` come from one listing of the repository.

        Raises:
            UnknownEndpointError: no such endpoint.
            DependencyError: the repository cannot be listed.
        """
        endpoint = self.endpoints.find(endpoint_name)
        residences = {item.model_id: item for item in await self.residences(endpoint)}
        listing = self._listings.get(endpoint.name) if after or may_be_kept else None
        if listing is None:
            resident = [model_id.target_model for model_id in residences]
            listing = await self._run(self._list, endpoint, resident)
        names, has_more = await self._run(listing.names_after, after, limit, may_see)
        if has_more:
            self._keep(endpoint.name, listing)
        entries = [
            _entry(ModelId(endpoint.name, name), listing.files[name], residences) for name in names
        ]
        return CatalogPage(entries, has_more)

    async def with_hint(
        self,
        error: TargetModelNotFoundError,
        endpoint: Endpoint,
        principal: Principal,
        target_model: TargetModel,
    ) -> TargetModelNotFoundError:
        """Return the error for a model that does not exist, with the most similar name, if any."""
        similar = await self._similar(endpoint, principal, target_model)
        if similar is None:
            return error
        return TargetModelNotFoundError(f"{error.message} Did you mean {similar!r}?")

    async def _similar(
        self, endpoint: Endpoint, principal: Principal, target_model: TargetModel
    ) -> str | None:
        """Return the model with the most similar name that the caller may call, or None.

        It lists folders only, and knows no answer for more than `MAX_COMPARED` models.
        """
        if endpoint.is_api or not endpoint.repository.startswith("file:"):
            return None
        try:
            listing = await self._run(self._list, endpoint, ())
        except DependencyError:
            return None
        may_see = _visible_to(endpoint, principal)
        names, has_more = await self._run(listing.names_after, "", MAX_COMPARED, may_see)
        if has_more:
            return None
        begun = [name for name in names if name.startswith(f"{target_model}.")]
        return begun[0] if begun else nearest(target_model, names)

    async def model(self, endpoint_name: str, target_model: TargetModel) -> CatalogEntry:
        """Return one model of an endpoint.

        Raises:
            TargetModelNotFoundError: the repository does not have it.
        """
        endpoint = self.endpoints.find(endpoint_name)
        repository = self._open_repository(endpoint.repository)
        artifact = await self._run(repository.describe, target_model)
        residences = {item.model_id: item for item in await self.residences(endpoint)}
        entry = _entry(ModelId(endpoint.name, target_model), (), residences)
        return replace(entry, repository_bytes=artifact.size_bytes)

    async def residences(self, endpoint: Endpoint) -> list[ModelResidence]:
        """Return where the shards have an endpoint's models, the best status of each.

        A shard that cannot answer is left out.
        """
        survey = Survey(endpoint.name, endpoint.repository)
        backend = self._backend_of(endpoint.name)
        asked = [backend.call(shard, survey, SURVEY_TIMEOUT_S) for shard in range(backend.shards)]
        nearest: dict[ModelId, ModelResidence] = {}
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if not isinstance(answer, Answer):
                continue
            for sample in answer.samples:
                self._metrics.record(sample)
            for item in answer.residences:
                known = nearest.get(item.model_id)
                if known is None or _distance(item) < _distance(known):
                    nearest[item.model_id] = item
        return list(nearest.values())

    async def _run(self, work: Callable[..., R], *given: object) -> R:
        """Do work that may take long in a thread that no call of a model needs."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)

    def _keep(self, endpoint_name: str, listing: "_Listing") -> None:
        """Keep a listing for the pages that follow; forget it after a while."""
        if self._listings.get(endpoint_name) is listing:
            return
        self._listings[endpoint_name] = listing

        def forget() -> None:
            if self._listings.get(endpoint_name) is listing:
                del self._listings[endpoint_name]

        asyncio.get_running_loop().call_later(LISTING_TTL_S, forget)

    def _list(self, endpoint: Endpoint, resident: Iterable[TargetModel]) -> "_Listing":
        """Return the models that the repository offers, and those that are resident."""
        objects = list(self._open_repository(endpoint.repository).objects())
        offered = _versions_in(objects) if endpoint.is_api else _targets_in(objects)
        found = {name: tuple(files) for name, files in offered.items()}
        objects.sort(key=_key)
        for name in resident:
            if name not in found:  # a folder that groups models, or a model that was removed
                found[name] = tuple(_below(name, objects))
        return _Listing(sorted(found), found)


def _visible_to(endpoint: Endpoint, principal: Principal) -> MaySee:
    def may_see(name: TargetModel, files: Sequence[StoredObject]) -> bool:
        return is_allowed(endpoint, principal, name) and may_open(endpoint, principal, name, files)

    return may_see


def _key(item: StoredObject) -> str:
    return item.key


def _below(folder: str, objects: Sequence[StoredObject]) -> Iterator[StoredObject]:
    """Yield the objects in a folder, of objects that are sorted by key."""
    prefix = f"{folder}/"
    first = bisect_left(objects, prefix, key=_key)
    return takewhile(lambda item: item.key.startswith(prefix), islice(objects, first, None))


def targets_in(objects: Iterable[StoredObject]) -> dict[TargetModel, int]:
    """Return the target models that a listing offers, with the size of each in bytes.

    Names that no caller can send are left out.
    """
    return {name: _size_of(files) for name, files in _targets_in(objects).items()}


def _targets_in(objects: Iterable[StoredObject]) -> dict[TargetModel, list[StoredObject]]:
    by_key = {item.key: item for item in objects}
    return {
        TargetModel(name): [by_key[key] for key in keys]
        for name, keys in model_files.targets(by_key).items()
        if can_be_called(name)
    }


def _size_of(files: Iterable[StoredObject]) -> int:
    return sum(item.size_bytes for item in files)


def can_be_called(name: str) -> bool:
    """Return whether a caller can send this name as a target model."""
    try:
        return parse_target_model(name) == name
    except InvalidRequestError:
        return False


def _versions_in(objects: Iterable[StoredObject]) -> dict[TargetModel, list[StoredObject]]:
    """Return the versions that a listing of a Cortex API's models offers, with their files."""
    offered: dict[TargetModel, list[StoredObject]] = {}
    for item in objects:
        name, version, _ = item.key.split("/", 2)
        offered.setdefault(TargetModel(f"{name}/{version}"), []).append(item)
    return offered


def _distance(residence: ModelResidence) -> int:
    return _NEAREST_FIRST.index(residence.status)


def _entry(
    model_id: ModelId,
    files: tuple[StoredObject, ...],
    residences: dict[ModelId, ModelResidence],
) -> CatalogEntry:
    nowhere = ModelResidence(model_id, ModelStatus.NOT_LOADED)
    residence = residences.get(model_id, nowhere)
    return CatalogEntry(model_id.target_model, _size_of(files), residence, files)
