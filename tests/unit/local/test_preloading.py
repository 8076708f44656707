"""Which models a worker loads when it starts."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.domain.endpoints import Endpoint, EndpointTable, Preload, ResidenceRule
from modelyard.domain.errors import DependencyError
from modelyard.domain.values import ModelId, TargetModel
from modelyard.local.preloading import Preloading

ENDPOINT = Endpoint(
    "e",
    "memory:",
    residence=(
        ResidenceRule(("hot/*",), preload=Preload.ALL),
        ResidenceRule(("cold/*",)),
        ResidenceRule(preload=Preload.LAST),
    ),
)
MODELS = ("cold/a", "hot/a", "hot/b", "x", "y")


def ids(*names: str, endpoint: str = "e") -> list[ModelId]:
    return [ModelId(endpoint, TargetModel(name)) for name in names]


def preloading(
    folder: Path, *endpoints: Endpoint, worker: int = 0, not_here: Iterable[str] = ()
) -> Preloading:
    return Preloading(
        EndpointTable(endpoints or (ENDPOINT,)),
        lambda _: map(TargetModel, MODELS),
        lambda model_id: model_id.target_model not in not_here,
        folder / f"loaded-123-worker-{worker}.json",
    )


def test_models_that_were_used_last_come_first(tmp_path: Path) -> None:
    preloading(tmp_path).remember(ids("hot/a", "cold/a", "x", "y"))

    assert preloading(tmp_path).wanted() == ids("y", "x", "hot/a", "hot/b")


def test_each_worker_loads_its_own_models_of_what_all_had(tmp_path: Path) -> None:
    preloading(tmp_path, worker=0).remember(ids("x"))
    preloading(tmp_path, worker=1).remember(ids("y"))

    assert preloading(tmp_path, not_here=["x", "hot/a"]).wanted() == ids("y", "hot/b")


def test_what_the_config_no_longer_wants_is_not_loaded(tmp_path: Path) -> None:
    preloading(tmp_path).remember([*ids("x"), *ids("x", endpoint="gone")])

    assert preloading(tmp_path, ENDPOINT.preloading(Preload.NONE)).wanted() == []


def test_nothing_is_written_without_such_a_rule(tmp_path: Path) -> None:
    preloading(tmp_path, Endpoint("e", "memory:")).remember(ids("x"))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '[["e"]]'])
def test_a_damaged_file_is_ignored(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "loaded-123-worker-0.json").write_text(content)

    assert preloading(tmp_path).wanted() == ids("hot/a", "hot/b")
    assert "loaded models not read" in caplog.text


def test_a_repository_that_cannot_be_listed_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def list_models(endpoint: Endpoint) -> Iterable[TargetModel]:
        if endpoint.name == "e":
            raise DependencyError("no answer")
        return [TargetModel("hot/z")]

    table = EndpointTable((ENDPOINT, replace(ENDPOINT, name="other")))
    found = Preloading(table, list_models, lambda _: True, tmp_path / "loaded-1-worker-0.json")

    assert found.wanted() == ids("hot/z", endpoint="other")
    assert "not preloaded" in caplog.text


def test_the_option_is_for_all_models_and_keeps_the_other_rules() -> None:
    pinned = Endpoint("e", "memory:", residence=(ResidenceRule(("a",), is_pinned=True),))

    changed = pinned.preloading(Preload.LAST)

    assert changed.residence_of(TargetModel("a")) == ResidenceRule(("a",), True, Preload.LAST)
    assert changed.residence_of(TargetModel("b")).preload is Preload.LAST
    assert changed.source(TargetModel("a")).is_pinned
