"""One local inference worker: it reads settings from standard input and calls from a socket.

It inherits the socket. When the server closes the worker's standard input, the worker stops.
"""

import gc
import logging
import os
import socket
import sys
import threading

from modelyard.domain.system_clock import SystemClock
from modelyard.inference.assembly import build_service
from modelyard.inference.settings import WorkerSettings
from modelyard.local.logs import configure_logging
from modelyard.local.workers.worker_pulse import Pulse
from modelyard.local.workers.worker_server import WorkerServer

STOP_TIMEOUT_S = 2.0


def main(descriptor: int, pulse_descriptor: int) -> None:
    """Serve until standard input ends; a heartbeat tells the server that Python still runs."""
    settings = WorkerSettings.from_line(sys.stdin.buffer.readline())
    configure_logging(settings.name)
    service, pulse = build_service(settings), Pulse(pulse_descriptor, SystemClock())
    server = WorkerServer(socket.socket(fileno=descriptor), pulse.counting(service.handle))
    gc.collect()
    gc.freeze()  # a full collection of these permanent objects would delay every call
    threading.Thread(target=server.serve, daemon=True).start()
    pulse.start()
    sys.stdin.buffer.read()
    server.stop(STOP_TIMEOUT_S)
    logging.shutdown()
    os._exit(0)  # not by sys.exit: it would wait for threads that models started


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
