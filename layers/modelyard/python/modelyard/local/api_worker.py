"""The worker process of one Cortex API: it runs the API's class on calls from a socket.

It runs in the project's folder and environment and inherits the socket. When the server closes the
worker's standard input, the worker stops.
"""

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
from modelyard.local.logs import configure_logging, log_prints
from modelyard.local.workers.worker_pulse import Pulse
from modelyard.local.workers.worker_server import WorkerServer

STOP_TIMEOUT_S = 2.0
MIN_PAUSE_S = 0.25


def main(descriptor: int, pulse_descriptor: int) -> None:
    """Serve until standard input ends; a heartbeat tells the server that Python still runs."""
    worker = WorkerSettings.from_line(sys.stdin.buffer.readline())
    settings = ApiSettings.from_line(sys.stdin.buffer.readline())
    configure_logging(worker.name)
    log_prints()
    faulthandler.enable(sys.__stderr__ or 2)
    make_importable(settings.project)
    api = build_api(settings, worker)
    pulse = Pulse(pulse_descriptor, SystemClock())
    server = WorkerServer(socket.socket(fileno=descriptor), pulse.counting(api.handle))
    # Standard input may end while the constructor of the class runs.
    threading.Thread(target=stop_at_end_of_input, args=(server, api), daemon=True).start()
    api.start()
    pulse.start()
    gc.collect()
    gc.freeze()  # a full collection of these permanent objects would delay every call
    threading.Thread(target=refresh_forever, args=(api, settings.revalidate_s), daemon=True).start()
    server.serve()


def stop_at_end_of_input(server: WorkerServer, api: RealtimeApi) -> None:
    """End the process when standard input ends, after running calls and each `post_predict`."""
    sys.stdin.buffer.read()
    server.stop(STOP_TIMEOUT_S)
    api.finish(STOP_TIMEOUT_S)
    logging.shutdown()
    os._exit(0)  # not by sys.exit: it would wait for threads that the class started


def refresh_forever(api: RealtimeApi, every_s: float) -> None:
    """Look for changes in the repository every `every_s` seconds, also when no call arrives."""
    pause = threading.Event()
    while not pause.wait(max(every_s, MIN_PAUSE_S)):
        api.refresh()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
