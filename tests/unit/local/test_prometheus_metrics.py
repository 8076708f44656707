import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelyard.domain.values import Sample
from modelyard.local.prometheus_metrics import PrometheusMetrics

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


def read(metrics: PrometheusMetrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        item.name: item.value
        for family in families
        for item in family.samples
        if item.labels == LABELS
    }


@pytest.mark.parametrize("name", INVOCATION_METRICS)
def test_metric_has_sagemakers_name_with_sum_and_count(name: str) -> None:
    metrics = PrometheusMetrics()
    metrics.record(Sample(name, 2.0, "housing"))
    metrics.record(Sample(name, 3.0, "housing"))

    assert read(metrics) == {f"{name}_sum": 5.0, f"{name}_count": 2.0}


def test_average_of_cache_hits_is_their_ratio() -> None:
    metrics = PrometheusMetrics()
    for hit in (0.0, 1.0, 1.0, 1.0):
        metrics.record(Sample("ModelCacheHit", hit, "housing"))

    values = read(metrics)

    assert values["ModelCacheHit_sum"] / values["ModelCacheHit_count"] == 0.75


def test_gauges_show_the_newest_value() -> None:
    metrics = PrometheusMetrics()
    metrics.set_loaded("housing", 3, 300)
    metrics.set_loaded("housing", 2, 200)

    assert read(metrics) == {"LoadedModelCount": 2.0, "LoadedModelBytes": 200.0}


def test_endpoints_are_told_apart() -> None:
    metrics = PrometheusMetrics()
    metrics.record(Sample("Invocations", 1.0, "housing"))
    metrics.record(Sample("Invocations", 1.0, "churn"))

    assert read(metrics)["Invocations_sum"] == 1.0
    assert b'EndpointName="churn"' in metrics.render()


def test_model_is_a_property_and_no_label() -> None:
    metrics = PrometheusMetrics()
    metrics.record(Sample("ModelLoadingTime", 1.0, "housing", {"TargetModel": "m.onnx"}))

    assert b"m.onnx" not in metrics.render()


def test_unknown_sample_is_ignored() -> None:
    metrics = PrometheusMetrics()
    metrics.record(Sample("FutureMetric", 1.0, "housing"))

    assert b"FutureMetric" not in metrics.render()


def test_two_servers_in_one_process_do_not_clash() -> None:
    one, other = PrometheusMetrics(), PrometheusMetrics()
    one.record(Sample("Invocations", 1.0, "housing"))

    assert read(other) == {}
