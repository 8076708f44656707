"""All works that can be measured, and all systems."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from benchmarks.kinds import Kind
from benchmarks.peers.bentoml import BentoML
from benchmarks.peers.fastapi import FastApi, FastApiTwoWorkers
from benchmarks.peers.kserve import KServe
from benchmarks.peers.litserve import LitServe
from benchmarks.peers.mlserver import MLServer
from benchmarks.peers.modelyard import Modelyard
from benchmarks.peers.multi_model_server import MultiModelServer
from benchmarks.peers.ray_serve import RayServe
from benchmarks.peers.system import System
from benchmarks.peers.triton import Triton
from benchmarks.works.cold import CASES, Cold
from benchmarks.works.disturbance import Disturbance
from benchmarks.works.doors import Doors
from benchmarks.works.lambda_path import ColdStart, HandlerOverhead, RouterOverhead
from benchmarks.works.many import Many
from benchmarks.works.memory import Memory
from benchmarks.works.stall import Stall
from benchmarks.works.warm import Warm
from benchmarks.works.work import Work

WORKS: tuple[Work, ...] = (
    *map(Warm, (Kind.XGBOOST, Kind.SKLEARN, Kind.ONNX, Kind.ONNX_100MB)),
    Doors(),
    Stall(),
    *map(Cold, CASES),
    Disturbance(),
    *map(Many, (500, 2_000)),
    Memory(),
    ColdStart(),
    HandlerOverhead(),
    RouterOverhead(),
)
SYSTEMS: tuple[System, ...] = (
    FastApi(),
    Modelyard(),
    FastApiTwoWorkers(),
    Triton(),
    MultiModelServer(),
    KServe(),
    MLServer(),
    LitServe(),
    BentoML(),
    RayServe(),
)
NOT_RUN = {
    "torchserve": "no longer maintained, and its workers need PyTorch, some gigabytes of it",
    "triton's own backends": "its container image only; the wheel has the Python backend alone",
    "tensorflow_serving": "no package for pip",
    "modelmesh": "archived; wants Kubernetes",
}
"""Known peers that are not measured, with the reason."""
ALWAYS = ("fastapi", "modelyard")
"""Systems that every run measures, because the others are compared with them."""


def chosen_works(patterns: Sequence[str]) -> list[Work]:
    """Return the works whose name matches one of the patterns; without patterns, all.

    Raises:
        ValueError: a pattern matches no work.
    """
    for pattern in patterns:
        if not any(_fits(work.name, [pattern]) for work in WORKS):
            names = ", ".join(work.name for work in WORKS)
            raise ValueError(f"no work is called {pattern!r}; there are: {names}")
    return [work for work in WORKS if _fits(work.name, patterns)]


def chosen_systems(names: Sequence[str]) -> list[System]:
    """Return the named systems and those of every run; without names, all."""
    return [system for system in SYSTEMS if system.name in ALWAYS or _fits(system.name, names)]


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
