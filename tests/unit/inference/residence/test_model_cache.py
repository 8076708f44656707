"""Models in memory: limits, leases, and the order of eviction."""

import threading
from collections import OrderedDict
from dataclasses import replace

import pytest

from benchmarks.load import zipf
from modelyard.domain.errors import CapacityError, ModelTooLargeError
from modelyard.domain.values import (
    ModelArtifact,
    ModelId,
    ModelSource,
    Payload,
    Prediction,
    TargetModel,
)
from modelyard.inference.residence.model_cache import LoadedModel, ModelCache
from tests.fakes.clock import FakeClock
from tests.fakes.metrics import RecordingMetrics


class Weight:
    """A predictor that only has a size."""

    needs_files = False

    def __init__(self, memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes
        self.is_closed = False

    def predict(self, payload: Payload) -> Prediction:
        return Prediction(payload.body)

    def close(self) -> None:
        self.is_closed = True


def source(name: str) -> ModelSource:
    return ModelSource("e", TargetModel(name), "memory:")


def identity(name: str) -> ModelId:
    return source(name).model_id


def load(cache: ModelCache, name: str, memory_bytes: int = 40, tag: str = "1") -> LoadedModel:
    room = cache.reserve(identity(name), memory_bytes, timeout_s=0)
    artifact = ModelArtifact("memory:", name, tag, 1)
    model = LoadedModel(identity(name), artifact, Weight(memory_bytes), rules=source(name).rules)
    cache.put(model, room)
    cache.release(model)
    return model


@pytest.fixture
def metrics() -> RecordingMetrics:
    return RecordingMetrics()


@pytest.fixture
def cache(metrics: RecordingMetrics) -> ModelCache:
    return ModelCache(100, FakeClock(), metrics)


def names(cache: ModelCache) -> list[str]:
    return [model.model_id.target_model for model in cache]


def test_least_recently_leased_model_is_evicted_first(cache: ModelCache) -> None:
    load(cache, "a")
    load(cache, "b")
    leased = cache.lease(source("a"))
    assert leased is not None
    cache.release(leased)

    load(cache, "c")

    assert names(cache) == ["a", "c"]
    assert cache.used_bytes == 80


def call(cache: ModelCache, name: str, memory_bytes: int = 40) -> bool:
    """Call a model as `Residence` does; returns whether it was loaded."""
    model = cache.lease(source(name))
    if is_hit := model is not None:
        cache.release(model)
    else:
        load(cache, name, memory_bytes)
        leased = cache.lease(source(name))
        assert leased is not None
        cache.release(leased)
    return is_hit


def test_model_with_the_fewest_calls_is_evicted_first(cache: ModelCache) -> None:
    for name in ("a", "a", "b", "c"):
        call(cache, name)

    assert names(cache) == ["a", "c"]


def test_with_a_limit_in_models_the_calls_do_not_count(pair: ModelCache) -> None:
    for name in ("a", "a", "b", "c"):
        call(pair, name, 1)

    assert names(pair) == ["b", "c"]


@pytest.mark.parametrize("exponent", [0.8, 1.1])
def test_popular_models_stay_while_many_others_are_called(exponent: float) -> None:
    """By at least five points more calls find their model than with the least recently used."""
    places, calls = 20, zipf.draw(200, 4000, exponent, seed=1)
    cache: ModelCache = ModelCache(places, FakeClock(), RecordingMetrics())
    recent: OrderedDict[int, None] = OrderedDict()

    hits = sum(call(cache, str(number), 1) for number in calls)

    of_recent = 0
    for number in calls:
        of_recent += number in recent
        recent[number] = None
        recent.move_to_end(number)
        if len(recent) > places:
            recent.popitem(last=False)
    assert hits >= of_recent + 0.05 * len(calls)


def test_models_that_are_called_again_and_again_soon_stay(cache: ModelCache) -> None:
    """What was popular before gives way, however often it was called."""
    for name in ("a", "b") * 500:
        call(cache, name)

    hits = [call(cache, name) for name in ("c", "d") * 40]

    assert all(hits[-20:])


def test_eviction_closes_the_model_and_tells_the_metrics(
    cache: ModelCache, metrics: RecordingMetrics
) -> None:
    victim = load(cache, "a", 80)

    load(cache, "b", 80)

    assert isinstance(victim.resident, Weight)
    assert victim.resident.is_closed
    assert len(metrics.values("ModelUnloadingTime")) == 1


def test_leased_models_are_never_evicted(cache: ModelCache) -> None:
    load(cache, "a", 80)
    cache.lease(source("a"))

    with pytest.raises(CapacityError):
        load(cache, "b", 80)

    assert names(cache) == ["a"]


def test_model_larger_than_the_limit_evicts_no_other(cache: ModelCache) -> None:
    load(cache, "a")

    with pytest.raises(ModelTooLargeError, match=r"about 101 bytes .* one worker is 100"):
        load(cache, "b", 101)

    assert names(cache) == ["a"]


def test_growing_reservation_counts_what_it_holds(cache: ModelCache) -> None:
    room = cache.reserve(identity("a"), 60, timeout_s=0)

    with pytest.raises(ModelTooLargeError):
        cache.grow(room, 101, timeout_s=0)
    cache.grow(room, 100, timeout_s=0)

    assert cache.used_bytes == 100


def test_cancelled_reservation_frees_its_memory(cache: ModelCache) -> None:
    room = cache.reserve(identity("a"), 60, timeout_s=0)

    cache.cancel(room)

    assert (cache.used_bytes, cache.used_places) == (0, 0)


def test_old_version_answers_until_the_new_one_is_put(cache: ModelCache) -> None:
    old = load(cache, "a", 40, "1")
    cache.reserve(identity("a"), 40, timeout_s=0)

    assert cache.find(identity("a")) is old


def test_replaced_version_closes_when_its_last_call_ends(cache: ModelCache) -> None:
    old = load(cache, "a", 40, "1")
    cache.lease(source("a"))
    new = load(cache, "a", 40, "2")
    assert isinstance(old.resident, Weight)

    assert cache.find(identity("a")) is new
    assert not old.resident.is_closed
    cache.release(old)
    assert old.resident.is_closed
    assert cache.used_bytes == 40


def test_old_version_is_retired_when_both_can_never_fit(cache: ModelCache) -> None:
    old = load(cache, "a", 60, "1")

    load(cache, "a", 60, "2")

    assert isinstance(old.resident, Weight)
    assert old.resident.is_closed
    assert cache.used_bytes == 60


def test_old_version_of_the_new_model_is_evicted_last(cache: ModelCache) -> None:
    load(cache, "a", 40, "1")
    load(cache, "b", 40)

    cache.reserve(identity("a"), 40, timeout_s=0)

    assert names(cache) == ["a"]


def test_reservation_waits_for_a_running_call(metrics: RecordingMetrics) -> None:
    cache = ModelCache(100, FakeClock(), metrics)
    load(cache, "a", 80)
    leased = cache.lease(source("a"))
    assert leased is not None
    waiter = threading.Thread(
        target=cache.reserve, args=(identity("b"), 80), kwargs={"timeout_s": 30}
    )

    waiter.start()
    cache.release(leased)
    waiter.join(30)

    assert not waiter.is_alive()
    assert names(cache) == []


def test_waiting_reservation_gets_the_place_of_a_model_that_is_never_leased(
    metrics: RecordingMetrics,
) -> None:
    cache: ModelCache = ModelCache(100, FakeClock(), metrics, limit_models=1)
    room = cache.reserve(identity("a"), timeout_s=0)
    waits = threading.Event()
    waiter = threading.Thread(
        target=lambda: (waits.set(), cache.reserve(identity("b"), timeout_s=30))
    )

    waiter.start()
    waits.wait(30)
    model = LoadedModel(
        identity("a"), ModelArtifact("m:", "a", "1", 1), Weight(1), rules=source("a").rules
    )
    cache.put(model, room)
    cache.release(model)
    waiter.join(10)

    assert not waiter.is_alive()
    assert names(cache) == []


def test_unload_of_a_leased_model_waits_for_its_call(cache: ModelCache) -> None:
    model = load(cache, "a")
    cache.lease(source("a"))
    assert isinstance(model.resident, Weight)

    assert cache.unload(identity("a"))
    assert cache.lease(source("a")) is None
    assert not model.resident.is_closed
    cache.release(model)
    assert model.resident.is_closed


@pytest.fixture
def pair(metrics: RecordingMetrics) -> ModelCache:
    """A cache limited to two models of any size."""
    return ModelCache(1000, FakeClock(), metrics, limit_models=2)


def test_limit_of_models_holds_while_the_next_one_is_loaded(pair: ModelCache) -> None:
    load(pair, "a")
    load(pair, "b")

    pair.reserve(identity("c"), timeout_s=0)

    assert names(pair) == ["b"]
    assert pair.used_places == 2


def test_leased_models_keep_their_places(pair: ModelCache) -> None:
    for name in ("a", "b"):
        load(pair, name)
        pair.lease(source(name))

    with pytest.raises(CapacityError, match="2 models"):
        pair.reserve(identity("c"), timeout_s=0)

    assert names(pair) == ["a", "b"]


def test_old_version_stays_while_there_is_a_place_for_the_new_one(pair: ModelCache) -> None:
    old = load(pair, "a", tag="1")
    load(pair, "b")

    pair.reserve(identity("a"), timeout_s=0)

    assert pair.find(identity("a")) is old
    assert pair.find(identity("b")) is None


def test_old_version_is_unloaded_first_when_one_model_is_allowed(metrics: RecordingMetrics) -> None:
    cache: ModelCache = ModelCache(1000, FakeClock(), metrics, limit_models=1)
    old = load(cache, "a", tag="1")

    new = load(cache, "a", tag="2")

    assert old.is_retired
    assert cache.find(identity("a")) is new
    assert cache.used_places == 1


def test_unload_of_a_model_that_is_not_loaded_returns_false(cache: ModelCache) -> None:
    assert not cache.unload(identity("a"))


class Stubborn(Weight):
    """A model that fails to close."""

    def close(self) -> None:
        raise RuntimeError("not now")


def test_model_that_fails_to_close_frees_its_memory(cache: ModelCache) -> None:
    room = cache.reserve(identity("a"), 80, timeout_s=0)
    artifact = ModelArtifact("memory:", "a", "1", 1)
    model = LoadedModel(identity("a"), artifact, Stubborn(80), rules=source("a").rules)
    cache.put(model, room)
    cache.release(model)

    load(cache, "b", 80)

    assert names(cache) == ["b"]
    assert cache.used_bytes == 80


def test_model_that_grew_evicts_idle_ones(cache: ModelCache) -> None:
    load(cache, "idle")
    grown = load(cache, "grown")
    assert cache.lease(source("grown")) is grown

    grown.resident = Weight(70)
    cache.measure(grown)

    assert names(cache) == ["grown"]
    assert cache.used_bytes == 70
    assert grown.residence(0).memory_bytes == 70


def test_model_that_shrank_makes_room(cache: ModelCache) -> None:
    shrunk = load(cache, "shrunk", 90)

    shrunk.resident = Weight(0)
    cache.measure(shrunk)

    load(cache, "other", 100)
    assert cache.used_bytes == 100


def call_by(cache: ModelCache, name: str, **rules: bool | float) -> None:
    leased = cache.lease(replace(source(name), **rules))
    assert leased is not None
    cache.release(leased)


def test_a_pinned_model_is_not_evicted(cache: ModelCache) -> None:
    load(cache, "pinned")
    call_by(cache, "pinned", is_pinned=True)
    load(cache, "other")

    load(cache, "new")

    assert names(cache) == ["pinned", "new"]


def test_memory_full_of_pinned_models_is_said(cache: ModelCache) -> None:
    load(cache, "pinned", 80)
    call_by(cache, "pinned", is_pinned=True)

    with pytest.raises(CapacityError, match="in use by running calls and models with keep_loaded"):
        load(cache, "new")

    call_by(cache, "pinned")  # the rule was taken back
    load(cache, "new")
    assert names(cache) == ["new"]


def test_a_pinned_model_makes_room_for_its_new_version(cache: ModelCache) -> None:
    load(cache, "pinned", 80)
    call_by(cache, "pinned", is_pinned=True)

    load(cache, "pinned", 80, tag="2")

    assert [model.artifact.tag for model in cache] == ["2"]


def test_a_model_that_is_not_called_is_unloaded(metrics: RecordingMetrics) -> None:
    clock = FakeClock()
    cache: ModelCache = ModelCache(100, clock, metrics)
    for name, rules in {
        "a": {"idle_unload_s": 30.0},
        "b": {"idle_unload_s": 60.0},
        "c": {},
    }.items():
        load(cache, name, 20)
        call_by(cache, name, **rules)
    clock.advance(29)
    assert cache.unload_idle() == []
    clock.advance(1)
    leased = cache.lease(replace(source("b"), idle_unload_s=60.0))
    assert leased is not None

    assert cache.unload_idle() == [identity("a")]
    clock.advance(60)
    assert cache.unload_idle() == []  # a call may take longer
    cache.release(leased)
    assert cache.unload_idle() == [identity("b")]

    assert names(cache) == ["c"]
    assert cache.used_bytes == 20
