"""Names and versions: what "latest" is, what is not there, and how often the repository is asked.

All of it over the real repository of versions; only the objects below it are in memory.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.cortex.clients import model_index
from modelyard.cortex.clients.model_index import MISSING_TTL_S, ModelIndex
from modelyard.cortex.layouts import newest_first
from modelyard.cortex.project import ApiModels, PredictorType
from modelyard.cortex.versioned_repository import VersionedRepository
from modelyard.domain.errors import (
    DependencyError,
    InvalidRequestError,
    ModelyardError,
    TargetModelMissingError,
    TargetModelNotFoundError,
)
from modelyard.domain.values import TargetModel
from tests.fakes.clock import FakeClock
from tests.unit.cortex.clients.api_under_test import (
    API,
    DIRECTORY,
    PATHS,
    REVALIDATE_S,
    SINGLE,
    Repository,
)


class Indexed:
    """An index over objects in memory."""

    def __init__(
        self, models: ApiModels, *keys: str, kind: PredictorType = PredictorType.PYTHON
    ) -> None:
        self.clock = FakeClock()
        self.repository = Repository(dict.fromkeys(keys, b"1"))
        self.gone: list[TargetModel] = []
        self.index = ModelIndex(
            models,
            VersionedRepository(models, kind, API, lambda _: self.repository),
            self.clock,
            revalidate_s=REVALIDATE_S,
            on_gone=self.gone.append,
        )

    def candidates(self, name: Any = None, version: Any = "latest") -> list[TargetModel]:
        return self.index.candidates(name, version)


@pytest.mark.parametrize("name", [None, "mpg", "anything", ""])
def test_c20_single_model_answers_to_any_name(name: str | None) -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights", "mpg/2/weights")

    assert indexed.candidates(name, "1") == ["_cortex_default/1"]


def test_c21_missing_name_lists_the_configured_ones() -> None:
    indexed = Indexed(PATHS, "nlp/bert/1/weights")

    with pytest.raises(TargetModelMissingError, match="name one of bert, bert-large"):
        indexed.candidates()


def test_c21_missing_name_among_the_models_of_a_folder() -> None:
    indexed = Indexed(DIRECTORY, "bert/1/weights")

    with pytest.raises(TargetModelMissingError, match=r"^no model is named$"):
        indexed.candidates()


@pytest.mark.parametrize("name", ["gpt", "", "nlp/bert", "BERT", ["bert"], {"bert": 1}, 7])
def test_c22_unknown_name_is_not_found(name: Any) -> None:
    indexed = Indexed(PATHS, "nlp/bert/1/weights")

    with pytest.raises(TargetModelNotFoundError, match="this API has bert, bert-large"):
        indexed.candidates(name)


@pytest.mark.parametrize("name", ["gpt", "", "..", "../bert", "bert/1", "bert/", "/bert", [1], 7])
@pytest.mark.parametrize("version", ["latest", "1"])
def test_c22_name_without_a_folder_is_not_found(name: Any, version: str) -> None:
    indexed = Indexed(DIRECTORY, "bert/1/weights")

    with pytest.raises(TargetModelNotFoundError):
        indexed.candidates(name, version)


def test_c22_unknown_name_comes_before_a_version_that_is_none() -> None:
    indexed = Indexed(PATHS, "nlp/bert/1/weights")

    with pytest.raises(TargetModelNotFoundError, match="no model 'gpt'"):
        indexed.candidates("gpt", "abc")


def test_c22_unknown_version_names_the_ones_there_are() -> None:
    indexed = Indexed(PATHS, "nlp/bert/2/weights", "nlp/bert/10/weights")

    with pytest.raises(TargetModelNotFoundError, match="'bert' has no version 7: it has 10, 2"):
        indexed.candidates("bert", "7")


def test_c22_single_model_is_not_called_by_its_inner_name() -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights")

    with pytest.raises(TargetModelNotFoundError, match=r"^the model has no version 7: it has 1$"):
        indexed.candidates(None, 7)


def test_c23_latest_is_the_numerically_highest() -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights", "mpg/2/weights", "mpg/10/weights")

    assert indexed.candidates() == ["_cortex_default/10", "_cortex_default/2", "_cortex_default/1"]


def test_c24_version_none_is_the_latest() -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights", "mpg/2/weights")

    assert indexed.candidates(None, None) == indexed.candidates(None, "latest")


def test_c25_version_may_be_an_int() -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights", "mpg/2/weights")

    assert indexed.candidates(None, 2) == indexed.candidates(None, "2") == ["_cortex_default/2"]


@pytest.mark.parametrize(
    "version", ["abc", "", "-1", "1.0", " 1", "1\n", "Latest", "٢", -1, 1.0, True, b"1", [1], "1/2"]
)
def test_c26_version_that_is_no_number_is_refused(version: Any) -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights")

    with pytest.raises(InvalidRequestError, match="allowed: a whole number or 'latest'") as raised:
        indexed.candidates(None, version)
    assert type(raised.value) is InvalidRequestError


def test_c26_version_is_found_as_it_is_spelt() -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights")

    with pytest.raises(TargetModelNotFoundError, match="no version 01"):
        indexed.candidates(None, "01")


def test_c23_of_two_spellings_of_a_number_the_plain_one_is_the_latest() -> None:
    indexed = Indexed(SINGLE, "mpg/01/weights", "mpg/1/weights")

    assert indexed.candidates() == ["_cortex_default/1", "_cortex_default/01"]


def test_c27_unversioned_model_is_version_1() -> None:
    indexed = Indexed(PATHS, "nlp/bert/weights")

    assert indexed.candidates("bert") == indexed.candidates("bert", "1") == ["bert/1"]


def test_c37_name_that_begins_with_another_is_a_model_of_its_own() -> None:
    keys = ["bert/1/weights", "bert-large/7/weights", "bert.v2/3/weights"]
    indexed = Indexed(DIRECTORY, *keys)

    assert indexed.candidates("bert") == ["bert/1"]
    assert indexed.candidates("bert-large") == ["bert-large/7"]


def test_c44_first_request_does_not_wait_for_a_listing_of_everything() -> None:
    indexed = Indexed(DIRECTORY, "bert/1/weights", "gpt/1/weights")

    assert indexed.candidates("bert") == ["bert/1"]
    assert indexed.repository.listed == ["bert"]


def test_model_is_listed_once_per_revalidation() -> None:
    indexed = Indexed(DIRECTORY, "bert/1/weights")
    indexed.candidates("bert")

    indexed.clock.advance(REVALIDATE_S - 0.1)
    indexed.candidates("bert", "1")

    assert indexed.repository.listed == ["bert"]


def test_c35_new_version_is_the_latest_within_the_revalidation() -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights")
    indexed.candidates()
    indexed.repository.put("mpg/2/weights", b"2")

    indexed.clock.advance(REVALIDATE_S)

    assert indexed.candidates()[0] == "_cortex_default/2"


def test_c35_new_model_of_a_folder_is_found_soon() -> None:
    indexed = Indexed(DIRECTORY)
    with pytest.raises(TargetModelNotFoundError):
        indexed.candidates("bert")
    indexed.repository.put("bert/1/weights", b"1")

    indexed.clock.advance(MISSING_TTL_S)

    assert indexed.candidates("bert") == ["bert/1"]


def test_absent_model_is_not_listed_at_every_call() -> None:
    indexed = Indexed(DIRECTORY)

    for _ in range(3):
        with pytest.raises(TargetModelNotFoundError):
            indexed.candidates("bert")

    assert indexed.repository.listed == ["bert"]


def test_c36_malformed_new_version_hides_no_good_one() -> None:
    indexed = Indexed(DIRECTORY, "net/1/model.onnx", kind=PredictorType.ONNX)
    indexed.repository.put("net/2/model.onnx", b"1")
    indexed.repository.put("net/2/model.onnx.part", b"1")

    assert indexed.candidates("net") == ["net/1"]


def test_c40_version_that_went_is_reported_as_gone() -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights", "mpg/2/weights")
    indexed.candidates()
    indexed.repository.delete("mpg/2/weights")

    indexed.clock.advance(REVALIDATE_S)

    assert indexed.candidates() == ["_cortex_default/1"]
    assert indexed.gone == ["_cortex_default/2"]


def test_c40_refresh_notices_what_is_gone_without_a_call() -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights", "mpg/2/weights")
    indexed.candidates()
    indexed.repository.delete("mpg/1/weights")
    indexed.clock.advance(REVALIDATE_S)

    indexed.index.refresh([TargetModel("_cortex_default/1"), TargetModel("_cortex_default/2")])

    assert set(indexed.gone) == {"_cortex_default/1"}


def test_c40_refresh_notices_what_was_loaded_while_it_went() -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights")

    indexed.index.refresh([TargetModel("_cortex_default/7"), TargetModel("_cortex_default/1")])

    assert indexed.gone == ["_cortex_default/7"]


def test_refresh_lists_a_model_once_for_all_its_versions() -> None:
    indexed = Indexed(DIRECTORY, "bert/1/weights", "bert/2/weights")

    indexed.index.refresh([TargetModel("bert/1"), TargetModel("bert/2")])

    assert indexed.repository.listed == ["bert"]


def test_c40_switch_to_versions_drops_the_unversioned_model() -> None:
    indexed = Indexed(SINGLE, "mpg/weights")
    indexed.candidates()
    indexed.repository.delete("mpg/weights")
    indexed.repository.put("mpg/3/weights", b"3")

    indexed.clock.advance(REVALIDATE_S)

    assert indexed.candidates() == ["_cortex_default/3"]
    assert indexed.gone == ["_cortex_default/1"]


@pytest.mark.parametrize(
    ("models", "key", "words"),
    [
        (SINGLE, "mpg/1/weights", "the model has no versions now: add one"),
        (PATHS, "nlp/bert/1/weights", "model 'bert' has no versions now: add one"),
        (DIRECTORY, "bert/1/weights", "no model 'bert'"),
    ],
    ids=["single", "paths", "directory"],
)
def test_c38_emptied_folder_serves_nothing(models: ApiModels, key: str, words: str) -> None:
    indexed = Indexed(models, key)
    indexed.candidates("bert")
    indexed.repository.delete(key)
    indexed.clock.advance(REVALIDATE_S)

    with pytest.raises(TargetModelNotFoundError, match=f"^{words}$"):
        indexed.candidates("bert")
    with pytest.raises(TargetModelNotFoundError):
        indexed.candidates("bert", "1")


def test_c38_model_is_back_when_a_version_is_added() -> None:
    indexed = Indexed(PATHS, "nlp/bert/1/weights")
    indexed.candidates("bert")
    indexed.repository.delete("nlp/bert/1/weights")
    indexed.clock.advance(REVALIDATE_S)
    with pytest.raises(TargetModelNotFoundError):
        indexed.candidates("bert")

    indexed.repository.put("nlp/bert/2/weights", b"2")
    indexed.clock.advance(MISSING_TTL_S)

    assert indexed.candidates("bert") == ["bert/2"]


def test_repository_that_is_down_takes_no_known_version_away() -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights", "mpg/2/weights")
    before = indexed.candidates()
    indexed.repository.is_down = True
    indexed.clock.advance(REVALIDATE_S)

    assert indexed.candidates() == before
    assert indexed.gone == []


def test_repository_that_is_down_is_asked_once_per_revalidation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights")
    indexed.candidates()
    indexed.repository.is_down = True
    indexed.clock.advance(REVALIDATE_S)

    indexed.candidates()
    indexed.candidates()

    assert [record.message for record in caplog.records] == [
        "cannot list versions, keeping the known ones"
    ]


def test_model_that_was_never_listed_needs_its_repository() -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights")
    indexed.repository.is_down = True
    with pytest.raises(DependencyError):
        indexed.candidates()

    indexed.repository.is_down = False

    assert indexed.candidates() == ["_cortex_default/1"]


def test_refresh_outlives_a_repository_that_is_down() -> None:
    indexed = Indexed(DIRECTORY, "bert/1/weights")
    indexed.repository.is_down = True

    indexed.index.refresh([TargetModel("gpt/1"), TargetModel("bert/1")])

    assert indexed.gone == []


def test_broken_version_is_the_last_choice_for_the_revalidation() -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights", "mpg/2/weights", "mpg/3/weights")

    indexed.index.mark_broken(TargetModel("_cortex_default/3"))

    assert indexed.candidates() == ["_cortex_default/2", "_cortex_default/1", "_cortex_default/3"]
    indexed.clock.advance(REVALIDATE_S)
    assert indexed.candidates()[0] == "_cortex_default/3"


def test_broken_version_can_still_be_asked_for() -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights", "mpg/2/weights")

    indexed.index.mark_broken(TargetModel("_cortex_default/2"))

    assert indexed.candidates(None, 2) == ["_cortex_default/2"]


def test_c42_metadata_has_versions_with_their_times() -> None:
    indexed = Indexed(DIRECTORY, "bert/1/weights", "bert/10/weights", "gpt/weights")

    metadata = indexed.index.metadata()

    assert set(metadata) == {"bert", "gpt"}
    assert dict(zip(*metadata["bert"].values(), strict=True)) == {"1": 1.0, "10": 2.0}
    assert metadata["gpt"] == {"versions": ["1"], "timestamps": [3.0]}


def test_c42_metadata_leaves_out_what_cannot_be_served() -> None:
    indexed = Indexed(PATHS, "nlp/bert/1/weights")

    assert set(indexed.index.metadata()) == {"bert"}


def test_names_that_were_not_asked_for_lately_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_index, "MAX_LISTINGS", 2)
    indexed = Indexed(DIRECTORY, "bert/1/weights", "gpt/1/weights", "t5/1/weights")

    for name in ("bert", "gpt", "bert", "t5", "bert", "gpt"):
        indexed.candidates(name)

    assert indexed.repository.listed == ["bert", "gpt", "t5", "gpt"]


@given(st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.binary(), st.booleans()))
def test_any_version_gives_a_version_there_is_or_an_error_of_ours(version: Any) -> None:
    indexed = Indexed(SINGLE, "mpg/1/weights", "mpg/20/weights")

    outcome = _outcome(lambda: indexed.candidates(None, version))

    allowed = [["_cortex_default/1"], ["_cortex_default/20"]]
    allowed.append(["_cortex_default/20", "_cortex_default/1"])
    assert isinstance(outcome, InvalidRequestError) or outcome in allowed


@given(st.sets(st.integers(0, 2**63 - 1).map(str), min_size=1, max_size=8))
def test_latest_is_the_highest_of_any_versions(versions: set[str]) -> None:
    indexed = Indexed(SINGLE, *(f"mpg/{version}/weights" for version in versions))

    targets = indexed.candidates()

    assert targets == [f"_cortex_default/{version}" for version in newest_first(versions)]
    assert targets[0] == f"_cortex_default/{max(map(int, versions))}"


def _outcome(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except ModelyardError as error:
        return error
