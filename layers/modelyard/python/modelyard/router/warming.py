"""Load the models of warm messages, each on the shard that serves it."""

import logging
from collections.abc import Callable

from modelyard.domain.endpoints import EndpointTable
from modelyard.domain.errors import InvalidRequestError, ModelyardError
from modelyard.domain.ports import Metrics, WarmDeliveries
from modelyard.domain.requests import InferenceBackend, Load
from modelyard.domain.values import WarmDelivery
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
        queue: WarmDeliveries,
        metrics: Metrics,
        window_of: Callable[[str], float] = lambda _: LOAD_WINDOW_S,
    ) -> None:
        """`window_of` returns how long a load of an endpoint may take, in seconds."""
        self._metrics = metrics
        self._window_of = window_of
        self._endpoints = endpoints
        self._backend_of = backend_of
        self._queue = queue

    async def warm(self, delivery: WarmDelivery) -> ModelyardError | None:
        """Load the model; return the error if that failed. Call `settle` with the result."""
        request = delivery.request
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

    def settle(self, delivery: WarmDelivery, error: ModelyardError | None) -> bool:
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
