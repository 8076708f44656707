"""What came of a campaign of attacks."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Verdict:
    """Counts of what was tried and answered, and every promise that was broken.

    Threads share it: they only count and append.
    """

    attacks: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """Answers of another model or version, and errors without a type."""
    lost: list[str] = field(default_factory=list)
    """Calls without a response, although nothing was killed."""
    stuck: list[str] = field(default_factory=list)
    """What did not answer in time, or did not become right again."""
    leaked: list[str] = field(default_factory=list)
    """Files and processes that were left behind."""
    denied: list[str] = field(default_factory=list)
    """Answers from a model that the caller may not call."""
    deaths: list[str] = field(default_factory=list)
    """Workers that ended though nobody killed them."""

    @property
    def problems(self) -> dict[str, list[str]]:
        """Return the broken promises by their kind."""
        return {
            "wrong": self.wrong,
            "lost": self.lost,
            "stuck": self.stuck,
            "leaked": self.leaked,
            "denied reads": self.denied,
            "worker deaths": self.deaths,
        }
