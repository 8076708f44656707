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
from tests.unit.cortex.clients.api_under_test import (
    DIRECTORY,
    PATIENT_S,
    REVALIDATE_S,
    SINGLE,
    ApiUnderTest,
    directory,
    in_thread,
)

NewApi = Callable[..., ApiUnderTest]
EIGHT = {f"m{number}/1/weights": b"%d" % number for number in range(8)}


@pytest.fixture
def api(new_api: NewApi) -> ApiUnderTest:
    """A single model in its first version."""
    return new_api(SINGLE, {"mpg/1/weights": b"one"})


def test_c28_model_is_loaded_once(api: ApiUnderTest) -> None:
    assert [api.get(), api.get(), api.get(None, "1"), api.get("any", 1)] == ["one"] * 4
    assert api.loads == ["_cortex_default/1"]


def test_c28_calls_at_once_share_one_load(api: ApiUnderTest) -> None:
    with api.closed_gate():
        answers = [in_thread(api.get) for _ in range(20)]

    assert [answer.result(PATIENT_S) for answer in answers] == ["one"] * 20
    assert api.loads == ["_cortex_default/1"]


def test_c31_model_may_be_had_outside_of_a_call(api: ApiUnderTest) -> None:
    assert api.get() == "one"

    assert [model.leases for model in api.cache] == [0]


def test_thread_of_the_user_is_outside_of_the_call_that_began_it(api: ApiUnderTest) -> None:
    with api.call() as scope:
        assert in_thread(api.get).result(PATIENT_S) == "one"
        assert [model.leases for model in api.cache] == [0]

    assert scope.cache_hit


def test_c30_failed_load_is_tried_again_at_the_next_call(api: ApiUnderTest) -> None:
    api.on_load = raising(ModelLoadError("the disk hiccuped"))
    with pytest.raises(ModelLoadError, match="hiccuped"):
        api.get()

    api.on_load = lambda folder: None

    assert api.get() == "one"
    assert api.loads == ["_cortex_default/1"] * 2


def test_c30_model_that_cannot_be_loaded_fails_every_call(api: ApiUnderTest) -> None:
    api.on_load = raising(ModelLoadError("never"))

    for _ in range(3):
        with pytest.raises(ModelLoadError, match="never"):
            api.get()

    assert len(api.loads) == 3
    assert api.cache.used_places == 0


def test_latest_falls_back_to_what_can_be_loaded(api: ApiUnderTest) -> None:
    api.repository.put("mpg/2/weights", b"bad")
    api.repository.put("mpg/10/weights", b"bad")

    assert api.get() == "one"


def test_version_that_cannot_be_loaded_is_not_tried_at_every_call(api: ApiUnderTest) -> None:
    api.repository.put("mpg/2/weights", b"bad")

    answers = [api.get() for _ in range(3)]

    assert answers == ["one"] * 3
    assert api.loads == ["_cortex_default/2", "_cortex_default/1"]


def test_version_asked_for_by_its_number_has_no_substitute(api: ApiUnderTest) -> None:
    api.repository.put("mpg/2/weights", b"bad")

    with pytest.raises(ModelLoadError):
        api.get(None, "2")


def test_latest_without_any_good_version_fails_as_the_newest_does(api: ApiUnderTest) -> None:
    api.repository.put("mpg/1/weights", b"bad one")
    api.repository.put("mpg/2/weights", b"bad two")

    with pytest.raises(ModelLoadError, match="bad two"):
        api.get()


def test_latest_comes_back_once_its_files_are_mended(api: ApiUnderTest) -> None:
    api.repository.put("mpg/2/weights", b"bad")
    api.get()
    api.repository.put("mpg/2/weights", b"two")

    api.clock.advance(REVALIDATE_S)

    assert api.get() == "two"


def test_latest_comes_back_once_it_can_be_loaded(api: ApiUnderTest) -> None:
    api.repository.put("mpg/2/weights", b"two")
    api.on_load = lambda folder: raising(ModelLoadError("later"))(folder) if "2" in folder else 0
    api.get()
    api.on_load = lambda folder: None

    api.clock.advance(REVALIDATE_S)

    assert api.get() == "two"


def test_c35_new_version_is_served_within_the_revalidation(api: ApiUnderTest) -> None:
    api.get()
    api.repository.put("mpg/2/weights", b"two")

    api.clock.advance(REVALIDATE_S - 0.1)
    before = api.get()
    api.clock.advance(0.1)

    assert (before, api.get()) == ("one", "two")


def test_c40_removed_version_is_not_found(api: ApiUnderTest) -> None:
    api.repository.put("mpg/2/weights", b"two")
    api.get()
    api.repository.delete("mpg/2/weights")

    api.clock.advance(REVALIDATE_S)

    assert api.get() == "one"
    with pytest.raises(TargetModelNotFoundError, match="no version 2"):
        api.get(None, 2)


