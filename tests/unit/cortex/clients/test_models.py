"""Loading, reloading and freeing of an API's models while their repository changes."""

import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from modelyard.domain.errors import (
    CapacityError,
    DependencyError,
    ModelLoadError,
    ModelNotReadyError,
    TargetModelNotFoundError,
)
from tests.unit.cortex.clients.api_yard import (
    DIRECTORY,
    PATIENT_S,
    REVALIDATE_S,
    SINGLE,
    ApiYard,
    directory,
    in_thread,
)

NewYard = Callable[..., ApiYard]
EIGHT = {f"m{number}/1/weights": b"%d" % number for number in range(8)}


@pytest.fixture
def yard(new_yard: NewYard) -> ApiYard:
    """A single model in its first version."""
    return new_yard(SINGLE, {"mpg/1/weights": b"one"})


def test_c28_model_is_loaded_once(yard: ApiYard) -> None:
    assert [yard.get(), yard.get(), yard.get(None, "1"), yard.get("any", 1)] == ["one"] * 4
    assert yard.loads == ["_cortex_default/1"]


def test_c28_calls_at_once_share_one_load(yard: ApiYard) -> None:
    with yard.closed_gate():
        answers = [in_thread(yard.get) for _ in range(20)]

    assert [answer.result(PATIENT_S) for answer in answers] == ["one"] * 20
    assert yard.loads == ["_cortex_default/1"]


def test_c31_model_may_be_had_outside_of_a_call(yard: ApiYard) -> None:
    assert yard.get() == "one"

    assert [model.leases for model in yard.cache] == [0]


def test_thread_of_the_user_is_outside_of_the_call_that_began_it(yard: ApiYard) -> None:
    with yard.call() as scope:
        assert in_thread(yard.get).result(PATIENT_S) == "one"
        assert [model.leases for model in yard.cache] == [0]

    assert scope.cache_hit


def test_c30_failed_load_is_tried_again_at_the_next_call(yard: ApiYard) -> None:
    yard.on_load = raising(ModelLoadError("the disk hiccuped"))
    with pytest.raises(ModelLoadError, match="hiccuped"):
        yard.get()

    yard.on_load = lambda folder: None

    assert yard.get() == "one"
    assert yard.loads == ["_cortex_default/1"] * 2


def test_c30_model_that_cannot_be_loaded_fails_every_call(yard: ApiYard) -> None:
    yard.on_load = raising(ModelLoadError("never"))

    for _ in range(3):
        with pytest.raises(ModelLoadError, match="never"):
            yard.get()

    assert len(yard.loads) == 3
    assert yard.cache.used_places == 0


def test_latest_falls_back_to_what_can_be_loaded(yard: ApiYard) -> None:
    yard.repository.put("mpg/2/weights", b"bad")
    yard.repository.put("mpg/10/weights", b"bad")

    assert yard.get() == "one"


def test_version_that_cannot_be_loaded_is_not_tried_at_every_call(yard: ApiYard) -> None:
    yard.repository.put("mpg/2/weights", b"bad")

    answers = [yard.get() for _ in range(3)]

    assert answers == ["one"] * 3
    assert yard.loads == ["_cortex_default/2", "_cortex_default/1"]


def test_version_asked_for_by_its_number_has_no_substitute(yard: ApiYard) -> None:
    yard.repository.put("mpg/2/weights", b"bad")

    with pytest.raises(ModelLoadError):
        yard.get(None, "2")


def test_latest_without_any_good_version_fails_as_the_newest_does(yard: ApiYard) -> None:
    yard.repository.put("mpg/1/weights", b"bad one")
    yard.repository.put("mpg/2/weights", b"bad two")

    with pytest.raises(ModelLoadError, match="bad two"):
        yard.get()


def test_latest_comes_back_once_its_files_are_mended(yard: ApiYard) -> None:
    yard.repository.put("mpg/2/weights", b"bad")
    yard.get()
    yard.repository.put("mpg/2/weights", b"two")

    yard.clock.advance(REVALIDATE_S)

    assert yard.get() == "two"


def test_latest_comes_back_once_it_can_be_loaded(yard: ApiYard) -> None:
    yard.repository.put("mpg/2/weights", b"two")
    yard.on_load = lambda folder: raising(ModelLoadError("later"))(folder) if "2" in folder else 0
    yard.get()
    yard.on_load = lambda folder: None

    yard.clock.advance(REVALIDATE_S)

    assert yard.get() == "two"


def test_c35_new_version_is_served_within_the_revalidation(yard: ApiYard) -> None:
    yard.get()
    yard.repository.put("mpg/2/weights", b"two")

    yard.clock.advance(REVALIDATE_S - 0.1)
    before = yard.get()
    yard.clock.advance(0.1)

    assert (before, yard.get()) == ("one", "two")


