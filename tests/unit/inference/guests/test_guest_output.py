import logging
import os
import threading

import pytest

from modelyard.domain.requests import REQUEST_ID
from modelyard.inference.guests.guest_output import MAX_LINE_BYTES, GuestOutput, Printer


class Lines(logging.Handler):
    """Keeps lines with their model and request, and tells when `wanted` have arrived."""

    def __init__(self):
        super().__init__()
        self.lines = []
        self.arrived = threading.Semaphore(0)

    def emit(self, record):
        self.lines.append((record.model, REQUEST_ID.get(), record.getMessage()))
        self.arrived.release()

    def take(self, count):
        for _ in range(count):
            assert self.arrived.acquire(timeout=60)
        return self.lines


@pytest.fixture
def logged():
    handler = Lines()
    logger = logging.getLogger("print")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


def pipe(output, model="e/m", request_id=""):
    read_end, write_end = os.pipe()
    output.follow(Printer(model, read_end, request_id))
    return os.fdopen(write_end, "wb", buffering=0)


def test_lines_are_logged_with_the_model_and_the_request(logged):
    with pipe(GuestOutput(), "e/m", "r1") as printing:
        printing.write(b"one\ntw")
        printing.write(b"o\n\n  \nrest")

    assert logged.take(3) == [("e/m", "r1", line) for line in ("one", "two", "rest")]


def test_outputs_of_guests_are_kept_apart(logged):
    output = GuestOutput()
    with pipe(output, "e/a") as first, pipe(output, "e/b") as second:
        first.write(b"fir")
        second.write(b"second\n")
        first.write(b"st\n")

    assert sorted(logged.take(2)) == [("e/a", "", "first"), ("e/b", "", "second")]


def test_long_lines_are_cut(logged):
    with pipe(GuestOutput()) as printing:
        printing.write(b"x" * 200_000 + b"\nnext\n")

    assert [len(text) for _, _, text in logged.take(2)] == [MAX_LINE_BYTES, 4]


def test_bytes_that_are_no_text_are_logged(logged):
    with pipe(GuestOutput()) as printing:
        printing.write(b"a\xffb\n")

    assert logged.take(1) == [("e/m", "", "a\ufffdb")]


def test_progress_bar_is_logged_as_a_terminal_shows_it(logged):
    with pipe(GuestOutput()) as printing:
        printing.write(b"10%\r50%\r100%\r\n")

    assert logged.take(1) == [("e/m", "", "100%")]


def test_output_ends_and_begins_again(logged):
    output = GuestOutput()
    for name in ("first", "second"):
        with pipe(output) as printing:
            printing.write(name.encode() + b"\n")
        logged.take(1)

    assert [text for _, _, text in logged.lines] == ["first", "second"]
