"""Large bodies of many calls at once."""

import threading
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from modelyard.domain.errors import CapacityError
from modelyard.inference.body_budget import (
    SMALL_BODY_BYTES,
    BodyBudget,
    decoded_bytes,
)
from modelyard.runtimes.codecs import csv_codec, json_codec, libsvm_codec

SMALL = bytes(SMALL_BODY_BYTES)
LARGE = SMALL + b"0"


def budget_for(bodies: float, patience_s: float = 0.0) -> BodyBudget:
    return BodyBudget(int(bodies * decoded_bytes(LARGE)), patience_s)


def test_large_bodies_get_in_while_there_is_room() -> None:
    budget = budget_for(2)

    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(budget.room_for(LARGE))
        with pytest.raises(CapacityError, match="too many large bodies"):
            held.enter_context(budget.room_for(LARGE))
    with budget.room_for(LARGE):
        pass


def test_one_body_gets_in_however_large_it_is() -> None:
    with budget_for(0.5).room_for(LARGE):
        pass


def test_small_bodies_always_get_in() -> None:
    budget = budget_for(1)

    with ExitStack() as held:
        held.enter_context(budget.room_for(LARGE))
        for _ in range(100):
            held.enter_context(budget.room_for(SMALL))


def test_call_waits_for_room() -> None:
    budget, entered = budget_for(1, patience_s=30.0), threading.Event()

    def call() -> None:
        with budget.room_for(LARGE):
            entered.set()

    with budget.room_for(LARGE):
        waiting = threading.Thread(target=call)
        waiting.start()
        assert not entered.is_set()
    waiting.join(30)

    assert entered.is_set()


def test_failed_call_gives_its_room_back() -> None:
    budget = budget_for(1)

    with pytest.raises(ZeroDivisionError), budget.room_for(LARGE):
        raise ZeroDivisionError

    with budget.room_for(LARGE):
        pass


def traced(decode: Callable[[bytes], object], body: bytes) -> int:
    tracemalloc.start()
    decode(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize(
    ("decode", "body"),
    [
        (csv_codec.decode, b"0\n" * 50_000),
        (csv_codec.decode, b"1.5,2.5,3.5,4.5\n" * 20_000),
        (json_codec.decode, b"[" + b"[0]," * 50_000 + b"[0]]"),
        (json_codec.decode, b"[" + b"0," * 100_000 + b"0]"),
        (libsvm_codec.decode, b"0:1\n" * 50_000),
    ],
    ids=["one column", "four columns", "rows in JSON", "numbers in JSON", "libsvm"],
)
def test_estimate_is_no_less_than_decoding_takes(decode, body: bytes) -> None:
    peak = traced(decode, body)

    assert 0.1 * decoded_bytes(body) < peak < decoded_bytes(body)
