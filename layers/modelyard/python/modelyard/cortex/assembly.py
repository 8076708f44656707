"""Assemble the worker process of one Cortex API."""

from modelyard.cortex.clients.cortex_clients import client_for
from modelyard.cortex.clients.loading import ModelLoading
from modelyard.cortex.clients.model_index import ModelIndex
from modelyard.cortex.clients.models import ClientModels
from modelyard.cortex.project import ApiModels
from modelyard.cortex.realtime_api import RealtimeApi
from modelyard.cortex.settings import ApiSettings
from modelyard.cortex.user_class.project_class import ProjectClass
from modelyard.cortex.versioned_repository import VersionedRepository
from modelyard.domain.ports import Resident
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.values import ModelSource, TargetModel
from modelyard.inference.buffered_metrics import BufferedMetrics
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.disk.tree import CacheTree
from modelyard.inference.residence.loading import Loader
from modelyard.inference.residence.model_cache import ModelCache
from modelyard.inference.residence.residence import Residence
from modelyard.inference.settings import WorkerSettings
from modelyard.repositories.opening import open_repository


def build_api(settings: ApiSettings, worker: WorkerSettings) -> RealtimeApi:
    """Return the API of one worker; its `start` constructs the class."""
    project, clock, metrics = settings.project, SystemClock(), BufferedMetrics()
    configured = project.models or ApiModels()
    repository = VersionedRepository(configured, project.type, settings.repository, open_repository)
    models: ModelCache[Resident] = ModelCache(
        worker.memory_bytes, clock, metrics, limit_models=configured.cache_size
    )
    tree = CacheTree(
        settings.artifacts_dir(worker),
        worker.disk_bytes,
        limit_entries=configured.disk_cache_size,
        machine=worker.machine,
    )
    artifacts = ArtifactCache(tree, clock)
    user_class = ProjectClass(project)
    loading = ModelLoading(project.type, user_class.load_model, configured.signature_key_of)
    loader = Loader(
        models=models,
        artifacts=artifacts,
        open_repository=lambda _: repository,
        plan_load=loading.plan_load,
        load=lambda plan, *_: loading.load(plan),
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

    def construct_class() -> ProjectClass:
        loading.require_framework()
        is_caching = configured.cache_size is not None
        has_models = project.models is not None
        user_class.construct(
            client_for(project.type, client_models, caching=is_caching) if has_models else {}
        )
        return user_class

    return RealtimeApi(
        construct_class=construct_class,
        models=client_models if project.models is not None else None,
        residence=residence,
        metrics=metrics,
        clock=clock,
        threads=project.threads,
    )
