"""One local inference worker: settings on standard input, calls on the inherited socket.

Standard input stays open as long as the server lives; its end is the order to stop.
"""

import gc
import logging
import os
import socket
import sys
import threading

from modelyard.adapters.buffered_metrics import BufferedMetrics
from modelyard.adapters.repositories import open_repository
from modelyard.adapters.system_clock import SystemClock
from modelyard.adapters.worker_pulse import Pulse
from modelyard.adapters.worker_server import WorkerServer
from modelyard.bootstrap.logs import configure_logging
from modelyard.cache.artifact_cache import ArtifactCache
from modelyard.cache.model_cache import ModelCache
from modelyard.cache.tree import CacheTree
from modelyard.inference import InferenceService
from modelyard.ports import Predictor
from modelyard.predictors import registry
from modelyard.residence.loading import Loader
from modelyard.residence.residence import Residence
from modelyard.worker_settings import WorkerSettings

STOP_TIMEOUT_S = 2.0


def build_service(settings: WorkerSettings) -> InferenceService:
    """Return the inference service of one worker."""
    clock = SystemClock()
    metrics = BufferedMetrics()
    models: ModelCache[Predictor] = ModelCache(settings.memory_bytes, clock, metrics)
    tree = CacheTree(settings.artifacts_dir, settings.disk_bytes, machine=settings.machine)
    artifacts = ArtifactCache(tree, clock, prepare=registry.prepare)
    loader = Loader(
        models=models,
        artifacts=artifacts,
        open_repository=open_repository,
        plan_load=registry.plan_load,
        load=registry.load,
        metrics=metrics,
        clock=clock,
    )
    residence = Residence(
        models=models,
        artifacts=artifacts,
        open_repository=open_repository,
        loader=loader,
        clock=clock,
    )
    return InferenceService(residence, metrics, clock, predict_slots=settings.predict_slots)


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
