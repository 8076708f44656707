"""The process of one Cortex API: it runs the API's class on calls from a socket.

It runs in the project's folder and environment. It inherits the socket, and a pipe for heartbeats.
When the supervisor closes its standard input, it stops.
"""

import asyncio
import faulthandler
import gc
import logging
import os
import socket
import sys
import threading

from modelyard.cortex.assembly import build_api
from modelyard.cortex.realtime_api import RealtimeApi
from modelyard.cortex.settings import ApiSettings
from modelyard.cortex.user_class.loader import make_importable
from modelyard.domain.system_clock import SystemClock
from modelyard.inference.settings import WorkerSettings
from modelyard.local.envelopes.server import EnvelopeServer
from modelyard.local.logs import configure_logging, log_prints
from modelyard.local.options import MAX_IN_FLIGHT
from modelyard.local.processes.pulse import Pulse
from modelyard.local.threads import CallThreads

STOP_TIMEOUT_S = 2.0
MIN_PAUSE_S = 0.25


def main(descriptor: int, pulse_descriptor: int) -> None:
    """Serve until standard input ends; a heartbeat tells the supervisor that Python still runs."""
    worker = WorkerSettings.from_line(sys.stdin.buffer.readline())
    settings = ApiSettings.from_line(sys.stdin.buffer.readline())
    configure_logging(worker.name)
    log_prints()
    faulthandler.enable(sys.__stderr__ or 2)
    make_importable(settings.project)
    api = build_api(settings, worker)
    # Standard input may end while the constructor of the class runs.
    stopping = Stopping()
    api.start()
    gc.collect()
    gc.freeze()  # a full collection of these permanent objects would delay every call
    threading.Thread(target=refresh_forever, args=(api, settings.revalidate_s), daemon=True).start()
    pulse = Pulse(pulse_descriptor, SystemClock())
    asyncio.run(serve(api, socket.socket(fileno=descriptor), pulse, stopping))
    api.finish(STOP_TIMEOUT_S)
    end_process()


async def serve(
    api: RealtimeApi, listener: socket.socket, pulse: Pulse, stopping: "Stopping"
) -> None:
    """Answer calls until standard input ends, then let running ones end."""
    threads, handle = CallThreads(MAX_IN_FLIGHT), pulse.counting(api.handle)
    envelopes = EnvelopeServer(lambda request: threads.run(handle, request))
    accepting = await envelopes.listen(listener)
    pulse.start()
    await stopping.wait()
    accepting.close()
    await envelopes.finish(STOP_TIMEOUT_S)


class Stopping:
    """Notices the end of standard input. Before anything waits for it, it ends the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        threading.Thread(target=self._read, daemon=True).start()

    async def wait(self) -> None:
        """Return when standard input has ended."""
        with self._lock:
            self._loop = asyncio.get_running_loop()
        await self._ended.wait()

    def _read(self) -> None:
        sys.stdin.buffer.read()
        with self._lock:
            if self._loop is None:
                end_process()
            else:
                self._loop.call_soon_threadsafe(self._ended.set)


def end_process() -> None:
    """End at once; `sys.exit` would wait for threads that the class started."""
    logging.shutdown()
    os._exit(0)


def refresh_forever(api: RealtimeApi, every_s: float) -> None:
    """Look for changes in the repository every `every_s` seconds, also when no call arrives."""
    pause = threading.Event()
    while not pause.wait(max(every_s, MIN_PAUSE_S)):
        api.refresh()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
