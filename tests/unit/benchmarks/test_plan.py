"""What can be asked for."""

import pytest

from benchmarks import environments, plan
from benchmarks.kinds import Kind
from benchmarks.peers.system import Stage


def names(items):
    return [item.name for item in items]


def test_without_a_wish_everything_is_measured():
    assert plan.chosen_works([]) == list(plan.WORKS)
    assert plan.chosen_systems([]) == list(plan.SYSTEMS)


def test_works_are_chosen_by_patterns():
    assert names(plan.chosen_works(["warm_onnx*", "many_500"])) == [
        "warm_onnx",
        "warm_onnx_100mb",
        "many_500",
    ]


def test_reference_and_ourselves_are_always_measured():
    assert names(plan.chosen_systems(["kserve"])) == ["fastapi", "modelyard", "kserve"]
    assert names(plan.chosen_systems(["none"])) == ["fastapi", "modelyard"]


def test_no_two_works_or_systems_share_a_name():
    for all_names in (names(plan.WORKS), names(plan.SYSTEMS)):
        assert len(set(all_names)) == len(all_names)


@pytest.mark.parametrize("system", plan.SYSTEMS, ids=names(plan.SYSTEMS))
def test_request_names_the_model_it_is_for(system, monkeypatch):
    monkeypatch.setattr(type(system), "_key", "a key", raising=False)

    assert b"m7" in system.request(Kind.XGBOOST, "m7.ubj")
    assert all(b"m7" in system.request_over(door, "m7.ubj") for door in system.doors)


@pytest.mark.parametrize("system", plan.SYSTEMS, ids=names(plan.SYSTEMS))
def test_environment_is_pinned_with_hashes_and_without_places(system):
    if system.environment == environments.OWN:
        return
    pinned = environments.REQUIREMENTS / f"{system.environment}.txt"

    lines = pinned.read_text().splitlines()
    packages = [line for line in lines if line[:1].isalnum()]
    assert packages
    assert all("==" in line and line.endswith("\\") for line in packages)
    assert not [line for line in lines if line.startswith("-") or "://" in line]


def test_stage_tells_the_mean_of_what_came_since():
    assert Stage(50.0, 4).mean_since(Stage(20.0, 1)) == 10.0
    assert Stage(20.0, 1).mean_since(Stage(20.0, 1)) == 0.0


def test_pattern_that_fits_no_work_is_told_with_what_there_is():
    with pytest.raises(ValueError, match=r"'many_5'; .* many_500,"):
        plan.chosen_works(["warm_*", "many_5"])
