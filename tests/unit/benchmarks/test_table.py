"""Tables that scripts print, read back."""

from pathlib import Path

import pytest

from benchmarks import handler_overhead, router_overhead, turns
from benchmarks.report.table import parse
from benchmarks.results import Results
from benchmarks.works.lambda_path import ColdStart, HandlerOverhead, RouterOverhead

COLD = """something before
| function | step | ms | least to most | CPU ms | MiB |
|---|---|---|---|---|---|
| inference (onnx) | first model | 120 | 100 to 150 | 90 | 77 |
"""
CALLS = """| call | us | least | CPU us | beyond the first, us | ratio |
|---|---|---|---|---|---|
| `inplace_predict`, CSV in and out | 100 | 90 | 99 | 10 | 1.10 |
| handler | 150 | 140 | 149 | 60 | 1.60 |
"""


def rows_of(script, text):
    results = Results()
    for line in parse(text):
        script.note_line(line, results.note_of)
    return {(row["work"], row["system"], row["metric"]): row for row in results.rows()}


def test_lines_are_told_by_the_names_of_their_columns():
    (line,) = parse(COLD)

    assert line["function"] == "inference (onnx)"
    assert line["least to most"] == "100 to 150"


def test_two_tables_have_headers_of_their_own():
    assert [set(line) for line in parse(COLD + "\n" + CALLS)][1:] == [
        {"call", "us", "least", "CPU us", "beyond the first, us", "ratio"}
    ] * 2


def test_line_with_a_cell_too_few_is_refused():
    with pytest.raises(ValueError, match="zip"):
        list(parse("| a | b |\n|---|---|\n| 1 |\n"))


def test_cold_start_keeps_median_and_extremes():
    row = rows_of(ColdStart(), COLD)["lambda_inference_onnx_first_model", "modelyard", "wall_ms"]

    assert (row["median"], row["min"], row["max"]) == (120, 100, 150)


def test_handler_is_compared_with_the_bare_loop():
    row = rows_of(HandlerOverhead(), CALLS)["lambda_inference_call", "modelyard", "call_us"]

    assert row["ratio_to_loop"] == 1.5


def test_router_is_beside_a_bare_route():
    calls = CALLS.replace("`inplace_predict`, CSV in and out", "Mangum and a bare route")
    rows = rows_of(RouterOverhead(), calls.replace("| handler |", "| router |"))

    assert rows["lambda_router_call", "bare route", "cpu_us"]["median"] == 99
    assert rows["lambda_router_call", "modelyard", "cpu_us"]["median"] == 149


@pytest.mark.parametrize(
    ("script", "read"), [(handler_overhead, HandlerOverhead), (router_overhead, RouterOverhead)]
)
def test_script_still_says_what_is_read_of_it(script, read):
    text = Path(script.__file__).read_text()

    assert [name for name in read.systems if f'"{name}": ' not in text] == []


def test_table_still_has_the_columns_that_are_read():
    text = Path(turns.__file__).read_text()

    assert all(column.strip() in text for column in CALLS.splitlines()[0].strip("| ").split("|"))
