"""The worker's side of the local socket: one thread per connection, one call at a time on each.

The router keeps as many connections as it has calls in flight, so a slow load or a predict that
releases the interpreter lock never holds up another call, and no call changes threads.
"""

import logging
import socket
import threading
from collections.abc import Callable

from modelyard.adapters.worker_frames import pack, read_frame
from modelyard.errors import ModelyardError
from modelyard.wire.envelope import Answer, Frame, Request, parse_request, render_answer

logger = logging.getLogger(__name__)


class WorkerServer:
    """Serves envelope requests on a listening socket until `stop`."""

    def __init__(self, listener: socket.socket, handle: Callable[[Request], Answer]) -> None:
        self._listener = listener
        self._handle = handle
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
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def stop(self, timeout_s: float) -> None:
        """Take no more calls and wait for those that are running."""
        with self._idle:
            self._stopping = True
            self._idle.wait_for(lambda: self._busy == 0, timeout_s)

    def _serve_connection(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            while (frame := read_frame(stream)) is not None:
                with self._idle:
                    if self._stopping:
                        return
                    self._busy += 1
                try:
                    connection.sendall(pack(self._answer(frame)))
                except (BrokenPipeError, ConnectionResetError):
                    return  # the router gave up on this call; what it began is done
                finally:
                    with self._idle:
                        self._busy -= 1
                        self._idle.notify_all()

    def _answer(self, frame: Frame) -> Frame:
        try:
            return render_answer(self._handle(parse_request(frame)))
        except Exception:
            logger.exception("call failed")
            return render_answer(Answer(error=ModelyardError("internal error, see the log")))
