"""One local inference worker: settings on standard input, calls on the inherited socket.

Standard input stays open as long as the server lives; its end is the order to stop.
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
    """Serve until standard input ends; tell by a pulse that Python still runs."""
    settings = WorkerSettings.from_line(sys.stdin.buffer.readline())
    configure_logging(settings.name)
    service, pulse = build_service(settings), Pulse(pulse_descriptor, SystemClock())
    server = WorkerServer(socket.socket(fileno=descriptor), pulse.counting(service.handle))
    gc.collect()
    gc.freeze()  # a full collection over what never dies would stall every call
    threading.Thread(target=server.serve, daemon=True).start()
    pulse.start()
    sys.stdin.buffer.read()
    server.stop(STOP_TIMEOUT_S)
    logging.shutdown()
    os._exit(0)  # threads of models do not keep the process alive


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
