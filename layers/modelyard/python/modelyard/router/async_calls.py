"""Process asynchronous invocations: call the model, write the prediction or the error."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from modelyard.domain.async_call import HIDDEN_S, AsyncCall, with_body
from modelyard.domain.endpoints import AsyncPlaces, ServerLocation
from modelyard.domain.errors import (
    CapacityError,
    DependencyError,
    ModelNotReadyError,
    ModelyardError,
)
from modelyard.domain.messages import INTERNAL_ERROR
from modelyard.domain.ports import Clock, Deliveries
from modelyard.domain.values import Delivery, Invocation, Prediction
from modelyard.repositories.objects import Objects
from modelyard.repositories.topics import Topics, topic_region
from modelyard.router.router import Router
from modelyard.sagemaker.async_invocations import input_place, render_notification
from modelyard.sagemaker.responses import ErrorContext, render_error

logger = logging.getLogger(__name__)

MAX_INPUT_BYTES = 64 << 20
_STAYS_HIDDEN_FOR_S = 10.0
"""How often a message that is processed is hidden for another `HIDDEN_S`."""
_RETRY_DELAY_S = 5.0
_LONGEST_DELAY_S = 60.0


class AsyncInvoker:
    """Processes deliveries of asynchronous invocations; several may be processed concurrently.

    A call is repeated until it has a prediction, fails because of the request or the model, or
    expires. Its message is deleted after the result was written and a topic was told.
    """

    def __init__(
        self,
        *,
        router: Router,
        queue: Deliveries[AsyncCall],
        objects: Objects,
        topics: Topics,
        location: ServerLocation,
        clock: Clock,
        longest_s_of: Callable[[str], float] = lambda _: math.inf,
    ) -> None:
        """`longest_s_of` returns how long a call of an endpoint may take at most, in seconds."""
        self._longest_s_of = longest_s_of
        self._router = router
        self._queue = queue
        self._objects = objects
        self._topics = topics
        self._location = location
        self._clock = clock

    async def process(self, delivery: Delivery[AsyncCall]) -> bool:
        """Make the call and write its result; return whether the message was deleted.

        Raises:
            DependencyError: the failure cannot be written, or the queue cannot be used. The
                message is delivered again.
        """
        call = delivery.request
        result: Prediction | ModelyardError
        try:
            async with self._hidden(delivery):
                result = await self._answer(call)
        except (CapacityError, DependencyError, ModelNotReadyError) as error:
            delay_s = min(_RETRY_DELAY_S * delivery.attempt, _LONGEST_DELAY_S)
            if self._clock.time() + delay_s < call.expires_at:
                await asyncio.to_thread(self._queue.retry, delivery, delay_s)
                return False
            result = await self._fail(call, error)
        except ModelyardError as error:
            result = await self._fail(call, error)
        except Exception:
            logger.exception("asynchronous invocation failed", extra=_fields(call))
            result = await self._fail(call, ModelyardError(INTERNAL_ERROR))
        await self._notify(call, result)
        await asyncio.to_thread(self._queue.delete, delivery)
        return True

    async def _answer(self, call: AsyncCall) -> Prediction:
        if self._clock.time() >= call.expires_at:
            raise CapacityError("The request expired on the queue: RequestTTLSeconds are over.")
        invocation = await self._complete(call, self._places(call))
        timeout_s = min(call.timeout_s, self._longest_s_of(invocation.endpoint_name))
        prediction = await self._router.invoke(invocation, timeout_s)
        await self._write(call.output_location, prediction)
        return prediction

    def _places(self, call: AsyncCall) -> AsyncPlaces:
        """Return the places of a call's endpoint.

        Raises:
            DependencyError: no such endpoint is served here. Another server that shares the queue
                may have it, or this one after its config has changed.
        """
        name = call.invocation.endpoint_name
        endpoint = self._router.endpoints.get(name)
        places = None if endpoint is None else endpoint.async_places
        if places is None or not call.output_location.startswith(places.output):
            raise DependencyError(f"endpoint {name} with this output is not served at present")
        return places

    async def _complete(self, call: AsyncCall, places: AsyncPlaces) -> Invocation:
        """Return the invocation with its body."""
        if not call.input_location:
            return call.invocation
        place = input_place(places, call.input_location)
        body = await asyncio.to_thread(
            self._objects.read, call.input_location, place, MAX_INPUT_BYTES
        )
        return with_body(call.invocation, body)

    async def _fail(self, call: AsyncCall, error: ModelyardError) -> ModelyardError:
        reason = {"reason": error.message}
        logger.warning("asynchronous invocation failed", extra=_fields(call) | reason)
        context = ErrorContext(call.invocation.endpoint_name, self._location)
        body = render_error(error, context).body
        await self._write(call.failure_location, Prediction(body, "application/json"))
        return error

    async def _notify(self, call: AsyncCall, result: Prediction | ModelyardError) -> None:
        """Tell the topic of the endpoint. The result stands, so a failure is only logged."""
        endpoint = self._router.endpoints.get(call.invocation.endpoint_name)
        places = None if endpoint is None else endpoint.async_places
        if places is None:
            return
        is_error = isinstance(result, ModelyardError)
        topic = places.error_topic if is_error else places.success_topic
        if topic is None:
            return
        message = render_notification(
            call, result, region=topic_region(topic), now=self._clock.time()
        )
        try:
            await asyncio.to_thread(self._topics.publish, topic, message)
        except DependencyError as error:
            reason = {"reason": error.message}
            logger.warning("notification not published", extra=_fields(call) | reason)

    async def _write(self, uri: str, content: Prediction) -> None:
        await asyncio.to_thread(self._objects.write, uri, content.body, content.content_type)

    @asynccontextmanager
    async def _hidden(self, delivery: Delivery[AsyncCall]) -> AsyncIterator[None]:
        """Keep the message hidden from others; show it at once if this process stops."""
        hiding = asyncio.create_task(self._keep_hidden(delivery))
        try:
            yield
        except asyncio.CancelledError:
            self._queue.hide(delivery, 0)
            raise
        finally:
            hiding.cancel()

    async def _keep_hidden(self, delivery: Delivery[AsyncCall]) -> None:
        while True:
            try:
                await asyncio.to_thread(self._queue.hide, delivery, HIDDEN_S)
            except DependencyError as error:  # a second delivery is possible, and harmless
                logger.warning("message not hidden", extra={"reason": error.message})
            await asyncio.sleep(_STAYS_HIDDEN_FOR_S)


def _fields(call: AsyncCall) -> dict[str, str]:
    invocation = call.invocation
    return {
        "endpoint": invocation.endpoint_name,
        "target": invocation.target_model,
        "request_id": invocation.request_id,
    }
