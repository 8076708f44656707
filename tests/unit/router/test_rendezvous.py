import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.values import ModelId, TargetModel
from modelyard.router.rendezvous import rank_shards

NAMES = 10_000
PLACED_BY_0_1_0 = [(0, 1, 3, 2), (3, 0, 2, 1), (2, 0, 3, 1)]
MODELS = [ModelId("housing", TargetModel(f"city-{number}.tar.gz")) for number in range(NAMES)]


def first_choices(shards: int) -> list[int]:
    return [rank_shards(model_id, shards)[0] for model_id in MODELS]


@given(st.text(), st.text(), st.integers(1, 32))
def test_every_shard_is_ranked_once(endpoint_name: str, target_model: str, shards: int) -> None:
    ranked = rank_shards(ModelId(endpoint_name, TargetModel(target_model)), shards)

    assert sorted(ranked) == list(range(shards))


@pytest.mark.parametrize("shards", [2, 3, 4, 8, 16])
def test_models_spread_evenly(shards: int) -> None:
    expected = NAMES / shards

    counts = Counter(first_choices(shards))

    # Chi-square, a chance of less than one in ten million that a fair spread exceeds it.
    statistic = sum((counts[shard] - expected) ** 2 / expected for shard in range(shards))
    freedom = shards - 1
    assert statistic < freedom + 5.5 * (2 * freedom) ** 0.5 + 22


@pytest.mark.parametrize("shards", [1, 2, 4, 8])
def test_new_shard_takes_its_share_of_models(shards: int) -> None:
    before, after = first_choices(shards), first_choices(shards + 1)

    moved_to = [new for old, new in zip(before, after, strict=True) if old != new]

    assert set(moved_to) == {shards}
    assert len(moved_to) == pytest.approx(NAMES / (shards + 1), rel=0.1)


def test_second_choices_of_one_shards_models_spread_over_the_others() -> None:
    ranked = [rank_shards(model_id, 5) for model_id in MODELS]

    seconds = Counter(order[1] for order in ranked if order[0] == 0)

    assert seconds.keys() == {1, 2, 3, 4}
    assert min(seconds.values()) > 0.8 * max(seconds.values())


def test_same_target_model_of_two_endpoints_is_placed_independently() -> None:
    others = [ModelId("churn", model_id.target_model) for model_id in MODELS]

    together = sum(
        rank_shards(one, 4)[0] == rank_shards(other, 4)[0]
        for one, other in zip(MODELS, others, strict=True)
    )

    assert together == pytest.approx(NAMES / 4, rel=0.1)


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_every_process_ranks_alike(hash_seed: str) -> None:
    program = (
        "from modelyard.router.rendezvous import rank_shards\n"
        "from modelyard.domain.values import ModelId\n"
        "print([rank_shards(ModelId('housing', f'city-{n}.tar.gz'), 7) for n in range(50)])"
    )

    printed = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert printed.strip() == str([rank_shards(model_id, 7) for model_id in MODELS[:50]])


def test_placement_is_that_of_earlier_versions() -> None:
    """A changed hash would empty every cache on an update: this is what 0.1.0 answered."""
    ranked = [rank_shards(model_id, 4) for model_id in MODELS[:3]]

    assert ranked == PLACED_BY_0_1_0
