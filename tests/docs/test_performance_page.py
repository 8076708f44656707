"""The figures of README and the performance page are those of the last published run."""

import json

import pytest

from benchmarks.report.pages import GOALS, PAGES, RESULTS, blocks, medians, rendered
from tests.docs import pages


@pytest.mark.parametrize("page", PAGES)
def test_tables_are_those_of_the_results(page: str) -> None:
    parts = blocks(json.loads(RESULTS.read_text()))

    assert rendered(pages.text(page), PAGES[page], parts) == pages.text(page)


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.what)
def test_every_goal_was_measured(goal) -> None:
    assert goal.line(medians(json.loads(RESULTS.read_text()))) is not None


def test_results_have_the_promised_form() -> None:
    results = json.loads(RESULTS.read_text())

    members = {"work", "system", "metric", "median", "min", "max"}
    assert {"machine", "versions", "rows"} <= results.keys()
    assert all(
        members | {"ratio_to_loop", "ratio_to_fastapi"} == row.keys() for row in results["rows"]
    )
    assert {"modelyard", "loop", "fastapi"} <= {row["system"] for row in results["rows"]}
