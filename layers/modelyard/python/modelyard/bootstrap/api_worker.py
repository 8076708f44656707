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

from modelyard.adapters.buffered_metrics import BufferedMetrics
from modelyard.adapters.repositories import open_repository
from modelyard.adapters.system_clock import SystemClock
from modelyard.adapters.versioned_repository import VersionedRepository
from modelyard.adapters.worker_pulse import Pulse
from modelyard.adapters.worker_server import WorkerServer
from modelyard.bootstrap.logs import configure_logging, log_prints
from modelyard.cache.artifact_cache import ArtifactCache
from modelyard.cache.model_cache import ModelCache
from modelyard.cache.tree import CacheTree
from modelyard.clients.cortex_clients import client_for
from modelyard.clients.loading import ModelLoading
from modelyard.clients.model_index import ModelIndex
from modelyard.clients.models import ClientModels
from modelyard.ports import Resident
from modelyard.predictors.user_class.loader import make_importable
from modelyard.predictors.user_class.project_class import ProjectClass
from modelyard.projects import ApiModels
from modelyard.realtime_api import RealtimeApi
from modelyard.residence.loading import Loader
from modelyard.residence.residence import Residence
from modelyard.types import ModelSource, TargetModel
from modelyard.worker_settings import ApiWorkerSettings

STOP_TIMEOUT_S = 2.0
LEAST_PAUSE_S = 0.25


def build_api(settings: ApiWorkerSettings) -> RealtimeApi:
    """Return the API of one worker; `start` makes its class."""
    project, clock, metrics = settings.project, SystemClock(), BufferedMetrics()
    configured = project.models or ApiModels()
    repository = VersionedRepository(configured, project.type, settings.repository, open_repository)
    limits = settings.worker
    models: ModelCache[Resident] = ModelCache(
        limits.memory_bytes, clock, metrics, limit_models=configured.cache_size
    )
    tree = CacheTree(
        settings.artifacts_dir,
        limits.disk_bytes,
        limit_entries=configured.disk_cache_size,
        machine=limits.machine,
    )
    artifacts = ArtifactCache(tree, clock)
    user_class = ProjectClass(project)
    loading = ModelLoading(project.type, user_class.load_model, configured.signature_key_of)
    loader = Loader(
        models=models,
        artifacts=artifacts,
        open_repository=lambda _: repository,
        plan_load=loading.plan_load,
        load=loading.load,
        metrics=metrics,
        clock=clock,
    )
    residence = Residence(
        models=models,
        artifacts=artifacts,
        open_repository=lambda _: repository,
        loader=loader,
        clock=clock,
        failure_ttl_s=0.0,  # Cortex tries a model that failed again at the next call
    )

    def source_of(target: TargetModel) -> ModelSource:
        return ModelSource(
            project.name,
            target,
            settings.repository,
            allow_code=True,
            revalidate_s=settings.revalidate_s,
        )

    index = ModelIndex(
        configured,
        repository,
        clock,
        revalidate_s=settings.revalidate_s,
        on_gone=lambda target: residence.unload(source_of(target)),
    )
    client_models = ClientModels(
        index,
        residence,
        source_of,
        clock,
        window_s=settings.window_s,
        cache_size=configured.cache_size,
    )

    def make_class() -> ProjectClass:
        loading.require_framework()
        is_caching = configured.cache_size is not None
        has_models = project.models is not None
        user_class.make(
            client_for(project.type, client_models, caching=is_caching) if has_models else {}
        )
        return user_class

    return RealtimeApi(
        make_class=make_class,
        models=client_models if project.models is not None else None,
        residence=residence,
        samples=metrics,
        clock=clock,
        threads=project.threads,
    )


def main(descriptor: int, pulse_descriptor: int) -> None:
    """Serve until standard input ends; tell by a pulse that Python still runs."""
    settings = ApiWorkerSettings.from_line(sys.stdin.buffer.readline())
    configure_logging(settings.worker.name)
    log_prints()
    faulthandler.enable(sys.__stderr__ or 2)
    make_importable(settings.project)
    api = build_api(settings)
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
