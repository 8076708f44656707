"""List, show, load and unload: the verbs of SageMaker's container contract."""

from typing import Any

import httpx
import pytest

from tests.functional import artifacts
from tests.functional.served import Served, over_each_repository
from tests.serving import body, unknown_endpoint

MODELS = "/endpoints/safe/models"


def load(served: Served, target: str, endpoint: str = "safe") -> httpx.Response:
    return served.server.http.post(f"/endpoints/{endpoint}/models", json={"model_name": target})


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    members = answer.json()
    assert answer.headers["x-amzn-errortype"] == members["__type"]
    return answer.status_code, members["__type"], members["Message"]


@over_each_repository
def test_endpoints_are_listed_with_their_repositories(served: Served) -> None:
    endpoints = served.server.http.get("/endpoints").json()["endpoints"]

    names = {endpoint["endpointName"] for endpoint in endpoints}
    assert names == {"safe", "code", "brisk", "brisk-429", "impatient", "forgetful"}
    assert {endpoint["modelDataUrl"][:5] for endpoint in endpoints} <= {"file:", "s3://"}


@over_each_repository
def test_a_model_is_shown_where_it_is(served: Served) -> None:
    target = served.publish(artifacts.house())

    before = served.server.http.get(f"{MODELS}/{target}").json()
    served.invoke(target)
    after = served.server.http.get(f"{MODELS}/{target}").json()

    assert (before["modelName"], before["status"]) == (target, "NOT_LOADED")
    assert before["modelUrl"].endswith(f"/{target}")
    assert before["repositoryBytes"] == len(artifacts.house())
    assert after["status"] == "LOADED"
    assert after["memoryBytes"] > 0
    assert after["diskBytes"] > len(artifacts.booster())
    assert after["lastUsedAt"] > 0
    assert after["version"]


@over_each_repository
def test_a_listing_comes_in_pages_by_name(served: Served) -> None:
    for number in range(5):
        served.repository.put(f"paged/{number}.tar.gz", artifacts.house())
    token, pages = "paged/", []

    while token and token.startswith("paged/"):
        query: dict[str, Any] = {"limit": 2, "next_page_token": token}
        page = served.server.http.get(MODELS, params=query).json()
        pages.append([model["modelName"] for model in page["models"]])
        token = page.get("nextPageToken", "")

    assert [len(page) for page in pages[:2]] == [2, 2]
    listed = [name for page in pages for name in page if name.startswith("paged/")]
    assert listed == [f"paged/{number}.tar.gz" for number in range(5)]


def test_the_last_page_has_no_token(served: Served) -> None:
    served.publish(artifacts.house())

    page = served.server.http.get(MODELS, params={"limit": 1000}).json()

    assert "nextPageToken" not in page
    assert page["models"] == sorted(page["models"], key=lambda model: model["modelName"])


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "many", ""])
def test_an_impossible_page_size_is_a_validation_error(served: Served, limit: str) -> None:
    answer = served.server.http.get(MODELS, params={"limit": limit})

    assert refusal(answer) == (400, "ValidationError", "limit must be a number from 1 to 1000")


def test_a_model_is_loaded_once(served: Served) -> None:
    target = served.publish(artifacts.house())

    first, second = load(served, target), load(served, target)

    assert (first.status_code, first.json()) == (200, {"status": f'Model "{target}" loaded'})
    assert refusal(second) == (409, "ValidationError", f"Model {target} is already loaded.")


def test_a_loaded_model_is_a_cache_hit(served: Served) -> None:
    target = served.publish(artifacts.house())
    load(served, target)
    hits = served.server.metric("ModelCacheHit_sum", "safe")

    served.invoke(target)

    assert served.server.metric("ModelCacheHit_sum", "safe") == hits + 1


@over_each_repository
def test_an_unloaded_model_stays_on_disk_and_comes_back(served: Served) -> None:
    target = served.publish(artifacts.house())
    served.invoke(target)
    downloads = served.server.metric("ModelDownloadingTime_count", "safe")

    answer = served.server.http.delete(f"{MODELS}/{target}")

    assert answer.json() == {"status": f'Model "{target}" unloaded'}
    assert served.server.models("safe")[target]["status"] == "STAGED"
    assert body(served.invoke(target)) == [5.0]
    assert served.server.metric("ModelDownloadingTime_count", "safe") == downloads


def test_unloading_what_is_not_loaded_is_404(served: Served) -> None:
    target = served.publish(artifacts.house())

    status, kind, message = refusal(served.server.http.delete(f"{MODELS}/{target}"))

    assert (status, kind) == (404, "ValidationError")
    assert f"{target} is not loaded" in message


@over_each_repository
def test_loading_and_showing_what_is_not_there_is_404(served: Served) -> None:
    loaded = refusal(load(served, "Atlantis.tar.gz"))
    shown = refusal(served.server.http.get(f"{MODELS}/Atlantis.tar.gz"))

    assert loaded[:2] == shown[:2] == (404, "ValidationError")
    assert "Failed to download model data" in loaded[2]


def test_loading_what_cannot_be_loaded_says_why(served: Served) -> None:
    target = served.publish(b"not an archive")

    status, kind, message = refusal(load(served, target))

    assert (status, kind) == (424, "ModelError")
    assert "not a gzip archive" in message


