"""Loads the models of one worker when it starts, and unloads those that are idle."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from modelyard.domain.endpoints import Endpoint, EndpointTable, Preload
from modelyard.domain.errors import ModelyardError
from modelyard.domain.values import ModelId, TargetModel
from modelyard.inference.service import InferenceService
from modelyard.router.router import Router

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
"""How often idle models are looked for."""
WRITE_EVERY = 30
"""After so many looks the loaded models are written, in case that the server is killed."""


class Preloading:
    """Follows the residence rules of the endpoints, for the models that belong to this worker."""

    def __init__(
        self,
        endpoints: EndpointTable,
        list_models: Callable[[Endpoint], Iterable[TargetModel]],
        belongs_here: Callable[[ModelId], bool],
        file: Path,
    ) -> None:
        """`file` is what this worker writes; what other workers wrote is beside it."""
        self._endpoints = endpoints
        self._list_models = list_models
        self._belongs_here = belongs_here
        self._file = file

    async def run(self, router: Router, service: InferenceService) -> None:
        """Load the models that are wanted, then unload idle ones, until this is cancelled."""
        for model_id in await asyncio.to_thread(self.wanted):
            try:
                await router.load(model_id.endpoint_name, model_id.target_model, fresh=False)
            except ModelyardError as error:  # one that takes long is loaded by the warm queue
                told = {"model": str(model_id), "reason": error.message}
                logger.warning("not preloaded", extra=told)
        looks = 0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if any(endpoint.residence for endpoint in self._endpoints):
                await asyncio.to_thread(service.unload_idle)
                looks += 1
                if looks % WRITE_EVERY == 0:
                    self.remember(service.loaded())

    def wanted(self) -> list[ModelId]:
        """Return the models of this worker to load at the start, the most important first."""
        found = dict.fromkeys((*self._last(), *self._all()))
        return [model_id for model_id in found if self._belongs_here(model_id)]

    def remember(self, loaded: Iterable[ModelId]) -> None:
        """Write which models are loaded, for the next start; the one used last is at the end."""
        told = [
            (model_id.endpoint_name, model_id.target_model)
            for model_id in loaded
            if self._preload_of(model_id) is Preload.LAST
        ]
        if not told and not self._file.exists():
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial = self._file.with_suffix(".partial")
            partial.write_text(json.dumps(told[::-1]))
            partial.replace(self._file)
        except OSError as error:
            logger.warning("loaded models not written", extra={"reason": error.strerror})

    def _last(self) -> Iterator[ModelId]:
        """Yield what the workers wrote, the model used last first for each of them."""
        for file in sorted(self._file.parent.glob(f"{self._file.stem.rpartition('-')[0]}-*.json")):
            try:
                for endpoint_name, target_model in json.loads(file.read_text()):
                    model_id = ModelId(str(endpoint_name), TargetModel(str(target_model)))
                    if self._preload_of(model_id) is Preload.LAST:
                        yield model_id
            except (OSError, TypeError, ValueError) as error:
                logger.warning("loaded models not read", extra={"reason": str(error)})

    def _all(self) -> Iterator[ModelId]:
        for endpoint in self._endpoints:
            if any(rule.preload is Preload.ALL for rule in endpoint.residence):
                try:
                    names = list(self._list_models(endpoint))
                except ModelyardError as error:
                    told = {"endpoint": endpoint.name, "reason": error.message}
                    logger.warning("not preloaded", extra=told)
                    continue
                for name in names:
                    if endpoint.residence_of(name).preload is Preload.ALL:
                        yield ModelId(endpoint.name, name)

    def _preload_of(self, model_id: ModelId) -> Preload:
        endpoint = self._endpoints.get(model_id.endpoint_name)
        return (
            Preload.NONE
            if endpoint is None
            else endpoint.residence_of(model_id.target_model).preload
        )
