"""What one call leases: each model once, within its window, until it ends."""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest

from modelyard.cortex.clients.call_scope import CallScope, current_scope, entered
from modelyard.domain.errors import CapacityError, ModelLoadError, ModelNotReadyError
from modelyard.domain.ports import Resident
from modelyard.domain.values import TargetModel
from tests.unit.cortex.clients.api_under_test import DIRECTORY, ApiUnderTest, directory

A, B, C, BAD = (TargetModel(f"{name}/1") for name in ("a", "b", "c", "bad"))
OBJECTS = {f"{target}/weights": target.encode() for target in (A, B, C, BAD)}

NewApi = Callable[..., ApiUnderTest]


@pytest.fixture
def api(new_api: NewApi) -> ApiUnderTest:
    return new_api(DIRECTORY, OBJECTS)


def leases(api: ApiUnderTest) -> dict[str, int]:
    return {model.model_id.target_model: model.leases for model in api.cache}


def test_model_is_leased_once_however_often_it_is_asked_for(api: ApiUnderTest) -> None:
    with api.call() as scope:
        assert scope.hold(A) is scope.hold(A)
        assert leases(api) == {A: 1}


def test_everything_is_given_back_when_the_call_ends(api: ApiUnderTest) -> None:
    with api.call() as scope:
        scope.hold(A)
        scope.hold(B)
        assert leases(api) == {A: 1, B: 1}

    assert leases(api) == {A: 0, B: 0}


def test_model_loaded_ahead_is_not_leased_until_it_is_asked_for(api: ApiUnderTest) -> None:
    with api.call() as scope:
        scope.look_ahead(A)
        assert leases(api) == {A: 0}

        scope.hold(A)
        assert leases(api) == {A: 1}

    assert api.loads == [A]


@pytest.mark.parametrize(
    ("asked", "used_all"),
    [((A,), True), ((A, B), True), ((B, A), True), ((), False), ((B,), False)],
    ids=["it", "it-first", "it-last", "nothing", "another"],
)
def test_what_was_loaded_ahead_in_vain_is_known(
    api: ApiUnderTest, asked: tuple[TargetModel, ...], used_all: bool
) -> None:
    with api.call() as scope:
        scope.look_ahead(A)
        for target in asked:
            scope.hold(target)

    assert scope.used_all is used_all


def test_call_that_loaded_nothing_ahead_used_all(api: ApiUnderTest) -> None:
    with api.call() as scope:
        scope.hold(A)

    assert scope.used_all


def test_failure_is_the_answer_for_the_rest_of_the_call(api: ApiUnderTest) -> None:
    with api.call() as scope:
        for _ in range(3):
            with pytest.raises(ModelLoadError):
                scope.hold(BAD)

    assert api.loads == [BAD]


def test_failure_ahead_is_what_the_call_gets(api: ApiUnderTest) -> None:
    with api.call() as scope:
        with pytest.raises(ModelLoadError) as ahead:
            scope.look_ahead(BAD)
        with pytest.raises(ModelLoadError) as asked:
            scope.hold(BAD)

    assert asked.value is ahead.value
    assert scope.used_all


def test_model_that_was_not_ready_may_be_ready_later_in_the_call(api: ApiUnderTest) -> None:
    with api.call(window_s=0) as scope:
        with api.closed_gate(), pytest.raises(ModelNotReadyError):
            scope.hold(A)

        assert scope.hold(A).resident is not None


def test_window_is_for_all_the_waiting_of_a_call_and_for_nothing_else(api: ApiUnderTest) -> None:
    windows: list[float] = []

    def lease(target: TargetModel, *, window_s: float, patience_s: float):
        windows.append(window_s)
        return api.residence.lease(api.source(target), window_s=30.0, patience_s=patience_s)

    scope: CallScope[Resident] = CallScope(lease, api.clock, window_s=5.0, patience_s=30.0)
    api.on_load = lambda folder: api.clock.advance(4.0)
    for target in (A, B, C):
        api.clock.advance(60.0)  # the class works
        scope.hold(target)
    scope.close()

    assert windows == [5.0, 1.0, 0.0]


def test_call_of_a_cold_model_is_a_miss(api: ApiUnderTest) -> None:
    with api.call() as scope:
        scope.hold(A)
        scope.hold(B)

    assert not scope.cache_hit


def test_call_of_loaded_models_is_a_hit(api: ApiUnderTest) -> None:
    api.get("a")
    api.get("b")

    with api.call() as scope:
        scope.hold(A)
        scope.hold(B)

    assert (scope.cache_hit, scope.wait_s) == (True, 0.0)


@pytest.mark.parametrize("target", [A, BAD])
def test_time_that_a_load_takes_is_waiting(api: ApiUnderTest, target: TargetModel) -> None:
    api.on_load = lambda folder: api.clock.advance(4.0)

    with api.call() as scope, contextlib.suppress(ModelLoadError):
        scope.hold(target)

    assert scope.wait_s == 4.0


def test_call_that_uses_more_models_than_fit_fails_at_once(new_api: NewApi) -> None:
    api = new_api(directory(cache_size=1), OBJECTS)

    with api.call() as scope:
        scope.hold(A)
        with pytest.raises(CapacityError, match=r"room for b/1: .* uses a/1 .* raise cache_size"):
            scope.hold(B)

    assert api.loads == [A]


def test_model_loaded_ahead_is_no_reason_to_refuse_another(new_api: NewApi) -> None:
    api = new_api(directory(cache_size=1), OBJECTS)

    with api.call() as scope:
        scope.look_ahead(A)
        scope.hold(B)

        assert api.loaded == [B]


def test_call_may_use_as_many_models_as_fit(new_api: NewApi) -> None:
    api = new_api(directory(cache_size=2), OBJECTS)

    with api.call() as scope:
        scope.hold(A)
        scope.hold(B)
        scope.hold(A)
        with pytest.raises(CapacityError):
            scope.hold(C)

    assert api.loaded == [A, B]


def test_scope_is_current_in_the_context_of_its_call_only(api: ApiUnderTest) -> None:
    with ThreadPoolExecutor(1) as others, api.call() as scope:
        assert current_scope() is scope
        assert others.submit(current_scope).result() is None
        assert others.submit(copy_context().run, current_scope).result() is scope

    assert current_scope() is None


def test_calls_may_be_nested(api: ApiUnderTest) -> None:
    with api.call() as outer:
        with api.call() as inner:
            assert current_scope() is inner
        assert current_scope() is outer


def test_work_that_the_call_left_behind_leases_for_itself(api: ApiUnderTest) -> None:
    with api.call() as scope:
        left_behind = copy_context()

    assert scope.is_closed
    assert left_behind.run(current_scope) is None
    left_behind.run(api.get, "a")
    assert leases(api) == {A: 0}


def test_scope_is_left_when_the_call_fails(api: ApiUnderTest) -> None:
    scope = api.models.new_scope(1.0, 1.0)

    with pytest.raises(ValueError, match="boom"), entered(scope):
        raise ValueError("boom")

    assert current_scope() is None
