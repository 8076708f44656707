"""The route of SageMaker's InvokeEndpointAsync: it puts the call on a queue."""

import asyncio

from starlette.requests import Request

from modelyard.domain.async_call import AsyncCall
from modelyard.domain.endpoints import ServerLocation
from modelyard.domain.errors import ModelyardError, UnsupportedOperationError
from modelyard.domain.ports import Clock, MessageQueue
from modelyard.domain.values import HttpResponse
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web import content_encoding
from modelyard.router.web.authentication import principal_of
from modelyard.router.web.exchange import body_of
from modelyard.sagemaker.async_invocations import (
    MAX_ASYNC_BODY_BYTES,
    parse_async_call,
    render_accepted,
)
from modelyard.sagemaker.responses import REQUEST_ID, ErrorContext, render_error

AsyncQueue = MessageQueue[AsyncCall]


class AsyncInvocations:
    """`POST /endpoints/{endpoint}/async-invocations`."""

    def __init__(
        self,
        router: Router,
        catalog: Catalog,
        queue: AsyncQueue | None,
        location: ServerLocation,
        clock: Clock,
    ) -> None:
        """Without a queue, every call is refused."""
        self._router = router
        self._catalog = catalog
        self._queue = queue
        self._location = location
        self._clock = clock

    async def accept(self, request: Request) -> HttpResponse:
        """Return the response: 202 after the call was stored on the queue."""
        try:
            return await self._accept(request)
        except ModelyardError as error:
            name = request.path_params["endpoint"]
            return render_error(error, ErrorContext(name, self._location))

    async def _accept(self, request: Request) -> HttpResponse:
        headers = dict(request.headers)
        body = await body_of(request, MAX_ASYNC_BODY_BYTES)
        if content_encoding.is_encoded(headers):
            limit = MAX_ASYNC_BODY_BYTES
            body = await asyncio.to_thread(content_encoding.decoded, headers, body, limit)
        endpoint = self._router.endpoints.find(request.path_params["endpoint"])
        if self._queue is None:
            raise UnsupportedOperationError(
                "This server takes no asynchronous invocations: call invocations instead."
            )
        now, request_id = self._clock.time(), request.scope[REQUEST_ID]
        call = parse_async_call(endpoint, headers, body, request_id=request_id, now=now)
        target_model = call.invocation.target_model
        await self._catalog.authorizer.authorize(endpoint, principal_of(request), target_model)
        await asyncio.to_thread(self._queue.send, call)
        return render_accepted(call)
