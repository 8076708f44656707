"""Pages are short, their links lead somewhere, and what they name exists."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest

from modelyard.cli.main import app as cli
from tests.docs import pages

PACKAGE = pages.ROOT / "layers/modelyard/python/modelyard"
MAKEFILE = (pages.ROOT / "Makefile").read_text()
ARCHITECTURE = sorted((pages.ROOT / "docs/architecture").glob("*.md"))
LONGEST = {
    "README.md": 180,  # with the table of a benchmark
    "CHANGELOG.md": 450,  # it grows
    "docs/architecture": 100,
    "docs/adr": 40,
    "docs/reference.md": 500,  # written from the code
    "benchmarks/results": 2000,  # not written by hand
}
OF_ARTIFACTS = ("code/inference.py", "utils.py")
BESIDE_THE_PACKAGE = ("functions/", "infra/")
every_page = pytest.mark.parametrize("page", pages.pages(), ids=pages.name)


@every_page
def test_page_is_short(page):
    limit = LONGEST.get(pages.name(page), LONGEST.get(pages.name(page.parent), 300))

    assert len(page.read_text().splitlines()) <= limit


@every_page
def test_relative_links_lead_somewhere(page):
    targets = [link for link in pages.links(page.read_text()) if "://" not in link]

    assert [target for target in targets if not leads_somewhere(page, target)] == []


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    found = page.parent / path if path else page
    return found.exists() and (not anchor or anchor in pages.anchors(found.read_text()))


def shown_commands() -> list[tuple[str, list[str]]]:
    return [
        (pages.name(page), words)
        for page in pages.pages()
        for words, _ in pages.commands(page.read_text())
    ]


@pytest.mark.parametrize(
    "words",
    [pytest.param(words, id=f"{page}: {' '.join(words)}") for page, words in shown_commands()],
)
def test_shown_command_exists(words):
    program, *arguments = words

    if program == "make":
        targets = [word for word in arguments if "=" not in word]
        assert all(re.search(rf"^{target}:", MAKEFILE, re.MULTILINE) for target in targets)
    elif program == "python":
        assert (pages.ROOT / arguments[0]).is_file()
    elif program == "modelyard":
        verb = cast(Any, cli)
        while hasattr(verb, "commands"):
            name, *arguments = arguments
            verb = verb.commands[name]
        verb.make_context(name, arguments)  # it raises what is wrong
    elif program == "node_modules/.bin/cdk":
        assert arguments[0] in ("bootstrap", "deploy", "diff", "destroy")
    else:
        assert program in ("aws", "cat", "curl", "pip")


def test_every_make_target_is_in_the_contributing_page():
    targets = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert targets is not None
    told = pages.rows(pages.text("CONTRIBUTING.md"))

    assert [one for one in targets[1].split() if f"make {one}" not in told] == []


def named_places(page: Path) -> set[str]:
    """Return the package files, and functions in them, that a page names."""
    return set(re.findall(r"`((?:\w+/)*\w+\.py(?::[\w.]+)?)`", page.read_text()))


@pytest.mark.parametrize("page", ARCHITECTURE, ids=pages.name)
def test_files_and_functions_of_the_architecture_pages_exist(page):
    assert [place for place in named_places(page) if not exists(place)] == []


def exists(place: str) -> bool:
    path, _, qualified = place.partition(":")
    file = (pages.ROOT if path.startswith(BESIDE_THE_PACKAGE) else PACKAGE) / path
    return path in OF_ARTIFACTS or (
        file.is_file() and (not qualified or defines(file, qualified.split(".")))
    )


def defines(file: Path, names: list[str]) -> bool:
    body: list[ast.stmt] = ast.parse(file.read_text()).body
    for name in names:
        found = [node for node in body if getattr(node, "name", None) == name]
        if not found:
            return False
        body = getattr(found[0], "body", [])
    return True


def test_every_step_of_the_overview_is_one_line_and_names_a_function():
    overview = pages.text("docs/architecture/00-overview.md").partition("## The rooms")[0]
    steps = overview.partition("\n1. ")[2].partition("\n\n")[0].splitlines()

    assert len(steps) > 10
    assert [step for step in steps if not re.match(r"(\d+\. )?`[\w/]+\.py:[\w.]+`", step)] == []


def test_import_arrows_of_the_overview_are_the_contract():
    arrows = pages.text("docs/architecture/00-overview.md").partition("## The import arrows")[2]
    contracts = tomllib.loads(pages.text("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    rows = next(one["layers"] for one in contracts if one["id"] == "rows")

    drawn = pages.blocks(arrows, "")[0].splitlines()

    assert drawn == [row.replace(" | ", ", ") for row in rows]


def test_glossary_is_in_order():
    words = re.findall(r"^\| ([a-z][^|]*) \|", pages.text("docs/glossary.md"), re.MULTILINE)[1:]

    assert words == sorted(words)


def test_decisions_are_numbered_without_gaps():
    names = [page.name for page in sorted((pages.ROOT / "docs/adr").glob("*.md"))]

    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


@pytest.mark.parametrize("page", sorted((pages.ROOT / "docs/adr").glob("*.md")), ids=pages.name)
def test_decision_has_context_decision_and_consequences(page):
    headings = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)

    assert headings == ["Context", "Decision", "Consequences"]
