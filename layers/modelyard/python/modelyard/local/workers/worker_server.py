"""The worker's side of the local socket: answers the calls of all connections."""

import logging
import socket
import threading
import time
from collections.abc import Callable

from modelyard.domain.envelope import Frame, parse_request, render_answer
from modelyard.domain.errors import ModelyardError
from modelyard.domain.messages import INTERNAL_ERROR
from modelyard.domain.requests import Answer, Invoke, Request
from modelyard.local.workers.worker_channel import WorkerChannel

logger = logging.getLogger(__name__)

SHORT_S = 0.001
"""A call that takes no longer is short: its thread answers the model's next call itself."""
_MAX_REMEMBERED = 10_000
_FAILED = Answer(error=ModelyardError(INTERNAL_ERROR))


class WorkerServer:
    """Answers envelope requests on a listening socket until `stop`."""

    def __init__(self, listener: socket.socket, handle: Callable[[Request], Answer]) -> None:
        self._listener = listener
        self._handle = handle
        self._short = ShortCalls()
        self._idle = threading.Condition()
        self._busy = 0
        self._stopping = False

    def serve(self) -> None:
        """Accept connections until the listener is shut down."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            WorkerChannel(connection, self._begin).start()

    def stop(self, timeout_s: float) -> None:
        """Accept no more calls and wait up to `timeout_s` for running calls."""
        with self._idle:
            self._stopping = True
            self._idle.wait_for(lambda: self._busy == 0, timeout_s)

    def _begin(self, frame: Frame) -> "_ServedCall | None":
        with self._idle:
            if self._stopping:
                return None
            self._busy += 1
        return _ServedCall(frame, self._handle, self._short, self._end)

    def _end(self) -> None:
        with self._idle:
            self._busy -= 1
            if self._stopping:
                self._idle.notify_all()


class ShortCalls:
    """Remembers the models whose last call was short."""

    def __init__(self) -> None:
        self._short: set[tuple[str, str]] = set()

    def has(self, request: Request) -> bool:
        """Return whether a request is expected to be short."""
        return isinstance(request, Invoke) and _model_of(request) in self._short

    def learn(self, request: Request, took_s: float) -> None:
        """Record how long a request took."""
        if not isinstance(request, Invoke):
            return
        if took_s > SHORT_S:
            self._short.discard(_model_of(request))
        elif len(self._short) < _MAX_REMEMBERED:
            self._short.add(_model_of(request))
        else:
            self._short.clear()


class _ServedCall:
    """One request and its answer."""

    def __init__(
        self,
        frame: Frame,
        handle: Callable[[Request], Answer],
        short: ShortCalls,
        end: Callable[[], None],
    ) -> None:
        self.end = end
        self._handle = handle
        self._short = short
        self._request: Request | None = None
        try:
            self._request = parse_request(frame)
        except Exception:
            logger.exception("call cannot be read")
        self.is_short = self._request is not None and short.has(self._request)

    def answer(self) -> Frame:
        """Return the answer; never raises."""
        if self._request is None:
            return render_answer(_FAILED)
        began_at = time.perf_counter()
        try:
            return render_answer(self._handle(self._request))
        except Exception:
            logger.exception("call failed")
            return render_answer(_FAILED)
        finally:
            self._short.learn(self._request, time.perf_counter() - began_at)


def _model_of(request: Invoke) -> tuple[str, str]:
    return request.source.endpoint_name, request.source.target_model
