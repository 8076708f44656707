"""Whom requests are for."""

from collections import Counter

from benchmarks.load.zipf import draw


def test_same_seed_draws_the_same_and_another_seed_does_not():
    assert draw(50, 100, 1.1, seed=1) == draw(50, 100, 1.1, seed=1)
    assert draw(50, 100, 1.1, seed=1) != draw(50, 100, 1.1, seed=2)


def test_ranks_are_drawn_in_proportion_to_their_power():
    counts = [count for _, count in Counter(draw(500, 100_000, 1.0, seed=3)).most_common(4)]

    first = counts[0]
    assert [round(first / count) for count in counts] == [1, 2, 3, 4]


def test_every_number_is_a_model():
    assert set(draw(3, 1_000, 1.1, seed=1)) == {0, 1, 2}


def test_popular_models_are_not_simply_the_first_ones():
    popular = [number for number, _ in Counter(draw(500, 10_000, 1.1, seed=1)).most_common(5)]

    assert popular != [0, 1, 2, 3, 4]
