"""Read Markdown tables."""

from collections.abc import Iterator


def parse(text: str) -> Iterator[dict[str, str]]:
    """Yield each line of a text's tables, by the names of its columns.

    Raises:
        ValueError: a line has more or fewer cells than its header.
    """
    header: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            header = []
        elif not header:
            header = cells
        elif set("".join(cells)) - set("-: "):
            yield dict(zip(header, cells, strict=True))
