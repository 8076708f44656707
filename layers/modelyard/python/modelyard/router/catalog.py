"""List the models of an endpoint: what the repository offers and where each model is now."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from heapq import merge
from itertools import chain, groupby, islice
from operator import attrgetter, itemgetter
from typing import TypeVar

from modelyard.domain import model_files
from modelyard.domain.endpoints import Endpoint, EndpointTable
from modelyard.domain.errors import (
    DependencyError,
    InvalidRequestError,
    TargetModelNotFoundError,
)
from modelyard.domain.foreign_formats import why_not_served
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
"""How long the rest of a listing is kept for the page that follows."""
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
    """Some of an endpoint's models, in order."""

    entries: list[CatalogEntry]
    token: str
    """What the next page comes after; empty if there is none."""

    @property
    def has_more(self) -> bool:
        """Whether another page follows."""
        return bool(self.token)


@dataclass(frozen=True, slots=True)
class _Offer:
    """One model that a repository has, or that a worker still has."""

    name: TargetModel
    files: tuple[StoredObject, ...]
    """Its objects in the repository."""

    @property
    def position(self) -> str:
        """Its place in the order of the repository's keys: a folder ends with a slash."""
        is_file = bool(self.files) and self.files[0].key == self.name
        return self.name if is_file else f"{self.name}/"


@dataclass(frozen=True, slots=True)
class _Rest:
    """A listing that was read up to a page's end."""

    endpoint: Endpoint
    reader: Hashable
    token: str
    offers: Iterator[_Offer]

    def follows(self, endpoint: Endpoint, reader: Hashable, after: str) -> bool:
        """Return whether the page of this reader that comes after a token is the next one."""
        return (self.endpoint, self.reader, self.token) == (endpoint, reader, after)


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
        self._rests: dict[str, _Rest] = {}
        """What the last page of each endpoint left."""

    async def page_for(
        self, endpoint: Endpoint, principal: Principal, *, after: str = "", limit: int | None = None
    ) -> CatalogPage:
        """Return the page of the models that a caller may call.

        Raises:
            As `page`.
        """
        may_see = _visible_to(endpoint, principal)
        return await self.page(
            endpoint.name, after=after, limit=limit, may_see=may_see, reader=principal
        )

    async def page(
        self,
        endpoint_name: str,
        *,
        after: str = "",
        limit: int | None = None,
        may_see: MaySee = lambda name, files: True,
        reader: Hashable = None,
    ) -> CatalogPage:
        """Return the models that come after a token and that `may_see` lets through.

        They are in the order of the repository's keys; in it, a folder ends with a slash. No more
        of the repository is read than the page takes. `limit` is how many are returned at most.
        A page that the same `reader` asks for within `LISTING_TTL_S` after the one before is
        read where that one ended; what `may_see` decides must depend on the reader only.

        Raises:
            UnknownEndpointError: no such endpoint.
            DependencyError: the repository cannot be listed.
        """
        endpoint = self.endpoints.find(endpoint_name)
        residences = {item.model_id: item for item in await self.residences(endpoint)}
        offers = self._continued(endpoint, reader, after)
        if offers is None:
            resident = [model_id.target_model for model_id in residences]
            offers = self._offers(endpoint, resident, after)
        found, more = await self._run(_first, offers, limit, may_see)
        token = ""
        if more is not None:
            token = found[-1].position
            self._keep(_Rest(endpoint, reader, token, more))
        entries = [_entry(endpoint, offer.name, offer.files, residences) for offer in found]
        return CatalogPage(entries, token)

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
        if similar == target_model:  # a missing one is remembered for a moment
            return TargetModelNotFoundError(f"{error.message} It is there now: call it again.")
        return TargetModelNotFoundError(f"{error.message} Did you mean {similar!r}?")

    async def _similar(
        self, endpoint: Endpoint, principal: Principal, target_model: TargetModel
    ) -> str | None:
        """Return the model with the most similar name that the caller may call, or None.

        It lists folders only, and knows no answer for more than `MAX_COMPARED` models.
        """
        if endpoint.is_api or not endpoint.repository.startswith("file:"):
            return None
        offers, may_see = self._offers(endpoint, (), ""), _visible_to(endpoint, principal)
        try:
            found, more = await self._run(_first, offers, MAX_COMPARED, may_see)
        except DependencyError:
            return None
        if more is not None:
            return None
        names = [offer.name for offer in found]
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
        entry = _entry(endpoint, target_model, (), residences)
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

    def _continued(
        self, endpoint: Endpoint, reader: Hashable, after: str
    ) -> Iterator[_Offer] | None:
        """Return the rest of a listing that was kept for this page, and keep it no longer."""
        rest = self._rests.get(endpoint.name)
        if rest is None or not rest.follows(endpoint, reader, after):
            return None
        del self._rests[endpoint.name]
        return rest.offers

    def _keep(self, rest: _Rest) -> None:
        name = rest.endpoint.name
        self._rests[name] = rest

        def forget() -> None:
            if self._rests.get(name) is rest:
                del self._rests[name]

        asyncio.get_running_loop().call_later(LISTING_TTL_S, forget)

    def _offers(
        self, endpoint: Endpoint, resident: Iterable[TargetModel], after: str
    ) -> Iterator[_Offer]:
        """Yield the models that the repository offers, and those that are resident, in order.

        What lies in one folder at the top is looked at together: any file in it may make all of it
        one model.
        """
        repository = self._open_repository(endpoint.repository)
        top, slash, _ = after.partition("/")
        others: dict[str, set[TargetModel]] = {}
        for name in resident:
            was_listed = "/" not in name and after.startswith(name) and _is_object(repository, name)
            if not was_listed:
                others.setdefault(f"{name.partition('/')[0]}/", set()).add(name)
        objects = groupby(repository.objects(after=top + slash), key=_top_of)
        listed = ((name, list(held)) for name, held in objects)
        unlisted: list[tuple[str, list[StoredObject]]] = [(name, []) for name in sorted(others)]
        tops = groupby(merge(listed, unlisted, key=itemgetter(0)), key=itemgetter(0))
        for name, parts in tops:
            held = [item for _, part in parts for item in part]
            offered = _versions_in(held) if endpoint.is_api else _targets_in(held)
            if not name.endswith("/"):
                others.get(f"{name}/", set()).discard(TargetModel(name))
            found = (_Offer(name, tuple(files)) for name, files in offered.items())
            gone = [
                _Offer(name, tuple(_below(name, held)))
                for name in others.get(name, set()).difference(offered)
            ]
            gone.sort(key=attrgetter("position"))
            for offer in merge(found, gone, key=attrgetter("position")):
                if offer.position > after:
                    yield offer


