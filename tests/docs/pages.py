"""The project's Markdown pages: their code blocks, tables, links and headings."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_ROW = re.compile(r"^\|(.+)\|$", re.MULTILINE)


def pages() -> list[Path]:
    """Return every page of the project; those in hidden folders are others'."""
    folders = [ROOT, ROOT / "docs", ROOT / "examples", ROOT / "benchmarks"]
    top, *rest = folders
    below = (page for one in rest for page in sorted(one.rglob("*.md")))
    ours = (page for page in below if "/." not in name(page))
    return [*sorted(top.glob("*.md")), *ours]


def name(page: Path) -> str:
    """Return a page's name for test ids."""
    return page.relative_to(ROOT).as_posix()


def text(path: str) -> str:
    """Return a page by its path below the root."""
    return (ROOT / path).read_text()


def blocks(markdown: str, language: str) -> list[str]:
    """Return the code blocks of one language."""
    return [code for found, code in _FENCE.findall(markdown) if found == language]


def commands(markdown: str) -> Iterator[tuple[list[str], str]]:
    """Yield the words of each command of the console blocks, and what it is shown to print."""
    for block in blocks(markdown, "console"):
        for entry in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = entry.replace("\\\n", " ").partition("\n")
            yield shlex.split(command), printed.strip()


def links(markdown: str) -> list[str]:
    """Return the targets of all links outside of code."""
    return _LINK.findall(_FENCE.sub("", markdown))


def anchors(markdown: str) -> set[str]:
    """Return what `#...` may name: each heading, as code hosts spell it."""
    headings = _HEADING.findall(_FENCE.sub("", markdown))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def rows(markdown: str) -> dict[str, list[str]]:
    """Return the first table row of a page for each name in backticks of a first cell."""
    found: dict[str, list[str]] = {}
    for row in _ROW.findall(_FENCE.sub("", markdown)):
        first, *cells = [cell.strip() for cell in row.split("|")]
        for key in re.findall(r"`([^`]+)`", first):
            found.setdefault(key, [cell.strip("`") for cell in cells])
    return found
