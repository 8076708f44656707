"""A figure got slower if its ratio to FastAPI is worse than both runs' own spread explains."""

import pytest

from benchmarks.report.slower import changes
from benchmarks.results import Results


def rows(metric: str, ours: list[float], theirs: list[float]):
    results = Results()
    for system, values in (("modelyard", ours), ("fastapi", theirs)):
        for value in values:
            results.note_of(system)("warm", metric, value)
    return list(results.rows())


@pytest.mark.parametrize(
    ("metric", "now", "is_slower"),
    [
        ("p50_ms", [1.3, 1.3], True),
        ("p50_ms", [0.7, 0.7], False),
        ("p50_ms", [1.05, 1.05], False),
        ("p50_ms", [0.9, 1.5], False),  # the run itself differs by more
        ("rps", [0.7, 0.7], True),
        ("rps", [1.3, 1.3], False),
    ],
)
def test_only_what_is_worse_than_noise_is_slower(metric, now, is_slower):
    published = rows(metric, [1.0, 1.0], [1.0, 1.0])

    (change,) = changes(published, rows(metric, now, [1.0, 1.0]))

    assert change.is_slower is is_slower


def test_a_machine_of_another_pace_says_the_same():
    published = rows("p50_ms", [1.0], [1.0])

    (change,) = changes(published, rows("p50_ms", [3.0], [3.0]))

    assert change.slowdown == 1


def test_what_only_one_run_has_is_left_out():
    assert not list(changes([], rows("p50_ms", [3.0], [3.0])))
    assert not list(changes([], rows("client_cpu_us", [3.0], [3.0])))
