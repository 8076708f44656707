"""Workloads to put a price on."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from modelyard.aws.cost.bills import Cache, Workload

EXAMPLE = Workload(
    requests=1_000_000,
    models=512,
    model_bytes=20 << 20,
    miss_rate=0.05,
    duration_s=0.05,
    load_s=2.0,
    memory_bytes=2 << 30,
)


def like_the_example(**changes: Any) -> Workload:
    return replace(EXAMPLE, **changes)


def workloads(**fixed: Any) -> st.SearchStrategy[Workload]:
    given: dict[str, st.SearchStrategy[Any]] = {
        "requests": st.integers(0, 10**9),
        "models": st.integers(0, 10_000),
        "model_bytes": st.integers(1, 1 << 30),
        "miss_rate": st.floats(0, 1),
        "duration_s": st.floats(0, 60),
        "load_s": st.floats(0, 300),
        "memory_bytes": st.integers(512 << 20, 10240 << 20),
        "cache": st.sampled_from(Cache),
        "shards": st.integers(1, 32),
    }
    return st.builds(Workload, **given | {name: st.just(value) for name, value in fixed.items()})
