"""The page about costs shows what `modelyard cost` prints, and its formula is the program's."""

import re

import pytest
from click.testing import CliRunner

from modelyard.aws.cost import modelyard as formula
from modelyard.aws.cost.modelyard import modelyard_bill
from modelyard.aws.cost.price_list import load_prices
from modelyard.cli.main import app
from tests.docs import pages
from tests.unit.aws.cost.workloads import EXAMPLE

PAGE = pages.text("docs/cost.md")
SHOWN = [
    (words, shown) for words, shown in pages.commands(PAGE) if words[:2] == ["modelyard", "cost"]
]


@pytest.mark.parametrize(("words", "shown"), SHOWN, ids=lambda part: " ".join(part[1:4]))
def test_command_prints_what_is_shown(words: list[str], shown: str) -> None:
    environment = {"COLUMNS": "100", "NO_COLOR": "1"}

    done = CliRunner().invoke(app, words[1:], env=environment)

    assert shown
    assert [line.rstrip() for line in done.stdout.strip().splitlines()] == shown.splitlines()


def test_formula_has_a_row_for_every_line_of_the_bill() -> None:
    table = PAGE.partition("## The formula")[2].partition("A load longer")[0]
    rows = re.findall(r"^\| ([A-Z][^|]+) \|", table, re.MULTILINE)

    assert rows == [line.what for line in modelyard_bill(EXAMPLE, load_prices("us-east-1")).lines]


def test_formula_has_the_numbers_of_the_program() -> None:
    assert f"{formula.IDLE_POLLS:,.0f} polls" in PAGE
    assert f"{formula.METRICS} metrics" in PAGE
    assert f"{formula.ALARMS} and one for each shard" in PAGE
    assert f"{formula.LOG_BYTES // 1024} KiB for each request" in PAGE
    assert f"r (t + {formula.ROUTER_OVERHEAD_S * 1000:g} ms)" in PAGE
    assert f"min(l, {formula.WINDOW_S:g} s)) x {formula.ROUTER_GB:g} GB" in PAGE
    assert f"{formula.RESTORED_SHARE:.0%}".replace("%", " %") + " of the requests" in PAGE
    assert f"{formula.DISK_GB:g} GB (`disk`)" in PAGE
    assert f"({formula.WARMER_GB * 1024:g} MB, as long as the load)" in PAGE