def test_c40_removed_version_is_not_found(yard: ApiYard) -> None:
    yard.repository.put("mpg/2/weights", b"two")
    yard.get()
    yard.repository.delete("mpg/2/weights")

    yard.clock.advance(REVALIDATE_S)

    assert yard.get() == "one"
    with pytest.raises(TargetModelNotFoundError, match="no version 2"):
        yard.get(None, 2)


def test_c40_memory_of_a_removed_version_is_freed(yard: ApiYard) -> None:
    model = weakref.ref(yard.client.get_model())
    assert yard.cache.used_bytes > 0
    yard.repository.delete("mpg/1/weights")

    yard.clock.advance(REVALIDATE_S)
    yard.models.refresh()

    assert model() is None
    assert (yard.loaded, yard.cache.used_bytes, yard.cache.used_places) == ([], 0, 0)


def test_c40_version_that_was_loading_when_it_went_is_freed(yard: ApiYard) -> None:
    began, released = threading.Event(), threading.Event()
    yard.on_load = lambda folder: (began.set(), released.wait(PATIENT_S))
    loading = in_thread(yard.get)
    assert began.wait(PATIENT_S)
    yard.repository.delete("mpg/1/weights")
    yard.clock.advance(REVALIDATE_S)
    with pytest.raises(TargetModelNotFoundError):
        yard.get()
    released.set()
    loading.result(PATIENT_S)

    yard.models.refresh()

    assert yard.loaded == []


def test_refresh_loads_nothing(yard: ApiYard) -> None:
    yard.repository.put("mpg/2/weights", b"two")
    yard.get(None, 1)

    yard.clock.advance(REVALIDATE_S)
    yard.models.refresh()

    assert yard.loads == ["_cortex_default/1"]


def test_refresh_frees_nothing_while_the_repository_is_down(yard: ApiYard) -> None:
    yard.get()
    yard.repository.is_down = True

    yard.clock.advance(REVALIDATE_S)
    yard.models.refresh()

    assert yard.loaded == ["_cortex_default/1"]


def test_c40_removed_version_serves_its_running_call_to_the_end(yard: ApiYard) -> None:
    with yard.call():
        model = yard.client.get_model()
        yard.repository.delete("mpg/1/weights")
        yard.clock.advance(REVALIDATE_S)
        yard.models.refresh()
        assert yard.loaded == []
        assert yard.cache.used_places == 1

    assert model.content == "one"
    assert yard.cache.used_places == 0


def test_latest_that_went_since_it_was_listed_gives_way_to_the_one_before(yard: ApiYard) -> None:
    yard.repository.put("mpg/2/weights", b"two")
    yard.index.candidates(None, "latest")
    yard.repository.delete("mpg/2/weights")

    assert yard.get() == "one"


def test_loaded_latest_that_went_gives_way_before_the_next_listing(yard: ApiYard) -> None:
    yard.repository.put("mpg/2/weights", b"two")
    yard.get()
    yard.clock.advance(REVALIDATE_S)
    yard.get(None, 1)
    yard.repository.delete("mpg/2/weights")

    assert yard.get() == "one"
    assert yard.loaded == ["_cortex_default/1"]


def test_c45_overwritten_version_answers_as_before_until_the_new_files_are_loaded(
    new_yard: NewYard,
) -> None:
    yard = new_yard(directory(cache_size=2), {"m/1/weights": b"old"})
    yard.get("m")
    yard.repository.put("m/1/weights", b"new")
    yard.clock.advance(REVALIDATE_S)

    with yard.closed_gate():
        meanwhile = yard.get("m")

    assert (meanwhile, yard.get("m")) == ("old", "new")


def test_c45_overwritten_version_that_cannot_be_loaded_stays_as_it_was(yard: ApiYard) -> None:
    yard.get()
    yard.repository.put("mpg/1/weights", b"bad")
    yard.clock.advance(REVALIDATE_S)

    yard.get()
    yard.settle()

    assert yard.get() == "one"


def test_c45_old_files_are_let_go_first_where_only_one_model_fits(new_yard: NewYard) -> None:
    yard = new_yard(directory(cache_size=1), {"m/1/weights": b"old"})
    most = places(yard)
    yard.get("m")
    yard.repository.put("m/1/weights", b"new")
    yard.clock.advance(REVALIDATE_S)

    yard.get("m")
    yard.settle()

    assert yard.get("m") == "new"
    assert max(most) == 1


def test_repository_that_is_down_takes_no_loaded_model_away(yard: ApiYard) -> None:
    yard.get()
    yard.repository.is_down = True

    yard.clock.advance(REVALIDATE_S)

    assert yard.get() == "one"


def test_model_that_was_never_loaded_needs_its_repository(yard: ApiYard) -> None:
    yard.index.candidates(None, 1)
    yard.repository.is_down = True

    with pytest.raises(DependencyError):
        yard.get()


