"""`modelyard cost` as its users run it."""

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from modelyard.cli.main import app
from tests.serving import COMMANDS, clean_environment

WORKLOAD = ("--requests", "1M", "--models", "512", "--size", "20MiB")


def run(*options: str) -> Result:
    return CliRunner().invoke(app, ["cost", *options], env={"COLUMNS": "100"})


def test_table_has_the_total_the_alternatives_and_the_date(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMANDS / "modelyard", "cost", *WORKLOAD],
        cwd=tmp_path,
        env={**clean_environment(), "NO_COLOR": "1", "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    )

    words = " ".join(done.stdout.replace("\u2502", " ").split())
    assert "total 31.44" in words
    assert "SageMaker MME, 1 x ml.m5.xlarge 168.13" in words
    assert "SageMaker Serverless, 512 endpoints 2.29" in words
    assert "Prices of us-east-1 as of 2026-03-07" in words
    assert done.stderr == ""


def test_json_has_the_numbers_of_the_table() -> None:
    found = json.loads(run(*WORKLOAD, "--json").stdout)

    assert found["modelyard"]["usd"] == pytest.approx(sum(found["modelyard"]["lines"].values()))
    assert round(found["modelyard"]["usd"], 2) == 31.44
    assert [item["name"] for item in found["multi_model"]] == [
        "SageMaker MME, 1 x ml.m5.xlarge",
        "SageMaker MME, 2 x ml.m5.xlarge",
    ]
    assert found["multi_model"][0]["break_even_requests"] > 1_000_000
    assert found["workload"]["miss_rate"] == 0.05
    assert found["prices_as_of"] == "2026-03-07"


@pytest.mark.parametrize(
    ("count", "span", "requests"),
    [("1", "second", 2_628_000), ("10", "hour", 7300), ("24", "day", 730), ("9", "month", 9)],
)
def test_requests_of_any_span_become_those_of_a_month(count: str, span: str, requests: int) -> None:
    options = ("--requests", count, "--requests-per", span, "--models", "1", "--size", "1MB")

    found = json.loads(run(*options, "--json").stdout)

    assert found["workload"]["requests"] == requests


def test_more_memory_than_serverless_has_leaves_it_out() -> None:
    done = run(*WORKLOAD, "--memory", "8GiB")

    assert "Serverless" not in done.stdout
    assert "SageMaker MME" in done.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--miss-rate", "5"), "allowed: a share such as 5%"),
        (("--requests", "lots"), "allowed: a whole number such as"),
        (("--memory", "0"), "allowed: a size such as"),
        (("--load", "soon"), "allowed: a duration such as"),
        (("--cache", "floppy"), "'bursting', 'elastic', 'tmp'"),
    ],
)
def test_value_that_cannot_be_read_is_a_usage_error(options: tuple[str, str], says: str) -> None:
    done = run(*WORKLOAD, *options)

    assert done.exit_code == 2
    assert says in " ".join(done.stderr.replace("\u2502", " ").split())


def test_region_without_prices_is_a_problem_with_what_is_allowed() -> None:
    done = run(*WORKLOAD, "--region", "mars-1")

    assert done.exit_code == 1
    assert "no prices of 'mars-1' are known; allowed: us-east-1" in done.stderr


def test_loads_that_the_file_system_cannot_sustain_are_a_warning() -> None:
    done = run("--requests", "30M", "--models", "512", "--size", "20MiB")

    assert done.exit_code == 0
    assert "more than the 192,480 that EFS sustains" in done.stderr
    assert "total" in done.stdout
