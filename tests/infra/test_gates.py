"""What else a template has to pass: cdk-nag, cfn-lint, and being the same wherever it is made."""

import re
import socket
from pathlib import Path

import pytest

from tests.infra.synthesis import PROJECTS, Synthesis, examine, synthesise

VARIANTS = ("plain", "changed", "private", "operated", "cortex")
"""Fixtures of `conftest.py`."""
IGNORED = ["W3005", "W3045"]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_finding_has_a_reason_and_every_reason_a_finding(
    name: str, request: pytest.FixtureRequest
) -> None:
    from infra.compliance import reasons_of_data, reasons_of_service  # imports the CDK

    examined: Synthesis = request.getfixturevalue(name)
    settings, found = examined.settings, examined.found_by_stack()

    assert found[f"{settings.name}-data"] == {*reasons_of_data(settings)}
    assert found[settings.name] == {*reasons_of_service(settings)}


def test_synthesis_with_reasons_passes(tmp_path: Path) -> None:
    checked = synthesise(PROJECTS / "all-changed.yaml", tmp_path, check="1")

    assert len(checked.templates) == 2


@pytest.mark.long
def test_cfn_lint_finds_nothing(
    plain: Synthesis,
    changed: Synthesis,
    private: Synthesis,
    operated: Synthesis,
    cortex: Synthesis,
) -> None:
    from cfnlint.api import lint  # seconds, and only for this test
    from cfnlint.config import ManualArgs

    options = ManualArgs(ignore_checks=IGNORED, regions=["us-east-1"])

    found = [
        f"{path.name}: {match.rule.id}: {match.message}"
        for synthesis in (plain, changed, private, operated, cortex)
        for path in synthesis.templates
        for match in lint(path.read_text(), config=options)
    ]

    assert found == []


def test_what_cfn_lint_leaves_out_is_what_its_file_says() -> None:
    file = (Path(__file__).parents[2] / ".cfnlintrc").read_text()

    assert re.findall(r"\b[EW]\d{4}\b", file.partition("ignore_checks")[2]) == IGNORED


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.long
def test_two_syntheses_are_the_same_to_the_byte(plain: Synthesis, tmp_path: Path) -> None:
    again = examine(PROJECTS / "plain.yaml", tmp_path)

    first, second = tree(plain.folder), tree(again.folder)

    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_templates_say_nothing_of_this_machine(
    plain: Synthesis, changed: Synthesis, private: Synthesis, cortex: Synthesis
) -> None:
    here = (str(Path.home()), str(Path(__file__).parents[2]), socket.gethostname())

    for synthesis in (plain, changed, private, cortex):
        for name, content in tree(synthesis.folder).items():
            if name.endswith((".template.json", "endpoints.json", ".modelyard.json")):
                assert [word for word in here if word.encode() in content] == [], name
