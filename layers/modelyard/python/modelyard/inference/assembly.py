"""Wires the inference service of a worker for SageMaker endpoints."""

from modelyard.domain.ports import Predictor
from modelyard.domain.system_clock import SystemClock
from modelyard.inference.buffered_metrics import BufferedMetrics
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.disk.tree import CacheTree
from modelyard.inference.guests.guest_loading import GuestLoading
from modelyard.inference.residence.loading import Loader
from modelyard.inference.residence.model_cache import ModelCache
from modelyard.inference.residence.residence import Residence
from modelyard.inference.service import InferenceService
from modelyard.inference.settings import WorkerSettings
from modelyard.repositories.opening import open_repository
from modelyard.runtimes import registry


def build_service(
    settings: WorkerSettings, loading: GuestLoading | None = None
) -> InferenceService:
    """Return the inference service of one worker; `loading` loads its models."""
    loading = loading or GuestLoading(settings.memory_bytes)
    clock = SystemClock()
    metrics = BufferedMetrics()
    models: ModelCache[Predictor] = ModelCache(settings.memory_bytes, clock, metrics)
    tree = CacheTree(settings.artifacts_dir, settings.disk_bytes, machine=settings.machine)
    artifacts = ArtifactCache(
        tree, clock, prepare=registry.prepare, is_rewritten=registry.is_rewritten
    )
    loader = Loader(
        models=models,
        artifacts=artifacts,
        open_repository=open_repository,
        plan_load=loading.plan_load,
        load=loading.load,
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
    return InferenceService(residence, metrics, clock, settings.processors)