def test_c38_emptied_folder_is_not_found(new_yard: NewYard) -> None:
    yard = new_yard(DIRECTORY, {"m/1/weights": b"one"})
    yard.get("m")
    yard.repository.delete("m/1/weights")

    yard.clock.advance(REVALIDATE_S)

    with pytest.raises(TargetModelNotFoundError):
        yard.get("m")
    assert yard.loaded == []


def test_c37_names_that_begin_alike_are_models_of_their_own(new_yard: NewYard) -> None:
    objects = {"bert/1/weights": b"small", "bert-large/1/weights": b"large", "bert2/weights": b"2"}
    yard = new_yard(DIRECTORY, objects)

    assert [yard.get("bert"), yard.get("bert-large"), yard.get("bert2")] == ["small", "large", "2"]


def test_c39_limit_of_memory_is_never_exceeded(new_yard: NewYard) -> None:
    yard = new_yard(directory(cache_size=2, disk_cache_size=4), EIGHT)
    most = places(yard)

    answers = [in_thread(lambda n=number: yard.get(f"m{n}")) for number in range(8)]

    assert [answer.result(PATIENT_S) for answer in answers] == list("01234567")
    assert max(most) == yard.cache.used_places == 2


def test_c39_limit_of_disk_is_never_exceeded(new_yard: NewYard) -> None:
    yard = new_yard(directory(cache_size=2, disk_cache_size=4), EIGHT)
    entries: list[int] = []
    yard.on_load = lambda folder: entries.append(yard.tree.used_entries())

    for number in range(8):
        yard.get(f"m{number}")

    assert max(entries) == 4


def test_c39_versions_count_separately(new_yard: NewYard) -> None:
    yard = new_yard(directory(cache_size=2), {f"m/{n}/weights": b"1" for n in (1, 2, 3)})

    for version in (1, 2, 3):
        yard.get("m", version)

    assert yard.loaded == ["m/2", "m/3"]


def test_c39_model_used_longest_ago_goes_first(new_yard: NewYard) -> None:
    yard = new_yard(directory(cache_size=2), EIGHT)

    for name in ("m0", "m1", "m0", "m2"):
        yard.get(name)

    assert yard.loaded == ["m0/1", "m2/1"]


def test_c39_model_on_disk_is_loaded_without_fetching(new_yard: NewYard) -> None:
    yard = new_yard(directory(cache_size=1, disk_cache_size=2), EIGHT)

    for name in ("m0", "m1", "m0"):
        yard.get(name)

    assert yard.loads == ["m0/1", "m1/1", "m0/1"]
    assert yard.repository.fetched == ["m0/1", "m1/1"]


def test_model_evicted_under_a_constructors_reference_lives_on(new_yard: NewYard) -> None:
    yard = new_yard(directory(cache_size=1), EIGHT)
    kept = yard.client.get_model("m0")

    yard.get("m1")

    assert kept.content == "0"
    assert yard.get("m0") == "0"


def test_two_models_of_one_call_do_not_wait_for_each_other(new_yard: NewYard) -> None:
    yard = new_yard(directory(cache_size=1), EIGHT)

    with yard.call(), pytest.raises(CapacityError, match="raise cache_size"):
        yard.get("m0")
        yard.get("m1")

    assert yard.get("m1") == "1"


def test_model_that_waits_for_the_place_of_a_running_call_is_not_ready(new_yard: NewYard) -> None:
    yard = new_yard(directory(cache_size=1), EIGHT, window_s=0)

    with yard.call():
        yard.get("m0")
        with pytest.raises(ModelNotReadyError):
            in_thread(lambda: yard.get("m1")).result(PATIENT_S)
        assert yard.loaded == ["m0/1"]
    yard.settle()

    assert yard.loaded == ["m1/1"]


def test_load_model_may_ask_for_another_model(new_yard: NewYard) -> None:
    yard = new_yard(DIRECTORY, EIGHT)
    yard.on_load = lambda folder: yard.get("m1") if folder == "m0/1" else None

    yard.get("m0")

    assert yard.loads == ["m0/1", "m1/1"]


def test_load_model_that_asks_for_its_own_model_ends_with_the_window(new_yard: NewYard) -> None:
    yard = new_yard(DIRECTORY, EIGHT, window_s=0.2)
    yard.on_load = lambda folder: yard.get("m0")

    with pytest.raises(ModelNotReadyError):
        yard.get("m0")


def test_model_that_can_never_fit_is_refused(new_yard: NewYard) -> None:
    yard = new_yard(DIRECTORY, {"m/1/weights": b"1" * 100}, memory_bytes=1_000)

    with pytest.raises(Exception, match="the limit of one worker is 1000 bytes"):
        yard.get("m")


def raising(error: Exception) -> Callable[[Any], None]:
    def fail(_: Any) -> None:
        raise error

    return fail


def places(yard: ApiYard) -> list[int]:
    """Return a list that learns at every load how many models are in memory."""
    seen: list[int] = []
    yard.on_load = lambda folder: seen.append(yard.cache.used_places)
    return seen
