"""The checks of `make overload` and `make soak` find what they look for; a short soak."""

import asyncio
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from benchmarks.load.http_messages import render
from tests.faults.endurance import neighbours, overload, soak
from tests.faults.endurance.open_loop import Heard, _Stream
from tests.faults.endurance.usage import Usage, growth
from tests.serving import Server

LOOK = Usage(memory_mib=100.0, descriptors=50, threads=20, files=300)


def heard(seconds: float, **answers: int) -> Heard:
    kinds = {kind.replace("_", " ").lstrip(): count for kind, count in answers.items()}
    found = Heard(offered=sum(kinds.values()))
    found.answers.update(kinds)
    found.accepted_s = [seconds] * kinds.get("200", 0)
    return found


GOOD = heard(0.01, _200=100)
REFUSED = {"503 ServiceUnavailable": 9}
LOST = heard(0.02, _200=50, **REFUSED)
LOST.offered += 1


def test_growth_compares_the_last_third_with_the_second() -> None:
    start = [replace(LOOK, memory_mib=10.0)] * 3  # a start grows: caches fill
    looks = [*start, *[LOOK] * 3, *[replace(LOOK, memory_mib=106.0)] * 3]

    assert growth(looks) == pytest.approx(
        {"memory_mib": 0.06, "descriptors": 0.0, "threads": 0.0, "files": 0.0}
    )


@pytest.mark.parametrize(
    ("loaded", "after", "looks", "problem"),
    [
        (heard(0.02, _200=50, **REFUSED), GOOD, [LOOK] * 9, None),
        (heard(0.02, _200=50), GOOD, [LOOK] * 9, "no overload"),
        (heard(0.04, _200=50, **REFUSED), GOOD, [LOOK] * 9, "p99 of accepted calls: 4.0 x"),
        (heard(0.02, **REFUSED), GOOD, [LOOK] * 9, "p99 of accepted calls: inf x"),
        (heard(0.02, _200=50, **REFUSED, **{"503 untyped": 1}), GOOD, [LOOK] * 9, "untyped: 1 x"),
        (heard(0.02, _200=50, **REFUSED, **{"no answer: OSError": 1}), GOOD, [LOOK] * 9, "untyped"),
        (LOST, GOOD, [LOOK] * 9, "lost: 1 calls"),
        (
            heard(0.02, _200=50, **REFUSED),
            heard(0.01, _200=98, **{"503 ServiceUnavailable": 2}),
            [LOOK] * 9,
            "not recovered",
        ),
        (
            heard(0.02, _200=50, **REFUSED),
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


@pytest.mark.long
def test_models_that_come_go_and_change_answer_right(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    shop = soak.Shop(tmp_path / "models")
    with Server(tmp_path / "models", *soak.OPTIONS) as server:
        answers, _ = soak.run(server, shop, tmp_path, seconds=6.0, seed=1)

    assert [kind for kind in answers if soak.is_wrong(kind)] == []
    assert answers["right"] > 0  # how many depends on the machine
    assert answers["(replaced)"] > 0
    assert answers["refused"] > 0
    assert answers["(killed)"] > 0
    assert answers["(taken out of memory)"] > 0


@pytest.mark.long
def test_failures_cost_the_calls_of_other_models_nothing_but_a_retry(tmp_path: Path) -> None:
    neighbours.write_models(tmp_path, hangs=2)
    with Server(tmp_path, *neighbours.OPTIONS) as server:
        found = neighbours.run(server, kills=2, ends=5, hangs=2)

    assert neighbours.problems_of(found) == []
    assert all(answers["right"] for answers in found.values())


def test_a_lost_call_is_a_problem_and_a_retry_only_after_a_kill() -> None:
    kinds = ("right", "503 ServiceUnavailable", "no answer: ReadError")

    found = {name: Counter(kinds) for name in ("killed workers", "ended guests")}

    assert neighbours.problems_of(found) == [
        "killed workers: 1 x no answer: ReadError",
        "ended guests: 1 x 503 ServiceUnavailable",
        "ended guests: 1 x no answer: ReadError",
    ]


def test_client_that_cannot_connect_is_told_of(tmp_path: Path) -> None:
    nobody = cast(Server, SimpleNamespace(url="http://127.0.0.1:1"))
    answers: Counter[str] = Counter()

    soak._call(nobody, soak.Shop(tmp_path), answers, seed=1, give_up_at=time.monotonic())

    assert [kind for kind in answers if soak.is_wrong(kind)] == ["no answer: ConnectError"]


def test_connections_that_the_server_closed_meanwhile_are_not_used_again() -> None:
    async def calls_around_a_hang_up() -> Heard:
        served: list[asyncio.StreamWriter] = []

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(writer)
            with suppress(asyncio.IncompleteReadError):
                while await reader.readuntil(b"\r\n\r\n"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            stream = _Stream(server.sockets[0].getsockname()[1], [])
            await stream._call(render("/", {}), time.perf_counter())
            served[0].close()
            while not stream.idle[0].transport.is_closing():
                await asyncio.sleep(0)
            await stream._call(render("/", {}), time.perf_counter())
            for writer in served:
                writer.close()
                await writer.wait_closed()
            stream.idle[0].transport.close()
        return stream.heard

    assert asyncio.run(calls_around_a_hang_up()).answers == {"200": 2}
