"""The judges of `make overload` and `make soak` must be able to convict; a soak in short."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.endurance import overload, soak
from tests.faults.endurance.open_loop import Heard
from tests.faults.endurance.usage import Usage, growth
from tests.serving import Server

LOOK = Usage(memory_mib=100.0, descriptors=50, threads=20, files=300)


def heard(seconds: float, **answers: int) -> Heard:
    kinds = {kind.replace("_", " ").lstrip(): count for kind, count in answers.items()}
    found = Heard(offered=sum(kinds.values()))
    found.answers.update(kinds)
    found.accepted_s = [seconds] * kinds.get("200", 1)
    return found


GOOD = heard(0.01, _200=100)


def test_growth_compares_the_last_third_with_the_second() -> None:
    start = [replace(LOOK, memory_mib=10.0)] * 3  # a start grows: caches fill
    looks = [*start, *[LOOK] * 3, *[replace(LOOK, memory_mib=106.0)] * 3]

    assert growth(looks) == pytest.approx(
        {"memory_mib": 0.06, "descriptors": 0.0, "threads": 0.0, "files": 0.0}
    )


@pytest.mark.parametrize(
    ("loaded", "after", "looks", "problem"),
    [
        (heard(0.02, _200=50), GOOD, [LOOK] * 9, None),
        (heard(0.02, _200=50, **{"503 ServiceUnavailable": 9}), GOOD, [LOOK] * 9, None),
        (heard(0.04, _200=50), GOOD, [LOOK] * 9, "p99 of accepted calls: 4.0 x"),
        (heard(0.02, _200=50, **{"503 untyped": 1}), GOOD, [LOOK] * 9, "untyped: 1 x 503"),
        (heard(0.02, _200=50, **{"no answer: TimeoutError": 1}), GOOD, [LOOK] * 9, "untyped"),
        (
            heard(0.02, _200=50),
            heard(0.01, _200=9, **{"503 ServiceUnavailable": 1}),
            [LOOK] * 9,
            "not recovered",
        ),
        (
            heard(0.02, _200=50),
            GOOD,
            [*[LOOK] * 6, *[replace(LOOK, memory_mib=110.0)] * 3],
            "memory grew by 10.0%",
        ),
    ],
)
def test_overload_tells_a_broken_promise(
    loaded: Heard, after: Heard, looks: list[Usage], problem: str | None
) -> None:
    found = overload.problems_of(GOOD, loaded, after, looks)

    assert [text[: len(problem)] for text in found] == [problem] if problem else found == []


def test_soak_tells_an_outdated_answer() -> None:
    with tempfile.TemporaryDirectory() as folder:
        shop = soak.Shop(Path(folder))
        for _ in range(2):
            shop.replace(7)
        floor = shop.floor(7)

    assert floor == 1
    assert shop.judge(7, floor, 7.002) == "right"
    assert shop.judge(7, floor, 7.0) == "wrong: m7 answered 7.0"
    assert shop.judge(7, floor, 8.002) == "wrong: m7 answered 8.002"


def test_models_that_come_go_and_change_answer_right(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    shop = soak.Shop(tmp_path / "models")
    with Server(tmp_path / "models", *soak.OPTIONS) as server:
        answers, _ = soak.run(server, shop, tmp_path, seconds=6.0, seed=1)

    assert [kind for kind in answers if soak.is_wrong(kind)] == []
    assert answers["right"] > 50
    assert answers["(replaced)"] > 5
