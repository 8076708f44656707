"""Load the models of warm messages, each on the shard that serves it."""

import asyncio
import logging
from collections.abc import Callable

from modelyard.domain.endpoints import EndpointTable
from modelyard.domain.errors import InvalidRequestError, ModelyardError
from modelyard.domain.messages import INTERNAL_ERROR
from modelyard.domain.ports import Deliveries, Metrics
from modelyard.domain.requests import InferenceBackend, Load
from modelyard.domain.values import WarmDelivery, WarmRequest
from modelyard.router.rendezvous import rank_shards

logger = logging.getLogger(__name__)

LOAD_WINDOW_S = 360.0
RETRY_DELAY_S = 5.0


class Warmer:
    """Processes deliveries of warm messages; several may be processed concurrently."""

    def __init__(
        self,
        *,
        endpoints: EndpointTable,
        backend_of: Callable[[str], InferenceBackend],
        queue: Deliveries[WarmRequest],
        metrics: Metrics,
        window_of: Callable[[str], float] = lambda _: LOAD_WINDOW_S,
    ) -> None:
        """`window_of` returns how long a load of an endpoint may take, in seconds."""
        self._metrics = metrics
        self._window_of = window_of
        self._endpoints = endpoints
        self._backend_of = backend_of
        self._queue = queue

    async def process(self, delivery: WarmDelivery) -> bool:
        """Load the model; delete the message or retry it. Return whether it was deleted.

        Raises:
            DependencyError: the queue cannot be used; the message is delivered again.
        """
        try:
            error = await self._load(delivery.request)
        except Exception:
            logger.exception("warming failed", extra={"target": delivery.request.target_model})
            error = ModelyardError(INTERNAL_ERROR)
        return await asyncio.to_thread(self._settle, delivery, error)

    async def _load(self, request: WarmRequest) -> ModelyardError | None:
        try:
            source = self._endpoints.find(request.endpoint_name).source(request.target_model)
            backend = self._backend_of(source.endpoint_name)
            shard = rank_shards(source.model_id, backend.shards)[0]
            window_s = self._window_of(source.endpoint_name)
            answer = await backend.call(shard, Load(source, window_s), window_s)
        except TimeoutError:
            return ModelyardError(f"not loaded after {window_s:g} s")
        except ModelyardError as error:
            return error
        self._metrics.record(*answer.samples)
        return answer.error

    def _settle(self, delivery: WarmDelivery, error: ModelyardError | None) -> bool:
        """Delete a message if its model was loaded or can never be loaded; else retry it later.

        Return whether the message was deleted.
        """
        fields = {"endpoint": delivery.request.endpoint_name, "attempt": delivery.attempt}
        fields["target"] = delivery.request.target_model
        if error is None:
            logger.info("warmed", extra=fields)
            self._queue.delete(delivery)
        elif isinstance(error, InvalidRequestError):
            logger.warning("nothing to warm", extra=fields | {"reason": error.message})
            self._queue.delete(delivery)
        else:
            logger.warning("warming failed", extra=fields | {"reason": error.message})
            self._queue.retry(delivery, RETRY_DELAY_S * delivery.attempt)
            return False
        return True
