"""A call whose output arrives in parts: the shard makes each one when it is asked for."""

import logging
from contextlib import suppress
from dataclasses import replace

from modelyard.domain import messages
from modelyard.domain.errors import CapacityError, ModelError, ModelyardError
from modelyard.domain.requests import Answer, InferenceBackend, Invoke, NextPart

logger = logging.getLogger(__name__)


async def call_in_parts(
    backend: InferenceBackend, shard: int, request: Invoke, timeout_s: float
) -> Answer:
    """Return the shard's answer; its prediction has the further parts of the output.

    Raises:
        As `InferenceBackend.call`.
    """
    parts = FurtherParts(backend, shard, request, timeout_s)
    try:
        answer = await backend.call(shard, request, timeout_s)
    except CapacityError:
        raise
    except BaseException:  # also if the client has left: the model need not go on
        await parts.aclose()
        raise
    if answer.prediction is None or not answer.has_more:
        return answer
    return replace(answer, prediction=replace(answer.prediction, more=parts))


class FurtherParts:
    """The parts after the first one (`Parts`)."""

    def __init__(
        self, backend: InferenceBackend, shard: int, request: Invoke, timeout_s: float
    ) -> None:
        self._backend = backend
        self._shard = shard
        self._request = request
        self._timeout_s = timeout_s
        self._has_more = True

    def __aiter__(self) -> "FurtherParts":
        return self

    async def __anext__(self) -> bytes:
        """Return the next part."""
        if not self._has_more:
            raise StopAsyncIteration
        try:
            answer = await self._ask(is_abandoned=False)
        except TimeoutError:
            answer = Answer(error=ModelError(messages.MODEL_TIMED_OUT, original_status=0))
            await self.aclose()
        except ModelyardError as error:
            answer = Answer(error=error)
        self._has_more = answer.has_more
        if answer.error is not None:
            logger.warning(
                "output not completed",
                extra={
                    "endpoint": self._request.source.endpoint_name,
                    "target": self._request.source.target_model,
                    "reason": answer.error.message,
                    "request_id": self._request.request_id,
                },
            )
            raise answer.error
        assert answer.prediction is not None
        return answer.prediction.body

    async def aclose(self) -> None:
        """Tell the model to stop, unless it has made all parts."""
        if self._has_more:
            self._has_more = False
            with suppress(ModelyardError, TimeoutError):
                await self._ask(is_abandoned=True)

    async def _ask(self, *, is_abandoned: bool) -> Answer:
        request = NextPart(self._request.source, self._request.request_id, is_abandoned)
        return await self._backend.call(self._shard, request, self._timeout_s)
