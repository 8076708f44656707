from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelyard.domain.metrics import PER_INVOCATION, TIMES
from modelyard.domain.values import Sample
from modelyard.local.prometheus_metrics import ProcessTotals, PrometheusMetrics

ENDPOINTS = ["housing", "churn"]
LABELS = {"EndpointName": "housing", "VariantName": "AllTraffic"}
INVOCATION_METRICS = [
    "Invocations",
    "Invocation4XXErrors",
    "Invocation5XXErrors",
    "InvocationModelErrors",
    "NotReady",
    "ModelCacheHit",
    "ModelLatency",
    "OverheadLatency",
    "ModelLoadingWaitTime",
    "ModelDownloadingTime",
    "ModelLoadingTime",
    "ModelUnloadingTime",
]


@pytest.fixture
def totals(tmp_path: Path) -> ProcessTotals:
    return ProcessTotals(tmp_path, "worker-0", ENDPOINTS)


def rendered(totals: ProcessTotals) -> str:
    return PrometheusMetrics(totals).render().decode()


def read(text: str) -> dict[str, float]:
    families = text_string_to_metric_families(text)
    return {
        item.name: item.value
        for family in families
        for item in family.samples
        if item.labels == LABELS
    }


@pytest.mark.parametrize("name", INVOCATION_METRICS)
def test_metric_has_sagemakers_name_with_sum_and_count(name: str, totals: ProcessTotals) -> None:
    totals.record(Sample(name, 2.0, "housing"))
    totals.record(Sample(name, 3.0, "housing"))

    assert read(rendered(totals)) == {f"{name}_sum": 5.0, f"{name}_count": 2.0}


def test_times_are_a_histogram_of_seconds(totals: ProcessTotals) -> None:
    for microseconds in (90.0, 100.0, 101.0, 2_000_000.0, 400_000_000.0):
        totals.record(Sample("ModelLatency", microseconds, "housing"))

    [family] = [
        family
        for family in text_string_to_metric_families(rendered(totals))
        if family.name == "modelyard_model_latency_seconds"
    ]
    found = {
        item.labels.get("le", item.name.rpartition("_")[2]): item.value for item in family.samples
    }
    assert family.type == "histogram"
    assert [found[bound] for bound in ("0.0001", "0.00025", "1.0", "2.5", "300.0", "+Inf")] == [
        2.0,
        3.0,
        3.0,
        4.0,
        4.0,
        5.0,
    ]
    assert (found["count"], found["sum"]) == (5.0, pytest.approx(402.000291))


def test_counts_are_counters(totals: ProcessTotals) -> None:
    for failed in (0.0, 1.0, 1.0):
        totals.record(Sample("Invocation4XXErrors", failed, "housing"))

    found = rendered(totals)

    assert 'modelyard_invocation_4xx_errors_total{endpoint="housing"} 2.0' in found
    assert "modelyard_model_latency_seconds_bucket" not in found  # nothing was observed


def test_names_follow_the_conventions_of_prometheus() -> None:
    assert [one.prometheus for one in PER_INVOCATION if not one.prometheus.endswith("_total")] == []
    assert [one.prometheus for one in TIMES if not one.prometheus.endswith("_seconds")] == []


def test_average_of_cache_hits_is_their_ratio(totals: ProcessTotals) -> None:
    for hit in (0.0, 1.0, 1.0, 1.0):
        totals.record(Sample("ModelCacheHit", hit, "housing"))

    values = read(rendered(totals))

    assert values["ModelCacheHit_sum"] / values["ModelCacheHit_count"] == 0.75


def test_gauges_show_the_newest_value(totals: ProcessTotals) -> None:
    metrics = PrometheusMetrics(totals)
    metrics.set_loaded("housing", 3, 300)
    metrics.set_loaded("housing", 2, 200)

    values = read(metrics.render().decode())

    assert values == {"LoadedModelCount": 2.0, "LoadedModelBytes": 200.0}


def test_endpoints_are_told_apart(totals: ProcessTotals) -> None:
    totals.record(Sample("Invocations", 1.0, "housing"))
    totals.record(Sample("Invocations", 1.0, "churn"))

    assert read(rendered(totals))["Invocations_sum"] == 1.0
    assert 'EndpointName="churn"' in rendered(totals)


def test_model_is_a_property_and_no_label(totals: ProcessTotals) -> None:
    totals.record(Sample("ModelLoadingTime", 1.0, "housing"))

    assert "m.onnx" not in rendered(totals)


def test_unknown_sample_is_ignored(totals: ProcessTotals) -> None:
    totals.record(Sample("FutureMetric", 1.0, "housing"))

    assert "FutureMetric" not in rendered(totals)


def test_every_process_shows_what_all_have_observed(tmp_path: Path) -> None:
    one, other = (ProcessTotals(tmp_path, name, ENDPOINTS) for name in ("worker-0", "worker-1"))
    one.record(Sample("Invocations", 1.0, "housing"))
    other.record(Sample("Invocations", 1.0, "housing"))

    assert read(rendered(one)) == read(rendered(other))
    assert read(rendered(one))["Invocations_count"] == 2.0


def test_process_of_the_same_name_continues_where_another_ended(tmp_path: Path) -> None:
    ProcessTotals(tmp_path, "worker-0", ENDPOINTS).record(Sample("Invocations", 1.0, "housing"))

    replacement = ProcessTotals(tmp_path, "worker-0", ENDPOINTS)
    replacement.record(Sample("Invocations", 1.0, "housing"))

    assert read(rendered(replacement))["Invocations_count"] == 2.0


def test_two_servers_do_not_share_their_totals(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    one, other = (ProcessTotals(folder, "worker-0", ENDPOINTS) for folder in folders)
    one.record(Sample("Invocations", 1.0, "housing"))

    assert read(rendered(other)) == {}