def _first(
    offers: Iterator[_Offer], limit: int | None, may_see: MaySee
) -> tuple[list[_Offer], Iterator[_Offer] | None]:
    """Return the first offers that may be seen, and the others; None if none of them may."""
    seen = (offer for offer in offers if may_see(offer.name, offer.files))
    found = list(islice(seen, limit))
    following = next(seen, None)
    return found, None if following is None else chain([following], offers)


def _top_of(item: StoredObject) -> str:
    """Return the key of an object at the top, or of the folder at the top, with a slash."""
    name, slash, _ = item.key.partition("/")
    return name + slash


def _is_object(repository: ModelRepository, key: str) -> bool:
    first = next(repository.objects(key), None)
    return first is not None and first.key == key


def _visible_to(endpoint: Endpoint, principal: Principal) -> MaySee:
    def may_see(name: TargetModel, files: Sequence[StoredObject]) -> bool:
        return is_allowed(endpoint, principal, name) and may_open(endpoint, principal, name, files)

    return may_see


def _below(folder: str, objects: Iterable[StoredObject]) -> Iterator[StoredObject]:
    return (item for item in objects if item.key.startswith(f"{folder}/"))


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
    endpoint: Endpoint,
    name: TargetModel,
    files: tuple[StoredObject, ...],
    residences: dict[ModelId, ModelResidence],
) -> CatalogEntry:
    model_id = ModelId(endpoint.name, name)
    residence = residences.get(model_id)
    if residence is None:
        why = why_not_served(name, allow_code=endpoint.allow_code)
        residence = ModelResidence(model_id, ModelStatus.NOT_LOADED, detail=why or "")
    return CatalogEntry(name, _size_of(files), residence, files)