@pytest.mark.parametrize("verb", ["GET", "POST", "DELETE"])
def test_an_unknown_endpoint_is_404(served: Served, verb: str) -> None:
    path = "/endpoints/nowhere/models" + ("/m.tar.gz" if verb == "DELETE" else "")
    named = {"model_name": "m.tar.gz"} if verb == "POST" else None

    answer = served.server.http.request(verb, path, json=named)

    assert refusal(answer) == (404, "ValidationError", unknown_endpoint("nowhere"))


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"model_name": 7}', b"\xff", b'{"model_name": null}', b"[" * 9999],
    ids=["empty", "cut", "array", "no name", "number", "not UTF-8", "null", "deep"],
)
def test_a_load_without_a_name_is_a_validation_error(served: Served, content: bytes) -> None:
    status, kind, message = refusal(served.server.http.post(MODELS, content=content))

    assert (status, kind) == (400, "ValidationError")
    assert '{"model_name": "..."}' in message


@pytest.mark.parametrize("name", ["../x", "a//b", "größe", "x" * 1025, ""])
def test_a_load_of_an_impossible_name_is_a_validation_error(served: Served, name: str) -> None:
    status, kind, message = refusal(load(served, name))

    assert (status, kind) == (400, "ValidationError")
    assert "'targetModel' failed to satisfy constraint" in message


NAMES = [
    *("Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors"),
    *("ModelCacheHit", "ModelLatency", "OverheadLatency", "ModelLoadingWaitTime"),
    *("ModelDownloadingTime", "ModelLoadingTime", "ModelUnloadingTime"),
]


def test_metrics_carry_sagemakers_names(served: Served) -> None:
    target = served.publish(artifacts.house())
    for _ in range(3):
        served.invoke(target)
    served.server.http.delete(f"{MODELS}/{target}")

    counts = {name: served.server.metric(f"{name}_count", "safe") for name in NAMES}

    assert [name for name, count in counts.items() if count == 0] == []


@pytest.mark.local_door("a deployment has no gauges: environments come and go unseen")
def test_loaded_models_are_counted_and_weighed(served: Served) -> None:
    target = served.publish(artifacts.house())
    served.invoke(target)
    count, weight = (
        served.server.metric(f"LoadedModel{what}", "safe") for what in ("Count", "Bytes")
    )
    memory_bytes = served.server.models("safe")[target]["memoryBytes"]

    served.server.http.delete(f"{MODELS}/{target}")

    assert served.server.metric("LoadedModelCount", "safe") == count - 1
    assert served.server.metric("LoadedModelBytes", "safe") == weight - memory_bytes


def test_an_unload_by_request_is_measured_too(served: Served) -> None:
    target = served.publish(artifacts.house())
    served.invoke(target)
    before = served.server.metric("ModelUnloadingTime_count", "safe")

    served.server.http.delete(f"{MODELS}/{target}")

    assert served.server.metric("ModelUnloadingTime_count", "safe") == before + 1


def test_errors_are_counted_by_whose_fault_they_are(served: Served) -> None:
    broken = served.publish(b"not an archive")
    names = [f"Invocation{what}_sum" for what in ("4XXErrors", "5XXErrors", "ModelErrors")]
    before = [served.server.metric(name, "safe") for name in names]

    for target in ("Atlantis.tar.gz", broken):
        with pytest.raises(served.sdk.exceptions.ClientError):
            served.invoke(target)

    after = [served.server.metric(name, "safe") for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [2, 0, 1]


def test_a_load_by_request_is_measured_too(served: Served) -> None:
    target = served.publish(artifacts.house())
    names = ("ModelDownloadingTime_count", "ModelLoadingTime_count")
    before = [served.server.metric(name, "safe") for name in names]

    load(served, target)

    after = [served.server.metric(name, "safe") for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1]


@pytest.mark.local_door("API Gateway refuses such a body itself, with 413")
def test_a_load_is_not_given_a_body_without_end(served: Served) -> None:
    answer = served.server.http.post(MODELS, content=b" " * (7 << 20) + b"{}")

    status, kind, message = refusal(answer)
    assert (status, kind) == (400, "ValidationError")
    assert "less than or equal to 6291456" in message


def test_the_cache_hit_metric_counts_one_miss_and_then_hits(served: Served) -> None:
    target = served.publish(artifacts.house())
    names = ("ModelCacheHit_sum", "ModelCacheHit_count", "ModelLoadingWaitTime_count")
    before = [served.server.metric(name, "safe") for name in names]

    for _ in range(4):
        served.invoke(target)

    after = [served.server.metric(name, "safe") for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [3, 4, 1]
    assert 0 < after[0] / after[1] < 1


def test_latencies_are_microseconds(served: Served) -> None:
    target = served.publish(artifacts.script(SLEEPY))
    served.invoke(target, endpoint="code")
    before = served.server.metric("ModelLatency_sum", "code")

    served.invoke(target, endpoint="code")

    assert 50_000 <= served.server.metric("ModelLatency_sum", "code") - before < 5_000_000


SLEEPY = """
    import time

    def model_fn(model_dir):
        return None

    def transform_fn(model, data, content_type, accept):
        time.sleep(0.05)
        return "1"
"""