def test_c40_memory_of_a_removed_version_is_freed(api: ApiUnderTest) -> None:
    model = weakref.ref(api.client.get_model())
    assert api.cache.used_bytes > 0
    api.repository.delete("mpg/1/weights")

    api.clock.advance(REVALIDATE_S)
    api.models.refresh()

    assert model() is None
    assert (api.loaded, api.cache.used_bytes, api.cache.used_places) == ([], 0, 0)


def test_c40_version_that_was_loading_when_it_went_is_freed(api: ApiUnderTest) -> None:
    began, released = threading.Event(), threading.Event()
    api.on_load = lambda folder: (began.set(), released.wait(PATIENT_S))
    loading = in_thread(api.get)
    assert began.wait(PATIENT_S)
    api.repository.delete("mpg/1/weights")
    api.clock.advance(REVALIDATE_S)
    with pytest.raises(TargetModelNotFoundError):
        api.get()
    released.set()
    loading.result(PATIENT_S)

    api.models.refresh()

    assert api.loaded == []


def test_refresh_loads_nothing(api: ApiUnderTest) -> None:
    api.repository.put("mpg/2/weights", b"two")
    api.get(None, 1)

    api.clock.advance(REVALIDATE_S)
    api.models.refresh()

    assert api.loads == ["_cortex_default/1"]


def test_refresh_frees_nothing_while_the_repository_is_down(api: ApiUnderTest) -> None:
    api.get()
    api.repository.is_down = True

    api.clock.advance(REVALIDATE_S)
    api.models.refresh()

    assert api.loaded == ["_cortex_default/1"]


def test_c40_removed_version_serves_its_running_call_to_the_end(api: ApiUnderTest) -> None:
    with api.call():
        model = api.client.get_model()
        api.repository.delete("mpg/1/weights")
        api.clock.advance(REVALIDATE_S)
        api.models.refresh()
        assert api.loaded == []
        assert api.cache.used_places == 1

    assert model.content == "one"
    assert api.cache.used_places == 0


def test_latest_that_went_since_it_was_listed_gives_way_to_the_one_before(
    api: ApiUnderTest,
) -> None:
    api.repository.put("mpg/2/weights", b"two")
    api.index.candidates(None, "latest")
    api.repository.delete("mpg/2/weights")

    assert api.get() == "one"


def test_loaded_latest_that_went_gives_way_before_the_next_listing(api: ApiUnderTest) -> None:
    api.repository.put("mpg/2/weights", b"two")
    api.get()
    api.clock.advance(REVALIDATE_S)
    api.get(None, 1)
    api.repository.delete("mpg/2/weights")

    assert api.get() == "one"
    assert api.loaded == ["_cortex_default/1"]


def test_c45_overwritten_version_answers_as_before_until_the_new_files_are_loaded(
    new_api: NewApi,
) -> None:
    api = new_api(directory(cache_size=2), {"m/1/weights": b"old"})
    api.get("m")
    api.repository.put("m/1/weights", b"new")
    api.clock.advance(REVALIDATE_S)

    with api.closed_gate():
        meanwhile = api.get("m")

    assert (meanwhile, api.get("m")) == ("old", "new")


def test_c45_overwritten_version_that_cannot_be_loaded_stays_as_it_was(api: ApiUnderTest) -> None:
    api.get()
    api.repository.put("mpg/1/weights", b"bad")
    api.clock.advance(REVALIDATE_S)

    api.get()
    api.settle()

    assert api.get() == "one"


def test_c45_old_files_are_let_go_first_where_only_one_model_fits(new_api: NewApi) -> None:
    api = new_api(directory(cache_size=1), {"m/1/weights": b"old"})
    most = places(api)
    api.get("m")
    api.repository.put("m/1/weights", b"new")
    api.clock.advance(REVALIDATE_S)

    api.get("m")
    api.settle()

    assert api.get("m") == "new"
    assert max(most) == 1


def test_repository_that_is_down_takes_no_loaded_model_away(api: ApiUnderTest) -> None:
    api.get()
    api.repository.is_down = True

    api.clock.advance(REVALIDATE_S)

    assert api.get() == "one"


def test_model_that_was_never_loaded_needs_its_repository(api: ApiUnderTest) -> None:
    api.index.candidates(None, 1)
    api.repository.is_down = True

    with pytest.raises(DependencyError):
        api.get()


def test_c38_emptied_folder_is_not_found(new_api: NewApi) -> None:
    api = new_api(DIRECTORY, {"m/1/weights": b"one"})
    api.get("m")
    api.repository.delete("m/1/weights")

    api.clock.advance(REVALIDATE_S)

    with pytest.raises(TargetModelNotFoundError):
        api.get("m")
    assert api.loaded == []


