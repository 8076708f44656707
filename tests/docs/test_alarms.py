"""Every alarm of a deployment is told of in docs/operations.md, and no other."""

import ast
import re

from tests.docs import pages

SOURCE = ast.parse(pages.text("infra/observability.py"))
ALARMS = pages.text("docs/operations.md").partition("### Alarms")[2].partition("### ")[0]


def made() -> set[str]:
    """Return the alarms by name; what a name ends in may differ, after a hyphen."""
    calls = [node for node in ast.walk(SOURCE) if isinstance(node, ast.Call)]
    named = [call.args[0] for call in calls if ast.unparse(call.func) == "self._alarm"]
    return {fixed_part(name) for name in named}


def fixed_part(name: ast.expr) -> str:
    if isinstance(name, ast.JoinedStr):
        name = name.values[0]
    assert isinstance(name, ast.Constant)
    return str(name.value)


def test_every_alarm_is_told_of_and_no_other() -> None:
    told = re.findall(r"^\| `(\w+(?:-(?=[A-Z]+`))?)[A-Z]*` \|", ALARMS, re.MULTILINE)

    assert len(made()) > 5
    assert sorted(told) == sorted(made())


def test_every_alarm_has_something_to_do() -> None:
    rows = re.findall(r"^\| `[\w-]+` \|(.+)\|$", ALARMS, re.MULTILINE)

    assert rows
    for row in rows:
        assert [cell for cell in row.split(" | ") if not cell.strip()] == []
        assert len(row.split(" | ")) == 3


def test_thresholds_are_those_of_the_code() -> None:
    numbers = {
        target.id: eval(ast.unparse(node.value), {})
        for node in SOURCE.body
        if isinstance(node, ast.Assign)
        and isinstance(target := node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant | ast.BinOp)
    }

    assert f"for more than {numbers['OLDEST_MESSAGE_S'] // 60} minutes" in ALARMS
    assert f"more than {numbers['SERVER_ERRORS'] * 100:g} % of API Gateway" in ALARMS
    assert f"more than {numbers['NOT_READY_RATIO'] * 100:g} % of an endpoint" in ALARMS
    assert f"less than {numbers['LOW_CREDITS'] >> 30} GiB of credits" in ALARMS
