import random
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from modelyard.domain.errors import PredictionError, TargetModelNotFoundError
from modelyard.domain.requests import Answer
from modelyard.domain.values import Invocation, Payload, RetryPolicy, TargetModel, Timings
from modelyard.local.prometheus_by_model import ByModel
from modelyard.local.prometheus_metrics import ProcessTotals, PrometheusMetrics
from modelyard.page.history import CallHistory

HIT = Answer(timings=Timings(predict_s=0.25))
CALLS = "modelyard_per_model_invocations_total"


class Scene:
    """A server of two workers, whose endpoint `e` has counters of two models."""

    def __init__(self, folder: Path) -> None:
        self.workers = [CallHistory(folder, f"worker-{number}", lambda: 0.0) for number in (0, 1)]
        totals = ProcessTotals(folder, "worker-0", ["e"])
        self._metrics = PrometheusMetrics(totals, ByModel(self.workers[0], 2))

    def call(self, model: str, times: int = 1, answer: Answer = HIT, worker: int = 0) -> None:
        invocation = Invocation("e", TargetModel(model), Payload(b""), RetryPolicy(True, 1), "id")
        for _ in range(times):
            self.workers[worker].note(invocation, answer, 0.3)

    def read(self) -> dict[tuple[str, str], float]:
        """Return the values of the metrics by name and model."""
        self.workers[1].write()
        return {
            (item.name, item.labels["model"]): item.value
            for family in text_string_to_metric_families(self._metrics.render().decode())
            for item in family.samples
            if "model" in item.labels
        }


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_the_most_called_models_have_counters_the_rest_share_one(scene: Scene) -> None:
    for model, times in (("a", 5), ("b", 1), ("c", 3), ("d", 2)):
        scene.call(model, times)
    scene.call("b", 3, worker=1)

    found = scene.read()

    assert {model: value for (name, model), value in found.items() if name == CALLS} == {
        "a": 5.0,
        "b": 4.0,
        "other": 5.0,
    }


def test_errors_hits_and_times_are_of_the_named_models_only(scene: Scene) -> None:
    scene.call("a", 2)
    scene.call("a", 1, Answer(error=PredictionError("no"), timings=Timings(cache_hit=True)))
    scene.call("b", 2)
    scene.call("c")

    found = scene.read()

    assert found["modelyard_per_model_errors_total", "a"] == 1.0
    assert found["modelyard_per_model_cache_hits_total", "a"] == 2.0
    assert found["modelyard_per_model_predict_seconds_total", "a"] == 0.5
    assert {name for name, model in found if model == "other"} == {CALLS}


def test_calls_of_unknown_models_are_counted_under_other(scene: Scene) -> None:
    scene.call("../etc", 3, Answer(error=TargetModelNotFoundError("no")))

    assert scene.read() == {(CALLS, "other"): 3.0}


def test_a_model_named_other_is_among_the_others(scene: Scene) -> None:
    scene.call("other", 9)
    scene.call("a", 1)

    assert scene.read()[CALLS, "other"] == 9.0


def test_the_count_of_the_others_never_decreases(scene: Scene) -> None:
    chance = random.Random(7)
    seen = [0.0]
    for _ in range(200):
        scene.call(chance.choice("abcdefg"), chance.randrange(9), worker=chance.randrange(2))
        seen.append(scene.read().get((CALLS, "other"), 0.0))

    assert seen == sorted(seen)
