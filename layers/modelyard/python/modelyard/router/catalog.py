"""List the models of an endpoint: what the repository offers and where each model is now."""

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, takewhile

from modelyard.domain import model_files
from modelyard.domain.endpoints import Endpoint, EndpointTable
from modelyard.domain.errors import InvalidRequestError
from modelyard.domain.ports import Metrics, ModelRepository
from modelyard.domain.requests import Answer, InferenceBackend, Survey
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
_NEAREST_FIRST = list(ModelStatus)


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """One model an endpoint offers."""

    target_model: TargetModel
    repository_bytes: int
    residence: ModelResidence
    files: tuple[StoredObject, ...] = ()
    """What a load of the model would open; none when the repository does not have it."""


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

    async def models(self, endpoint_name: str) -> list[CatalogEntry]:
        """Return all models of an endpoint by name.

        Raises:
            UnknownEndpointError: no such endpoint.
            DependencyError: the repository cannot be listed.
        """
        endpoint = self.endpoints.find(endpoint_name)
        residences = {item.model_id: item for item in await self.residences(endpoint)}
        resident = [model_id.target_model for model_id in residences]
        offered = await asyncio.to_thread(self._offered, endpoint, resident)
        return [
            _entry(ModelId(endpoint.name, name), offered[name], residences)
            for name in sorted(offered)
        ]

    async def models_for(self, endpoint: Endpoint, principal: Principal) -> list[CatalogEntry]:
        """Return the models of an endpoint that a caller may call, by name.

        Raises:
            DependencyError: the repository cannot be listed.
        """
        return [
            entry
            for entry in await self.models(endpoint.name)
            if is_allowed(endpoint, principal, entry.target_model)
            and may_open(endpoint, principal, entry.target_model, entry.files)
        ]

    async def model(self, endpoint_name: str, target_model: TargetModel) -> CatalogEntry:
        """Return one model of an endpoint.

        Raises:
            TargetModelNotFoundError: the repository does not have it.
        """
        endpoint = self.endpoints.find(endpoint_name)
        repository = self._open_repository(endpoint.repository)
        artifact = await asyncio.to_thread(repository.describe, target_model)
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

    def _offered(
        self, endpoint: Endpoint, resident: Iterable[TargetModel]
    ) -> dict[TargetModel, tuple[StoredObject, ...]]:
        """Return the models that the repository offers, and those that are resident, with their
        files.
        """
        objects = list(self._open_repository(endpoint.repository).objects())
        offered = _versions_in(objects) if endpoint.is_api else _targets_in(objects)
        found = {name: tuple(files) for name, files in offered.items()}
        objects.sort(key=_key)
        for name in resident:
            if name not in found:  # a folder that groups models, or a model that was removed
                found[name] = tuple(_below(name, objects))
        return found


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
