import itertools

import pytest

from modelyard.local.emulation.placement import Placement, ThrottledError


def placement(concurrency: int = 10) -> Placement[int]:
    numbers = itertools.count(1)
    return Placement(lambda: next(numbers), concurrency)


def test_busy_environment_is_not_given_twice() -> None:
    environments = placement()

    assert [environments.take(), environments.take()] == [1, 2]


def test_most_recently_used_idle_environment_comes_first() -> None:
    environments = placement()
    for _ in range(3):
        environments.take()
    for number, now in ((2, 10.0), (3, 11.0), (1, 12.0)):
        environments.give_back(number, None, now)

    taken = [environments.take() for _ in range(4)]

    assert taken == [1, 3, 2, 4]


def test_call_beyond_the_concurrency_is_throttled_until_one_comes_back() -> None:
    environments = placement(concurrency=2)
    environments.take()
    second = environments.take()

    with pytest.raises(ThrottledError):
        environments.take()
    environments.give_back(second, None, 0.0)

    assert environments.take() == second


def test_environment_of_one_tenant_serves_no_other() -> None:
    environments = placement()
    environments.give_back(environments.take("a"), "a", 0.0)

    assert environments.take("b") == 2
    assert environments.take("a") == 1


def test_idle_environments_of_tenants_do_not_count_as_concurrency() -> None:
    environments = placement(concurrency=1)
    environments.give_back(environments.take("a"), "a", 0.0)

    assert environments.take("b") == 2


def test_only_environments_idle_for_long_are_reaped() -> None:
    environments = placement()
    for _ in range(3):
        environments.take()
    environments.give_back(1, None, 5.0)
    environments.give_back(2, None, 15.0)

    assert environments.reap(10.0) == [1]
    assert list(environments) == [3, 2]
