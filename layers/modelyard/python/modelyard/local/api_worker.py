"""The worker of one Cortex API: its class, its models, calls on the inherited socket.

It runs in the project's folder, with the project's environment. Standard input stays open as long
as the server lives; its end is the order to stop.
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
LEAST_PAUSE_S = 0.25


def main(descriptor: int, pulse_descriptor: int) -> None:
    """Serve until standard input ends; tell by a pulse that Python still runs."""
    worker = WorkerSettings.from_line(sys.stdin.buffer.readline())
    settings = ApiSettings.from_line(sys.stdin.buffer.readline())
    configure_logging(worker.name)
    log_prints()
    faulthandler.enable(sys.__stderr__ or 2)
    make_importable(settings.project)
    api = build_api(settings, worker)
    pulse = Pulse(pulse_descriptor, SystemClock())
    server = WorkerServer(socket.socket(fileno=descriptor), pulse.counting(api.handle))
    # The order to stop may come while the class is made.
    threading.Thread(target=stop_when_told, args=(server, api), daemon=True).start()
    api.start()
    pulse.start()
    gc.collect()
    gc.freeze()  # a full collection over what never dies would stall every call
    threading.Thread(target=keep_fresh, args=(api, settings.revalidate_s), daemon=True).start()
    server.serve()


def stop_when_told(server: WorkerServer, api: RealtimeApi) -> None:
    """End the process with standard input, after the calls and what they left to be done."""
    sys.stdin.buffer.read()
    server.stop(STOP_TIMEOUT_S)
    api.finish(STOP_TIMEOUT_S)
    logging.shutdown()
    os._exit(0)  # threads of the class do not keep the process alive


def keep_fresh(api: RealtimeApi, every_s: float) -> None:
    """Notice for ever what is gone from the repository, also when nobody calls."""
    pause = threading.Event()
    while not pause.wait(max(every_s, LEAST_PAUSE_S)):
        api.refresh()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
