"""Lambda's Runtime API, version 2018-06-01: a runtime gets invocations and sends answers."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from modelyard.local.emulation.browsers import refusing_browsers
from modelyard.local.emulation.listener import Listener

PREFIX = "/2018-06-01/runtime"


@dataclass(frozen=True, slots=True)
class Work:
    """One invocation as a runtime gets it."""

    request_id: str
    payload: bytes
    deadline_ms: int
    """Milliseconds since the epoch."""
    function_arn: str
    trace_id: str
    tenant_id: str | None = None
    client_context: str | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the response to `next`."""
        named = {
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Deadline-Ms": str(self.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": self.function_arn,
            "Lambda-Runtime-Trace-Id": self.trace_id,
            "Lambda-Runtime-Aws-Tenant-Id": self.tenant_id,
            "Lambda-Runtime-Client-Context": self.client_context,
        }
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Asked:
    """The runtime has initialised, or finished an invocation, and asks for the next one."""


@dataclass(frozen=True, slots=True)
class Reported:
    """The runtime sent an answer or an error, of an invocation or of its own start."""

    payload: bytes
    is_error: bool


@dataclass(frozen=True, slots=True)
class Exited:
    """The runtime's process exited; the code is negative if a signal ended it."""

    code: int


Signal = Asked | Reported | Exited


class RuntimeApi:
    """The Runtime API for one runtime. Each runtime has an address of its own as its identity.

    `signals` has what the runtime does, in order.
    """

    def __init__(self) -> None:
        self.signals: asyncio.Queue[Signal] = asyncio.Queue()
        self._work: asyncio.Queue[Work | None] = asyncio.Queue()
        self._listener = Listener(
            refusing_browsers(
                Starlette(
                    routes=[
                        Route(f"{PREFIX}/invocation/next", self._next, methods=["GET"]),
                        Route(
                            f"{PREFIX}/invocation/{{id}}/response", self._response, methods=["POST"]
                        ),
                        Route(f"{PREFIX}/invocation/{{id}}/error", self._error, methods=["POST"]),
                        Route(f"{PREFIX}/init/error", self._error, methods=["POST"]),
                        Route(f"{PREFIX}/restore/next", self._restored, methods=["GET"]),
                        Route(f"{PREFIX}/restore/error", self._error, methods=["POST"]),
                    ]
                )
            )
        )

    async def start(self) -> str:
        """Start to listen and return the address for AWS_LAMBDA_RUNTIME_API."""
        await self._listener.__aenter__()
        return self._listener.address

    async def close(self) -> None:
        """Stop listening, after the runtime has ended."""
        self._work.put_nowait(None)
        await self._listener.close()

    def give(self, work: Work) -> None:
        """Give the runtime an invocation, as the response to its request for one."""
        self._work.put_nowait(work)

    async def _next(self, request: Request) -> Response:
        self.signals.put_nowait(Asked())
        work = await self._work.get()
        if work is None:
            return JSONResponse({"errorType": "Runtime.Closed"}, 410)
        # awslambdaric's native client crashes when this answer has no Content-Type.
        return Response(work.payload, headers=work.headers, media_type="application/json")

    async def _restored(self, request: Request) -> Response:
        """Report immediately that the snapshot was restored; the emulation takes none."""
        return Response()

    async def _response(self, request: Request) -> Response:
        return await self._report(request, is_error=False)

    async def _error(self, request: Request) -> Response:
        return await self._report(request, is_error=True)

    async def _report(self, request: Request, *, is_error: bool) -> Response:
        self.signals.put_nowait(Reported(await request.body(), is_error))
        return JSONResponse({"status": "OK"}, 202)
