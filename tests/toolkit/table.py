"""How many requests Modelyard and SageMaker's code answer alike: rows of docs/sagemaker.md."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

DOCS = Path("docs/sagemaker.md")


@dataclass(frozen=True, slots=True)
class Compared:
    """How many requests were answered alike, and how many were not, by their kinds."""

    name: str
    alike: Counter[str]
    different: Counter[str]

    def row(self) -> str:
        """Return the row of the table in the docs."""
        alike, different = self.alike.total(), self.different.total()
        return f"| {self.name} | {alike + different} | {alike} | {different} |"


def is_in_docs(found: Compared) -> bool:
    """Return whether the docs have these numbers."""
    return found.row() in DOCS.read_text().splitlines()
