"""The table of the results."""

import pytest

from benchmarks.report.markdown import number, render

MACHINE = {
    "processor": "A processor",
    "cores": 2,
    "memory_gib": 24.0,
    "system": "Linux 6",
    "python": "3.11.7",
}


def row(work="warm", system="modelyard", metric="rps", median=2.0, to_fastapi=None):
    return {
        "work": work,
        "system": system,
        "metric": metric,
        "median": median,
        "min": 1.0,
        "max": 3.0,
        "ratio_to_loop": None,
        "ratio_to_fastapi": to_fastapi,
    }


def test_systems_stand_in_the_order_of_their_medians_below_their_work():
    page = render(MACHINE, [row(median=2.0), row(system="fastapi", median=1.5, to_fastapi=1.0)])

    lines = page.splitlines()
    assert lines.index("## warm") < lines.index("| rps | fastapi | 1.5 | 1 | 3 |  | 1x |")
    assert lines[-2].startswith("| rps | modelyard | 2 |")


def test_machine_and_reasons_of_what_was_skipped_are_told():
    page = render(MACHINE | {"skipped": {"triton": "needs more\nand more"}}, [row()])

    assert "A processor, 2 cores, 24.0 GiB, Linux 6, Python 3.11.7" in page
    assert page.endswith("## Skipped\n\n- triton: needs more\n")


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (0.01234, "0.0123"), (12.345, "12.3"), (45678.9, "45,679")]
)
def test_numbers_have_as_many_digits_as_they_deserve(value, text):
    assert number(value) == text
