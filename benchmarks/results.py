"""All measured values of a run, and the published rows."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypedDict

LOOP = "loop"
FASTAPI = "fastapi"
MODELYARD = "modelyard"


class Row(TypedDict):
    """One line of `results.json`."""

    work: str
    system: str
    metric: str
    median: float
    min: float
    max: float
    ratio_to_loop: float | None
    ratio_to_fastapi: float | None


class Note(Protocol):
    """Stores a value of the system that is being measured."""

    def __call__(self, work: str, metric: str, value: float) -> None:
        """Store one value; for metrics that end in `rps` higher is better, for others lower."""
        ...


NoteOf = Callable[[str], Note]
"""Return the object that stores the values of a system."""


@dataclass(frozen=True, slots=True)
class Results:
    """All values by work, system and metric; and what was skipped, with the reason."""

    values: dict[tuple[str, str, str], list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    skipped: dict[str, str] = field(default_factory=dict)

    def note_of(self, system: str) -> Note:
        """Return the object that stores the values of a system."""

        def note(work: str, metric: str, value: float) -> None:
            self.values[work, system, metric].append(value)

        return note

    def rows(self) -> Iterator[Row]:
        """Yield one row per work, system and metric, in the order of measuring."""
        medians = {key: statistics.median(values) for key, values in self.values.items()}
        for (work, system, metric), values in self.values.items():
            median = medians[work, system, metric]
            yield Row(
                work=work,
                system=system,
                metric=metric,
                median=median,
                min=min(values),
                max=max(values),
                ratio_to_loop=_ratio(median, medians.get((work, LOOP, metric))),
                ratio_to_fastapi=_ratio(median, medians.get((work, FASTAPI, metric))),
            )


def _ratio(value: float, base: float | None) -> float | None:
    return value / base if base else None
