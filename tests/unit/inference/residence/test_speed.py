"""What is learned from the calls of one model."""

import pytest

from modelyard.inference.residence.speed import SMALL_BODY_BYTES, Speed


class Model:
    memory_bytes = 1
    needs_files = False
    always_ends = True

    def close(self) -> None:
        pass


def test_cost_is_not_known_before_the_first_call() -> None:
    assert Speed(Model()).cost_s(1 << 20) == 0


def test_cost_grows_with_the_body() -> None:
    speed = Speed(Model())
    speed.learn(10 * SMALL_BODY_BYTES, took_s=5.0, cpu_s=0.1)

    assert speed.cost_s(20 * SMALL_BODY_BYTES) == pytest.approx(0.2)
    assert speed.cost_s(0) == speed.cost_s(SMALL_BODY_BYTES) == pytest.approx(0.01)


def test_cost_follows_the_last_calls() -> None:
    speed = Speed(Model())
    speed.learn(1, took_s=1.0, cpu_s=1.0)
    for _ in range(10):
        speed.learn(1, took_s=0.1, cpu_s=0.1)

    assert speed.cost_s(1) == pytest.approx(0.1, rel=0.05)