def test_c37_names_that_begin_alike_are_models_of_their_own(new_api: NewApi) -> None:
    objects = {"bert/1/weights": b"small", "bert-large/1/weights": b"large", "bert2/weights": b"2"}
    api = new_api(DIRECTORY, objects)

    assert [api.get("bert"), api.get("bert-large"), api.get("bert2")] == ["small", "large", "2"]


def test_c39_limit_of_memory_is_never_exceeded(new_api: NewApi) -> None:
    api = new_api(directory(cache_size=2, disk_cache_size=4), EIGHT)
    most = places(api)

    answers = [in_thread(lambda n=number: api.get(f"m{n}")) for number in range(8)]

    assert [answer.result(PATIENT_S) for answer in answers] == list("01234567")
    assert max(most) == api.cache.used_places == 2


def test_a_model_is_not_evicted_before_the_call_that_waited_for_it(new_api: NewApi) -> None:
    api = new_api(directory(cache_size=2, disk_cache_size=4), EIGHT)

    answers = [in_thread(lambda n=number: api.get(f"m{n}")) for number in range(8)]

    assert [answer.result(PATIENT_S) for answer in answers] == list("01234567")
    assert sorted(api.loads) == [f"m{number}/1" for number in range(8)]


def test_c39_limit_of_disk_is_never_exceeded(new_api: NewApi) -> None:
    api = new_api(directory(cache_size=2, disk_cache_size=4), EIGHT)
    entries: list[int] = []
    api.on_load = lambda folder: entries.append(api.tree.used_entries())

    for number in range(8):
        api.get(f"m{number}")

    assert max(entries) == 4


def test_c39_versions_count_separately(new_api: NewApi) -> None:
    api = new_api(directory(cache_size=2), {f"m/{n}/weights": b"1" for n in (1, 2, 3)})

    for version in (1, 2, 3):
        api.get("m", version)

    assert api.loaded == ["m/2", "m/3"]


def test_c39_model_used_longest_ago_goes_first(new_api: NewApi) -> None:
    api = new_api(directory(cache_size=2), EIGHT)

    for name in ("m0", "m1", "m0", "m2"):
        api.get(name)

    assert api.loaded == ["m0/1", "m2/1"]


def test_c39_model_on_disk_is_loaded_without_fetching(new_api: NewApi) -> None:
    api = new_api(directory(cache_size=1, disk_cache_size=2), EIGHT)

    for name in ("m0", "m1", "m0"):
        api.get(name)

    assert api.loads == ["m0/1", "m1/1", "m0/1"]
    assert api.repository.fetched == ["m0/1", "m1/1"]


def test_model_evicted_under_a_constructors_reference_lives_on(new_api: NewApi) -> None:
    api = new_api(directory(cache_size=1), EIGHT)
    kept = api.client.get_model("m0")

    api.get("m1")

    assert kept.content == "0"
    assert api.get("m0") == "0"


def test_two_models_of_one_call_do_not_wait_for_each_other(new_api: NewApi) -> None:
    api = new_api(directory(cache_size=1), EIGHT)

    with api.call(), pytest.raises(CapacityError, match="raise cache_size"):
        api.get("m0")
        api.get("m1")

    assert api.get("m1") == "1"


def test_model_that_waits_for_the_place_of_a_running_call_is_not_ready(new_api: NewApi) -> None:
    api = new_api(directory(cache_size=1), EIGHT, window_s=0)

    with api.call():
        api.get("m0")
        with pytest.raises(ModelNotReadyError):
            in_thread(lambda: api.get("m1")).result(PATIENT_S)
        assert api.loaded == ["m0/1"]
    api.settle()

    assert api.loaded == ["m1/1"]


def test_load_model_may_ask_for_another_model(new_api: NewApi) -> None:
    api = new_api(DIRECTORY, EIGHT)
    api.on_load = lambda folder: api.get("m1") if folder == "m0/1" else None

    api.get("m0")

    assert api.loads == ["m0/1", "m1/1"]


def test_load_model_that_asks_for_its_own_model_ends_with_the_window(new_api: NewApi) -> None:
    api = new_api(DIRECTORY, EIGHT, window_s=0.2)
    api.on_load = lambda folder: api.get("m0")

    with pytest.raises(ModelNotReadyError):
        api.get("m0")


def test_model_that_can_never_fit_is_refused(new_api: NewApi) -> None:
    api = new_api(DIRECTORY, {"m/1/weights": b"1" * 100}, memory_bytes=1_000)

    with pytest.raises(Exception, match="the limit of one worker is 1000 bytes"):
        api.get("m")


def raising(error: Exception) -> Callable[[Any], None]:
    def fail(_: Any) -> None:
        raise error

    return fail


def places(api: ApiUnderTest) -> list[int]:
    """Return a list that learns at every load how many models are in memory."""
    seen: list[int] = []
    api.on_load = lambda folder: seen.append(api.cache.used_places)
    return seen
